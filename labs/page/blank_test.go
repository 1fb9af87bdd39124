package page

import (
	"slices"
	"strings"
	"testing"
)

func TestBlanks(t *testing.T) {
	for text, want := range map[string]string{
		"kubectl exec -it <pod-name> -- curl http://web":           "<pod-name>, a pod's name",
		"kubectl exec <frontend-pod> -- curl http://web":           "<frontend-pod>, a pod's name (frontend)",
		"kubectl exec -ti <name> -- sh":                            "<name>, a pod's name",
		"kubectl exec POD_NAME -- curl http://web":                 "POD_NAME, a pod's name",
		"kubectl exec POD -n NAMESPACE -- curl http://SERVICE_IP":  "POD, a pod's name; NAMESPACE, a namespace's name; SERVICE_IP, a service's address",
		"curl http://BACKEND_POD_IP:8080":                          "BACKEND_POD_IP, a pod's address (backend)",
		"curl http://<CLUSTER-IP>":                                 "<CLUSTER-IP>, a service's address",
		"kubectl -n <ns> describe svc <the name>":                  "<ns>, a namespace's name; <the name>, a service's name",
		"kubectl get pod YOUR_POD_NAME":                            "YOUR_POD_NAME, a pod's name",
		"curl -H 'Authorization: <token>' http://web":              "<token>",
		"kubectl exec POD -- curl http://<web pod ip>":             "<web pod ip>, a pod's address (web); POD, a pod's name",
		"curl http://YOUR-IP":                                      "YOUR-IP",
		"kubectl config use-context CLUSTER_NAME":                  "",
		"curl http://$POD_IP:8080":                                 "",
		"curl http://${POD_IP}:8080":                               "",
		"POD_NAME=$(kubectl get pods -o name)":                     "",
		"echo POD_NAME":                                            "",
		"kubectl set env deploy/web POD_NAME=x":                    "",
		"kubectl get pods -o custom-columns=POD_NAME:.metadata":    "",
		"kubectl get pods -o jsonpath='{range .items[*]}{POD}'":    "",
		"curl -X POST http://web | grep '<title>'":                 "",
		"hubble observe --verdict DROPPED":                         "",
		"for POD in a b; do kubectl delete pod $POD; done":         "",
		"kubectl apply -f - <<EOF\nmetadata: {name: <pod>}\nEOF":   "",
		"kubectl exec web -- sh -c 'echo $POD_NAME' # of POD_NAME": "",
	} {
		var got []string
		for _, b := range blanks(text) {
			s := b.String()
			if len(b.Hints) > 0 && b.Of != BlankOther {
				s += " (" + strings.Join(b.Hints, " ") + ")"
			}
			got = append(got, s)
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%s\n has the blanks %q, want %q", text, got, want)
		}
	}
}

func TestFill(t *testing.T) {
	c := Command{Text: "kubectl exec POD -- curl http://POD_IP $POD", Blanks: []Blank{{Text: "POD"}, {Text: "POD_IP"}}}
	c.Fill("POD", "web-1")
	c.Fill("POD_IP", "10.0.0.1")
	if c.Text != "kubectl exec web-1 -- curl http://10.0.0.1 $POD" || len(c.Blanks) != 0 {
		t.Errorf("filled: %s, left %v", c.Text, c.Blanks)
	}
	if keys := []string{BlankKey("<pod-name>"), BlankKey("POD_NAME"), BlankKey("<podName>")}; len(slices.Compact(keys)) != 1 {
		t.Errorf("keys %q", keys)
	}
}
