// Package object reads Kubernetes objects from YAML, with the place of each in
// its file. It talks to no cluster.
package object

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/internal/typo"
)

// Object is a Kubernetes object as a file declares it.
type Object struct {
	*unstructured.Unstructured
	File string    // "" when it comes from no file
	Line int       // of the document's first line in File, from 1
	Node yaml.Node // the document, with positions relative to File
}

// Ref names the object, NAMESPACE defaulting to def when the file gives none.
// Objects of cluster scope keep the default: the API's mapping decides.
func (o Object) Ref(def string) Ref {
	ns := o.GetNamespace()
	if ns == "" {
		ns = def
	}
	return Ref{GVK: o.GroupVersionKind(), Namespace: ns, Name: o.GetName()}
}

// Ref names an object of the API.
type Ref struct {
	GVK             schema.GroupVersionKind
	Namespace, Name string
}

// String is KIND NAMESPACE/NAME.
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.GVK.Kind + " " + r.Name
	}
	return r.GVK.Kind + " " + r.Namespace + "/" + r.Name
}

// SyntaxError is a file that does not hold Kubernetes objects.
type SyntaxError struct {
	File         string
	Line, Column int // from 1; 0 when unknown
	Message      string
	Advice       string
}

func (e *SyntaxError) Error() string {
	pos := e.File
	if e.Line > 0 {
		pos += ":" + strconv.Itoa(e.Line)
		if e.Column > 0 {
			pos += ":" + strconv.Itoa(e.Column)
		}
	}
	return pos + ": " + e.Message
}

// Cure says how to mend the file.
func (e *SyntaxError) Cure() string { return e.Advice }

// SyntaxErrors takes an error of Parse apart. What is none of its own becomes one of the
// file without a place.
func SyntaxErrors(file string, err error) []*SyntaxError {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*SyntaxError
		for _, e := range many.Unwrap() {
			all = append(all, SyntaxErrors(file, e)...)
		}
		return all
	}
	var s *SyntaxError
	if errors.As(err, &s) {
		return []*SyntaxError{s}
	}
	return []*SyntaxError{{File: file, Message: err.Error()}}
}

// Parse reads the YAML documents of a file. Empty documents are passed over, the
// items of a List are taken out of it. Errors are *SyntaxError, all of them
// joined, beside the objects that could be read.
func Parse(file string, data []byte) ([]Object, error) {
	var objects []Object
	var errs []error
	for _, doc := range split(data) {
		found, err := parseDocument(file, doc)
		objects = append(objects, found...)
		errs = append(errs, err)
	}
	return objects, errors.Join(errs...)
}

type document struct {
	line int // of its first line, from 1
	text []byte
}

// split cuts a stream at the lines that start with "---".
func split(data []byte) []document {
	var docs []document
	current := document{line: 1}
	for i, line := range bytes.SplitAfter(data, []byte("\n")) {
		if bytes.HasPrefix(line, []byte("---")) && len(bytes.TrimSpace(line)) == 3 {
			docs = append(docs, current)
			current = document{line: i + 2}
			continue
		}
		current.text = append(current.text, line...)
	}
	return append(docs, current)
}

func parseDocument(file string, doc document) ([]Object, error) {
	var node yaml.Node
	err := yaml.NewDecoder(bytes.NewReader(doc.text)).Decode(&node)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, yamlError(file, doc, err)
	}
	if len(node.Content) == 0 || node.Content[0].Tag == "!!null" {
		return nil, nil
	}
	shift(&node, doc.line-1, map[*yaml.Node]bool{})
	root := node.Content[0]
	fail := func(n *yaml.Node, advice, format string, args ...any) error {
		return &SyntaxError{File: file, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...), Advice: advice}
	}
	if root.Kind != yaml.MappingNode {
		return nil, fail(root, "start the document with apiVersion and kind", "a Kubernetes object is a mapping, this is a %s", kindName(root))
	}
	raw, err := sigsyaml.YAMLToJSONStrict(doc.text)
	if err != nil {
		return nil, yamlError(file, doc, err)
	}
	var content map[string]any
	if err := json.Unmarshal(raw, &content); err != nil {
		return nil, fail(root, "", "%v", err)
	}
	for _, key := range []string{"apiVersion", "kind"} {
		if s, ok := content[key].(string); !ok || s == "" {
			at, advice := meant(root, key, "every Kubernetes object names its "+key)
			return nil, fail(at, advice, "%s is missing", key)
		}
	}
	if meta, ok := content["metadata"]; ok {
		if _, ok := meta.(map[string]any); !ok {
			return nil, fail(root, "metadata holds name, namespace and labels", "metadata is not a mapping")
		}
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		return nil, fail(root, "", "%v", err)
	}
	if u.IsList() {
		list, err := u.ToList()
		if err != nil {
			return nil, fail(root, "", "%v", err)
		}
		var objects []Object
		for i := range list.Items {
			objects = append(objects, Object{Unstructured: &list.Items[i], File: file, Line: root.Line, Node: node})
		}
		return objects, nil
	}
	if u.GetName() == "" {
		at, advice := meant(root, "metadata", "give it metadata.name")
		if _, meta := NodeAt(root, []string{"metadata"}); meta != root && meta.Kind == yaml.MappingNode {
			at, advice = meant(meta, "name", advice)
		}
		return nil, fail(at, advice, "%s has no name", u.GetKind())
	}
	return []Object{{Unstructured: u, File: file, Line: root.Line, Node: node}}, nil
}

// meant is the key of a mapping that is most likely a mistyped one, with the cure;
// without such a key the mapping itself, with the other cure.
func meant(mapping *yaml.Node, key, otherwise string) (*yaml.Node, string) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if k := mapping.Content[i]; k.Value != key && typo.Nearest(k.Value, []string{key}) != "" {
			return k, fmt.Sprintf("write %s for %s", key, k.Value)
		}
	}
	return mapping, otherwise
}

// shift moves a tree down by some lines. Aliases may share nodes.
func shift(n *yaml.Node, lines int, seen map[*yaml.Node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	n.Line += lines
	for _, c := range n.Content {
		shift(c, lines, seen)
	}
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "list"
	case yaml.ScalarNode:
		return "single value"
	case yaml.MappingNode:
		return "mapping"
	}
	return "reference"
}

// Images are the names of the images that objects run, sorted, whatever kind the objects
// are.
func Images(objects []Object) []string {
	var images []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, below := range v {
				list, isList := below.([]any)
				if isList && (key == "containers" || key == "initContainers") {
					for _, c := range list {
						container, _ := c.(map[string]any)
						if image, ok := container["image"].(string); ok && image != "" {
							images = append(images, image)
						}
					}
				}
				walk(below)
			}
		case []any:
			for _, below := range v {
				walk(below)
			}
		}
	}
	for _, o := range objects {
		walk(o.Object)
	}
	slices.Sort(images)
	return slices.Compact(images)
}
