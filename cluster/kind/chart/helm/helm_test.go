package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cluster/kind/chart"
)

// small is a chart with one workload, whose images come from its values.
var small = map[string]string{
	"small/Chart.yaml":  "apiVersion: v2\nname: small\nversion: 1.2.3\n",
	"small/values.yaml": "main: from-the-chart\nproxy: {enabled: true, image: proxy-of-the-chart}\n",
	"small/templates/all.yaml": `apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  template:
    spec:
      initContainers:
      - {name: first, image: {{ .Values.main }}}
      containers:
      - {name: main, image: {{ .Values.main }}}
{{- if .Values.proxy.enabled }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: proxy}
spec:
  template:
    spec:
      containers:
      - {name: main, image: {{ .Values.proxy.image }}}
{{- end }}
`,
}

func packedSmall(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for name, text := range small {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func ask(t *testing.T, packed []byte, req chart.Request) chart.Answer {
	t.Helper()
	req.Release, req.Namespace = "r", "kube-system"
	in, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Serve(t.Context(), chart.Render, packed, bytes.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	var answer chart.Answer
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// TestRender: ours go over the chart's values, the user's files over ours, the
// later file over the earlier.
func TestRender(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, text := range small {
		file(name, text)
	}
	ours := map[string]any{"main": "ours", "proxy": map[string]any{"enabled": false}}
	first := file("first.yaml", "main: first\nproxy: {enabled: true, image: first}\n")
	second := file("second.yaml", "main: second\n")
	packed := packedSmall(t)
	for name, tc := range map[string]struct {
		packed []byte
		req    chart.Request
		want   string // the images by workload, or what the refusal says
	}{
		"the packed chart":     {packed, chart.Request{}, `{"DaemonSet/agent":["from-the-chart"],"Deployment/proxy":["proxy-of-the-chart"]}`},
		"our values":           {packed, chart.Request{Values: ours}, `{"DaemonSet/agent":["ours"]}`},
		"a file's values":      {packed, chart.Request{Values: ours, ValueFiles: []string{first}}, `{"DaemonSet/agent":["first"],"Deployment/proxy":["first"]}`},
		"two files":            {packed, chart.Request{Values: ours, ValueFiles: []string{first, second}}, `{"DaemonSet/agent":["second"],"Deployment/proxy":["first"]}`},
		"a folder":             {nil, chart.Request{Chart: filepath.Join(dir, "small"), Version: "1.2.3"}, `{"DaemonSet/agent":["from-the-chart"],"Deployment/proxy":["proxy-of-the-chart"]}`},
		"another version":      {packed, chart.Request{Version: "1.2.4"}, "version 1.2.3, not 1.2.4"},
		"no packed chart":      {nil, chart.Request{}, "without a chart"},
		"no such chart":        {packed, chart.Request{Chart: "/nowhere"}, "get the chart /nowhere"},
		"no such values":       {packed, chart.Request{ValueFiles: []string{"/nowhere.yaml"}}, "read the values"},
		"values of wrong form": {packed, chart.Request{ValueFiles: []string{file("bad.yaml", "- 1\n")}}, "read the values"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := ask(t, tc.packed, tc.req)
			if !strings.HasPrefix(tc.want, "{") {
				if answer.Error == nil || !strings.Contains(answer.Error.Message, tc.want) || answer.Error.Fix == "" {
					t.Errorf("got %+v, want a refusal with %q and a cure", answer.Error, tc.want)
				}
				return
			}
			if answer.Error != nil {
				t.Fatal(answer.Error)
			}
			got, err := json.Marshal(answer.Images)
			if err != nil || string(got) != tc.want || answer.Version != "1.2.3" {
				t.Errorf("version %s, images %s, want %s", answer.Version, got, tc.want)
			}
		})
	}
}
