package labs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	sigsjson "sigs.k8s.io/json"

	"github.com/netdojo/netdojo/manifests"
)

// lintManifest checks that a file holds Kubernetes objects whose fields exist.
// Whether the datapath takes a policy's rules is not its business.
func lintManifest(fsys fs.FS, file string) []Problem {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return []Problem{{File: file, Message: "cannot be read: " + reason(err)}}
	}
	objects, err := manifests.Parse(file, data)
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
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var problems []Problem
		for _, e := range many.Unwrap() {
			problems = append(problems, syntaxProblems(file, e)...)
		}
		return problems
	}
	var s *manifests.SyntaxError
	if errors.As(err, &s) {
		return []Problem{{File: s.File, Line: s.Line, Column: s.Column, Message: s.Message, Cure: s.Advice}}
	}
	return []Problem{{File: file, Message: err.Error()}}
}

func lintObject(obj manifests.Object) []Problem {
	gvk := obj.GroupVersionKind()
	root := obj.Node.Content[0]
	switch {
	case scheme.Scheme.Recognizes(gvk):
		return lintTyped(obj, root)
	case gvk.Group == ciliumGroup:
		return lintCilium(obj, root)
	}
	cure := ""
	var known []string
	for k := range scheme.Scheme.AllKnownTypes() {
		if k.Group == gvk.Group {
			known = append(known, k.Kind)
		}
	}
	if gvk.Group == "" || len(known) > 0 {
		if near := nearest(gvk.Kind, known); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		}
		key, _ := manifests.NodeAt(root, []string{"kind"})
		return []Problem{{
			File: obj.File, Line: key.Line, Column: key.Column, Cure: cure,
			Message: fmt.Sprintf("unknown kind %s in %s", gvk.Kind, obj.GetAPIVersion()),
		}}
	}
	key, _ := manifests.NodeAt(root, []string{"apiVersion"})
	return []Problem{{
		File: obj.File, Line: key.Line, Column: key.Column,
		Message: fmt.Sprintf("unknown API group %q", gvk.Group),
		Cure:    nearGroup(gvk.Group),
	}}
}

func nearGroup(group string) string {
	known := []string{ciliumGroup}
	for _, gv := range scheme.Scheme.PreferredVersionAllGroups() {
		known = append(known, gv.Group)
	}
	if near := nearest(group, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "netdojo's clusters have the groups of Kubernetes and cilium.io"
}

// lintTyped decodes an object of Kubernetes itself, fields that do not exist
// included.
func lintTyped(obj manifests.Object, root *yaml.Node) []Problem {
	typed, err := scheme.Scheme.New(obj.GroupVersionKind())
	if err != nil {
		return []Problem{{File: obj.File, Line: root.Line, Message: err.Error()}}
	}
	raw, err := json.Marshal(obj.Object)
	if err != nil {
		return []Problem{{File: obj.File, Line: root.Line, Message: err.Error()}}
	}
	return decodeStrict(obj, root, raw, typed)
}

func decodeStrict(obj manifests.Object, root *yaml.Node, raw []byte, typed runtime.Object) []Problem {
	complaints, err := sigsjson.UnmarshalStrict(raw, typed)
	var problems []Problem
	for _, c := range complaints {
		var field sigsjson.FieldError
		if !errors.As(c, &field) {
			problems = append(problems, Problem{File: obj.File, Line: root.Line, Message: c.Error()})
			continue
		}
		path := field.FieldPath()
		key, _ := manifests.NodeAt(root, manifests.SplitPath(path))
		name := path[strings.LastIndex(path, ".")+1:]
		problems = append(problems, Problem{
			File: obj.File, Line: key.Line, Column: key.Column,
			Message: fmt.Sprintf("%s: unknown field %q", strings.TrimSuffix(strings.TrimSuffix(path, name), "."), name),
			Cure:    "netdojo kubectl explain " + explainPath(obj.GetKind(), path) + " lists the fields",
		})
	}
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		key, _ := manifests.NodeAt(root, manifests.SplitPath(wrong.Field))
		problems = append(problems, Problem{
			File: obj.File, Line: key.Line, Column: key.Column,
			Message: fmt.Sprintf("%s: is %s, want %s", wrong.Field, article(wrong.Value), wrong.Type),
		})
	case err != nil:
		problems = append(problems, Problem{File: obj.File, Line: root.Line, Message: typeError.ReplaceAllString(err.Error(), "$1")})
	}
	return problems
}

var typeError = regexp.MustCompile(`^json: (.*)$`)

func explainPath(kind, path string) string {
	steps := []string{strings.ToLower(kind)}
	for _, s := range manifests.SplitPath(path) {
		if _, err := strconv.Atoi(s); err != nil {
			steps = append(steps, s)
		}
	}
	return strings.Join(steps[:len(steps)-1], ".")
}

func itoa(n int) string { return strconv.Itoa(n) }
