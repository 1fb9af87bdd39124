package hubble

import (
	"strings"
	"testing"
)

func TestNeedsServer(t *testing.T) {
	t.Setenv(serverVar, "")
	for args, want := range map[string]bool{
		"observe":                         true,
		"observe --follow":                true,
		"--debug status":                  true,
		"list nodes":                      true,
		"":                                false,
		"help observe":                    false,
		"observe --help":                  false,
		"version":                         false,
		"completion bash":                 false,
		"config view":                     false,
		"observe --server localhost:4245": false,
		"--server=localhost:4245 observe": false,
		"observe --input-file flows.json": false,
		"observe -P":                      false,
		"observe --pod default/backend -o jsonpb": true,
	} {
		if got := needsServer(strings.Fields(args)); got != want {
			t.Errorf("%q: %v, want %v", args, got, want)
		}
	}
	t.Setenv(serverVar, "localhost:4245")
	if needsServer([]string{"observe"}) {
		t.Error("the user's own server is not taken")
	}
}
