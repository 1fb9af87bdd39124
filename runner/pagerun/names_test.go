package pagerun

import "testing"

func TestRename(t *testing.T) {
	here := []string{"cilium-qrtv7", "backend-65b5757978-t4rg7", "kube-proxy-x2k4z", "mediabot"}
	for text, want := range map[string]string{
		"kubectl -n kube-system exec cilium-1c2cz -- cilium-dbg endpoint list": "kubectl -n kube-system exec cilium-qrtv7 -- cilium-dbg endpoint list",
		"kubectl exec backend-7d9f8c6b5-x2k4z -- curl http://web-other":        "kubectl exec backend-65b5757978-t4rg7 -- curl http://web-other",
		"kubectl exec backend-65b5757978-t4rg7 -- true":                        "kubectl exec backend-65b5757978-t4rg7 -- true",
		"kubectl delete pod frontend-7d9f8c6b5-x2k4z":                          "kubectl delete pod frontend-7d9f8c6b5-x2k4z",
		"kubectl get pod cilium-agent mediabot":                                "kubectl get pod cilium-agent mediabot",
	} {
		got, told := rename(text, here)
		if got != want || (told != "") != (got != text) {
			t.Errorf("%s\nbecomes %s (%s)\nwant    %s", text, got, told, want)
		}
	}
}
