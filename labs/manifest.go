package labs

import (
	"io/fs"
	"strconv"

	tiers "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies/lint"
)

// lintManifest checks that a file holds Kubernetes objects whose fields exist.
// Whether the datapath takes a policy's rules is not its business.
func lintManifest(fsys fs.FS, file string) []Problem {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return []Problem{{File: file, Message: "cannot be read: " + reason(err)}}
	}
	objects, err := object.Parse(file, data)
	problems := syntaxProblems(file, err)
	if err == nil && len(objects) == 0 {
		problems = append(problems, Problem{File: file, Line: 1, Message: "holds no object", Cure: "add one, or remove the file"})
	}
	for _, obj := range objects {
		problems = append(problems, lintObject(obj)...)
	}
	return problems
}

func syntaxProblems(file string, err error) []Problem {
	var problems []Problem
	for _, s := range object.SyntaxErrors(file, err) {
		problems = append(problems, Problem{File: s.File, Line: s.Line, Column: s.Column, Message: s.Message, Cure: s.Advice})
	}
	return problems
}

// lintObject compares an object with its schema. A lab can bring no kinds but those
// of its clusters.
func lintObject(obj object.Object) []Problem {
	var problems []Problem
	for _, p := range lint.Schema(obj) {
		problems = append(problems, Problem{File: p.File, Line: p.Line, Column: p.Column, Message: p.Message, Cure: p.Cure})
	}
	if gvk := obj.GroupVersionKind(); len(problems) == 0 && !lint.Knows(gvk) {
		key, _ := object.NodeAt(obj.Node.Content[0], []string{"apiVersion"})
		problems = append(problems, Problem{
			File: obj.File, Line: key.Line, Column: key.Column, Message: "unknown API group " + strconv.Quote(gvk.Group),
			Cure: "netdojo's clusters have the groups of Kubernetes, cilium.io and " + tiers.GroupName,
		})
	}
	return problems
}

func itoa(n int) string { return strconv.Itoa(n) }
