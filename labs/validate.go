package labs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/netdojo/netdojo/labs/schema"
	"github.com/netdojo/netdojo/manifests"
)

// compiled is the schema, compiled at the first use: most commands need none.
var compiled = sync.OnceValues(func() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema.Lab))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("lab.schema.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("lab.schema.json")
})

// validate checks a lab.yaml against the schema and returns the problems in the
// order of the file.
func validate(root *yaml.Node) []Problem {
	s, err := compiled()
	if err != nil {
		return []Problem{{File: FileName, Message: "the built-in schema does not compile: " + err.Error()}}
	}
	var invalid *jsonschema.ValidationError
	if err := s.Validate(plain(root)); !errors.As(err, &invalid) {
		return nil
	}
	var problems []Problem
	leaves(invalid, func(e *jsonschema.ValidationError) { problems = append(problems, schemaProblems(root, e)...) })
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return slices.Compact(problems)
}

func leaves(e *jsonschema.ValidationError, visit func(*jsonschema.ValidationError)) {
	if len(e.Causes) == 0 {
		visit(e)
	}
	for _, c := range e.Causes {
		leaves(c, visit)
	}
}

// schemaProblems words one complaint of the validator.
func schemaProblems(root *yaml.Node, e *jsonschema.ValidationError) []Problem {
	key, value := manifests.NodeAt(root, e.InstanceLocation)
	path := pathText(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		known := properties(e.SchemaURL)
		var problems []Problem
		for _, name := range k.Properties {
			unknown, _ := manifests.NodeAt(root, append(slices.Clone(e.InstanceLocation), name))
			cure := "known fields: " + strings.Join(known, ", ")
			if near := nearest(name, known); near != "" {
				cure = fmt.Sprintf("did you mean %q?", near)
			}
			problems = append(problems, at(unknown, path, fmt.Sprintf("unknown field %q", name), cure))
		}
		return problems
	case *kind.Required:
		return []Problem{at(key, path, "lacks "+quoteAll(k.Missing), "add "+strings.Join(k.Missing, " and "))}
	case *kind.Type:
		cure := ""
		if slices.Contains(k.Want, "string") && (k.Got == "number" || k.Got == "integer" || k.Got == "boolean") {
			cure = fmt.Sprintf("put it in quotes: %q", value.Value)
		}
		return []Problem{at(value, path, fmt.Sprintf("is %s, want %s", article(k.Got), article(strings.Join(k.Want, " or "))), cure)}
	case *kind.Enum:
		var known []string
		for _, w := range k.Want {
			known = append(known, fmt.Sprint(w))
		}
		cure := "known: " + strings.Join(known, ", ")
		if near := nearest(value.Value, known); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		}
		return []Problem{at(value, path, fmt.Sprintf("%q is not known", value.Value), cure)}
	case *kind.Pattern:
		return []Problem{at(value, path, fmt.Sprintf("%q is not in the form %s", k.Got, k.Want), "")}
	case *kind.MinLength:
		return []Problem{at(value, path, "is empty", "write something, or remove the field")}
	case *kind.MinItems, *kind.MinProperties:
		return []Problem{at(value, path, "is empty", "add at least one entry")}
	case *kind.UniqueItems:
		return []Problem{at(value, path, "holds the same entry twice", "keep one of them")}
	}
	text := e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	return []Problem{at(value, path, text, "")}
}

// pathText is a location as people write it: tasks[0].checks[1].to.
func pathText(location []string) string {
	path := ""
	for _, step := range location {
		if _, err := strconv.Atoi(step); err == nil {
			path += "[" + step + "]"
		} else {
			path = join(path, step)
		}
	}
	return path
}

// properties are the fields that a place of the schema allows, sorted.
func properties(url string) []string {
	_, pointer, _ := strings.Cut(url, "#")
	var place any
	if json.Unmarshal(schema.Lab, &place) != nil {
		return nil
	}
	for _, step := range strings.Split(strings.Trim(pointer, "/"), "/") {
		if step == "" {
			continue
		}
		m, ok := place.(map[string]any)
		if !ok {
			return nil
		}
		place = m[step]
	}
	m, _ := place.(map[string]any)
	fields, _ := m["properties"].(map[string]any)
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// plain makes JSON's types of a node tree without aliases. What is no JSON
// (dates, binaries) stays the text that it is.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = plain(c)
		}
		return list
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	case "!!int":
		var i int64
		if n.Decode(&i) == nil {
			return json.Number(strconv.FormatInt(i, 10))
		}
	case "!!float":
		var f float64
		if n.Decode(&f) == nil {
			if text, err := json.Marshal(f); err == nil {
				return json.Number(text)
			}
		}
	}
	return n.Value
}

func article(typ string) string {
	switch typ {
	case "object":
		return "a mapping"
	case "array":
		return "a list"
	case "integer":
		return "an integer"
	case "null":
		return "empty"
	case "string":
		return "text"
	}
	return "a " + typ
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return strings.Join(quoted, " and ")
}
