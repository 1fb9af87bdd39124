package object

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const two = `# first a comment
---
apiVersion: v1
kind: Pod
metadata:
  name: a
---

---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Pod, metadata: {name: b, namespace: web}}
  - {apiVersion: v1, kind: Pod, metadata: {name: c}}
`
	objects, err := Parse("x.yaml", []byte(two))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects {
		got = append(got, o.Ref("default").String())
	}
	if strings.Join(got, ", ") != "Pod default/a, Pod web/b, Pod default/c" {
		t.Errorf("objects are %v", got)
	}
	if objects[0].Line != 3 || objects[1].Line != 10 {
		t.Errorf("lines are %d and %d, want 3 and 10", objects[0].Line, objects[1].Line)
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		name, text, want, cure string
	}{
		{"tab", "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: x\n", "x.yaml:4: not YAML", "spaces"},
		{"second document", "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n---\na: [1\nb: 2\n", "x.yaml:6: not YAML", ""},
		{"key twice", "apiVersion: v1\nkind: Pod\nkind: Pod\n", `x.yaml:3: not YAML: key "kind" already set`, "keep one"},
		{"list", "- a\n", "x.yaml:1:1: a Kubernetes object is a mapping, this is a list", "apiVersion"},
		{"scalar", "\n\nhello\n", "x.yaml:3:1: a Kubernetes object is a mapping, this is a single value", "apiVersion"},
		{"no kind", "apiVersion: v1\n", "x.yaml:1:1: kind is missing", "names its kind"},
		{"kind mistyped", "apiVersion: v1\nknid: Pod\n", "x.yaml:2:1: kind is missing", "write kind for knid"},
		{"metadata mistyped", "apiVersion: v1\nkind: Pod\nmetdata: {name: x}\n", "x.yaml:3:1: Pod has no name", "write metadata for metdata"},
		{"name mistyped", "apiVersion: v1\nkind: Pod\nmetadata:\n  nam: x\n", "x.yaml:4:3: Pod has no name", "write name for nam"},
		{"moved", "spec:\n  a: 1\n   b: 2\n  c: 3\n", "x.yaml:3: not YAML: the indentation", "indent it by 2, not by 3"},
		{"moved first", "spec:\n   a:\n    x: 1\n  b: 2\n  c: 3\n", "x.yaml:2: not YAML: the indentation", "indent it by 2, not by 3"},
		{"moved entry", "spec:\n  list:\n    - a: 1\n      b: 2\n     - a: 3\n    - a: 4\n", "x.yaml:5: not YAML: the indentation", "indent it by 4, not by 5"},
		{"no dash", "spec:\n  list:\n      a: 1\n      b: 2\n    - a: 3\n    - a: 4\n", "x.yaml:3: not YAML: the indentation", "start it with \"- \""},
		{"key twice, its block below", "a:\n  b:\n    x: 1\n  c: 1\n  b:\n    x: 2\n", "x.yaml:5: not YAML: key \"b\" already set", "keep one"},
		{"key twice, on one line", "a:\n  b: {}\n  c:\n    d: {}\n    d: {}\n", "x.yaml:5: not YAML: key \"d\" already set", "keep one"},
		{"key twice, moved", "x:\n  - n:\n      m: {}\n      p:\n      m: {}\n", "x.yaml:5: not YAML: the indentation", "indent it by 8, not by 6"},
		{"after a text", "a: |\n  b\n c\nd: [1\n", "not YAML", ""},
		{"no name", "apiVersion: v1\nkind: Pod\n", "x.yaml:1:1: Pod has no name", "metadata.name"},
		{"metadata", "apiVersion: v1\nkind: Pod\nmetadata: x\n", "metadata is not a mapping", "name, namespace"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(tt.text))
			var s *SyntaxError
			if !errors.As(err, &s) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(s.Cure(), tt.cure) {
				t.Errorf("got %v (%v), want %q (%q)", err, s, tt.want, tt.cure)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n---\n- 1\n"))
	f.Add([]byte("---\n--- \nkind: List\napiVersion: v1\nitems: [{}, 1]\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := Parse("x.yaml", data)
		for _, o := range objects {
			if o.Unstructured == nil || o.GetKind() == "" && len(objects) == 1 {
				t.Errorf("an object without kind: %+v", o)
			}
		}
		var s *SyntaxError
		if err != nil && !errors.As(err, &s) {
			t.Errorf("error is %T", err)
		}
		if s != nil && (s.Line < 1 || s.Line > strings.Count(string(data), "\n")+2) {
			t.Errorf("line %d of %q", s.Line, data)
		}
	})
}

func TestImages(t *testing.T) {
	objects, err := Parse("f.yaml", []byte(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec: {template: {spec: {initContainers: [{name: i, image: busybox}], containers: [{name: a, image: nginx}, {name: b, image: busybox}]}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {image: none}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := Images(objects); !slices.Equal(got, []string{"busybox", "nginx"}) {
		t.Errorf("images %v", got)
	}
}
