package object

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// NodeAt walks down a YAML document by mapping keys and list indexes. The key is
// where to point for the field itself, the value for what it holds; a step that
// is missing stays where it got to.
func NodeAt(root *yaml.Node, path []string) (key, value *yaml.Node) {
	key, value = root, root
	for _, step := range path {
		found := false
		switch value.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(value.Content); i += 2 {
				if value.Content[i].Value == step {
					key, value, found = value.Content[i], value.Content[i+1], true
					break
				}
			}
		case yaml.SequenceNode:
			if n, err := strconv.Atoi(step); err == nil && n >= 0 && n < len(value.Content) {
				key, value, found = value.Content[n], value.Content[n], true
			}
		}
		if !found {
			return key, value
		}
	}
	return key, value
}

// SplitPath takes a field's path apart: spec.containers[0].image.
func SplitPath(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}
