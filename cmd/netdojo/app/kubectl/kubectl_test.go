package kubectl

import (
	"strings"
	"testing"
)

func TestNeedsCluster(t *testing.T) {
	for args, want := range map[string]bool{
		"get pods":                         true,
		"-n lab get pods":                  true,
		"exec -ti x -- curl -s http://y":   true,
		"exec x -- prog --help":            true,
		"version":                          true,
		"version --client":                 false,
		"get pods --help":                  false,
		"":                                 false,
		"help exec":                        false,
		"completion bash":                  false,
		"--kubeconfig=mine get pods":       false,
		"get pods --kubeconfig mine":       false,
		"-s https://127.0.0.1:1 get nodes": false,
		"kustomize dir":                    false,
	} {
		if got := needsCluster(strings.Fields(args)); got != want {
			t.Errorf("needsCluster(%q) = %v, want %v", args, got, want)
		}
	}
}
