package labs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	crds "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2"
	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/manifests"
)

const ciliumGroup = "cilium.io"

// ciliumFiles are the kinds of Cilium that a lab may bring, with the definition
// that holds their fields.
var ciliumFiles = map[string]string{
	"CiliumNetworkPolicy":            "ciliumnetworkpolicies.yaml",
	"CiliumClusterwideNetworkPolicy": "ciliumclusterwidenetworkpolicies.yaml",
	"CiliumCIDRGroup":                "ciliumcidrgroups.yaml",
}

// shape is the part of a CRD's schema that tells which fields there are.
type shape struct {
	Type       string            `yaml:"type"`
	Properties map[string]*shape `yaml:"properties"`
	Items      *shape            `yaml:"items"`
	Required   []string          `yaml:"required"`
	Enum       []string          `yaml:"enum"`
	IntOrStr   bool              `yaml:"x-kubernetes-int-or-string"`
	Open       bool              `yaml:"x-kubernetes-preserve-unknown-fields"`
}

type definition struct {
	Spec struct {
		Versions []struct {
			Name   string `yaml:"name"`
			Schema struct {
				OpenAPI *shape `yaml:"openAPIV3Schema"`
			} `yaml:"schema"`
		} `yaml:"versions"`
	} `yaml:"spec"`
}

// shapes reads a definition at its first use, because one takes some tens of
// milliseconds.
var shapes = struct {
	sync.Mutex // guards byKind
	byKind     map[string]*definition
}{byKind: map[string]*definition{}}

func shapeOf(kind, version string) (*shape, error) {
	shapes.Lock()
	defer shapes.Unlock()
	def := shapes.byKind[kind]
	if def == nil {
		data, err := crds.EmbedFS.ReadFile(ciliumFiles[kind])
		if err != nil {
			return nil, err
		}
		def = &definition{}
		if err := yaml.Unmarshal(data, def); err != nil {
			return nil, err
		}
		shapes.byKind[kind] = def
	}
	for _, v := range def.Spec.Versions {
		if v.Name == version {
			return v.Schema.OpenAPI, nil
		}
	}
	return nil, nil
}

// lintCilium compares a policy's fields with those that Cilium's definition has.
func lintCilium(obj manifests.Object, root *yaml.Node) []Problem {
	gvk := obj.GroupVersionKind()
	problem := func(n *yaml.Node, cure, format string, args ...any) []Problem {
		return []Problem{{File: obj.File, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...), Cure: cure}}
	}
	if _, ok := ciliumFiles[gvk.Kind]; !ok {
		known := slices.Sorted(maps.Keys(ciliumFiles))
		cure := "known kinds: " + strings.Join(known, ", ")
		if near := nearest(gvk.Kind, known); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		}
		key, _ := manifests.NodeAt(root, []string{"kind"})
		return problem(key, cure, "unknown kind %s in %s", gvk.Kind, obj.GetAPIVersion())
	}
	s, err := shapeOf(gvk.Kind, gvk.Version)
	if err != nil {
		return problem(root, "", "the built-in definition of %s cannot be read: %v", gvk.Kind, err)
	}
	if s == nil {
		key, _ := manifests.NodeAt(root, []string{"apiVersion"})
		return problem(key, "write apiVersion: cilium.io/v2", "%s has no version %s", gvk.Kind, gvk.Version)
	}
	c := &comparison{file: obj.File}
	c.fields(root, s, "")
	if _, spec := manifests.NodeAt(root, []string{"spec"}); spec == root {
		if _, specs := manifests.NodeAt(root, []string{"specs"}); specs == root {
			c.add(root, "", "has neither spec nor specs", "add a spec with the policy's rules")
		}
	}
	return c.problems
}

type comparison struct {
	file     string
	problems []Problem
}

func (c *comparison) add(n *yaml.Node, path, message, cure string) {
	if path != "" {
		message = path + ": " + message
	}
	c.problems = append(c.problems, Problem{File: c.file, Line: n.Line, Column: n.Column, Message: message, Cure: cure})
}

// fields walks the document and the shape side by side. A place whose shape is
// not known takes anything; metadata is checked by the API.
func (c *comparison) fields(n *yaml.Node, s *shape, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if s == nil || s.Open || s.IntOrStr || n.ShortTag() == "!!null" {
		return
	}
	switch s.Type {
	case "object":
		if n.Kind != yaml.MappingNode {
			c.add(n, path, "is "+nodeText(n)+", want a mapping", "")
			return
		}
		c.object(n, s, path)
	case "array":
		if n.Kind != yaml.SequenceNode {
			c.add(n, path, "is "+nodeText(n)+", want a list", "start the entry with \"- \"")
			return
		}
		for i, item := range n.Content {
			c.fields(item, s.Items, fmt.Sprintf("%s[%d]", path, i))
		}
	case "string":
		switch {
		case n.Kind != yaml.ScalarNode:
			c.add(n, path, "is "+nodeText(n)+", want text", "")
		case n.ShortTag() != "!!str" && n.ShortTag() != "!!timestamp":
			c.add(n, path, "is "+n.Value+", want text", fmt.Sprintf("put it in quotes: %q", n.Value))
		case len(s.Enum) > 0 && !slices.Contains(s.Enum, n.Value):
			cure := "known: " + strings.Join(s.Enum, ", ")
			if near := nearest(n.Value, s.Enum); near != "" {
				cure = fmt.Sprintf("did you mean %q?", near)
			}
			c.add(n, path, fmt.Sprintf("%q is not known", n.Value), cure)
		}
	case "integer":
		if n.ShortTag() != "!!int" {
			c.add(n, path, "is "+nodeText(n)+", want an integer", "")
		}
	case "boolean":
		if n.ShortTag() != "!!bool" {
			c.add(n, path, "is "+nodeText(n)+", want true or false", "")
		}
	}
}

func (c *comparison) object(n *yaml.Node, s *shape, path string) {
	have := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		have[key.Value] = true
		if len(s.Properties) == 0 || path == "metadata" {
			continue
		}
		field, known := s.Properties[key.Value]
		if known {
			c.fields(value, field, join(path, key.Value))
			continue
		}
		names := slices.Sorted(maps.Keys(s.Properties))
		cure := "known fields: " + strings.Join(names, ", ")
		if near := nearest(key.Value, names); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		}
		c.add(key, path, fmt.Sprintf("unknown field %q", key.Value), cure)
	}
	for _, r := range s.Required {
		if !have[r] {
			c.add(n, path, fmt.Sprintf("lacks %q", r), "add "+r)
		}
	}
}

func nodeText(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%q", n.Value)
}
