package lint

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// value is a place in a document: what stands there, the node to point at for it, and
// its path. The zero value is a place that is not there.
type value struct {
	node, at *yaml.Node
	path     string
}

func (v value) ok() bool { return v.node != nil }

// null says whether a field is there and has no value.
func (v value) null() bool { return v.node != nil && v.node.ShortTag() == "!!null" }

// resolved follows an alias to its anchor.
func resolved(n *yaml.Node) *yaml.Node {
	for range 32 { // an alias of an alias; object.Parse refuses circles
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}

// get is a field of a mapping.
func (v value) get(name string) value {
	for _, e := range v.entries() {
		if e.name == name {
			return e.value
		}
	}
	return value{}
}

type entry struct {
	name string
	value
}

// entries are the fields of a mapping, those that a merge key brings included.
func (v value) entries() []entry {
	n := resolved(v.node)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	var out []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.ShortTag() == "!!merge" {
			merged := resolved(n.Content[i+1])
			if merged != nil && merged.Kind == yaml.MappingNode {
				out = append(out, value{merged, key, v.path}.entries()...)
			}
			continue
		}
		out = append(out, entry{key.Value, value{n.Content[i+1], key, join(v.path, key.Value)}})
	}
	return out
}

// items are the entries of a list.
func (v value) items() []value {
	n := resolved(v.node)
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	out := make([]value, len(n.Content))
	for i, item := range n.Content {
		out[i] = value{item, item, fmt.Sprintf("%s[%d]", v.path, i)}
	}
	return out
}

// text is a scalar as it is written, "" when it is none.
func (v value) text() string {
	if n := resolved(v.node); n != nil && n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
		return n.Value
	}
	return ""
}

// here points at the value itself in place of its key.
func (v value) here() value {
	if v.node != nil && v.node.Line > 0 {
		v.at = v.node
	}
	return v
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
