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

	"github.com/netdojo/netdojo/internal/typo"
	"github.com/netdojo/netdojo/labs/schema"
	"github.com/netdojo/netdojo/manifests/object"
)

// format is a kind of file and its schema, which is compiled at the first use:
// most commands need none.
type format struct {
	file     string
	start    string // how to begin an empty one
	text     []byte
	compiled func() (*jsonschema.Schema, error)
}

func newFormat(file, start string, text []byte) format {
	return format{file: file, start: start, text: text, compiled: sync.OnceValues(func() (*jsonschema.Schema, error) {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource(file, doc); err != nil {
			return nil, err
		}
		return c.Compile(file)
	})}
}

var (
	labFormat    = newFormat(FileName, "start with id, title and tasks", schema.Lab)
	courseFormat = newFormat(CourseFile, "start with title and labs", schema.Course)
)

// validate checks a file against its schema and returns the problems in the
// order of the file.
func (f format) validate(root *yaml.Node) []Problem {
	s, err := f.compiled()
	if err != nil {
		return []Problem{{File: f.file, Message: "the built-in schema does not compile: " + err.Error()}}
	}
	var invalid *jsonschema.ValidationError
	if err := s.Validate(plain(root)); !errors.As(err, &invalid) {
		return nil
	}
	var problems []Problem
	leaves(invalid, func(e *jsonschema.ValidationError) { problems = append(problems, f.problems(root, e)...) })
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return slices.Compact(problems)
}

func leaves(e *jsonschema.ValidationError, visit func(*jsonschema.ValidationError)) {
	causes := e.Causes
	if _, ok := e.ErrorKind.(*kind.AnyOf); ok {
		causes = meant(causes)
	}
	if len(causes) == 0 {
		visit(e)
	}
	for _, c := range causes {
		leaves(c, visit)
	}
}

// meant are the complaints about the one of several forms that was written: those
// of forms of another type say nothing. Where no form has the type, they become
// one complaint that names all types.
func meant(forms []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	var fit []*jsonschema.ValidationError
	var types *kind.Type
	for _, f := range forms {
		switch k := f.ErrorKind.(type) {
		case *kind.Type:
			if types == nil {
				types = &kind.Type{Got: k.Got}
			}
			types.Want = append(types.Want, k.Want...)
		default:
			fit = append(fit, f)
		}
	}
	if len(fit) > 0 || types == nil {
		return fit
	}
	one := *forms[0]
	one.ErrorKind = types
	return []*jsonschema.ValidationError{&one}
}

// problems words one complaint of the validator.
func (f format) problems(root *yaml.Node, e *jsonschema.ValidationError) []Problem {
	key, value := object.NodeAt(root, e.InstanceLocation)
	path := pathText(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		known := f.properties(e.SchemaURL)
		var problems []Problem
		for _, name := range k.Properties {
			unknown, _ := object.NodeAt(root, append(slices.Clone(e.InstanceLocation), name))
			cure := "known fields: " + strings.Join(known, ", ")
			if near := typo.Nearest(name, known); near != "" {
				cure = fmt.Sprintf("did you mean %q?", near)
			}
			problems = append(problems, f.at(unknown, path, fmt.Sprintf("unknown field %q", name), cure))
		}
		return problems
	case *kind.Required:
		return []Problem{f.at(key, path, "lacks "+quoteAll(k.Missing), "add "+strings.Join(k.Missing, " and "))}
	case *kind.Type:
		cure := ""
		if slices.Contains(k.Want, "string") && (k.Got == "number" || k.Got == "integer" || k.Got == "boolean") {
			cure = fmt.Sprintf("put it in quotes: %q", value.Value)
		}
		return []Problem{f.at(value, path, fmt.Sprintf("is %s, want %s", article(k.Got), eitherOf(k.Want)), cure)}
	case *kind.Enum:
		var known []string
		for _, w := range k.Want {
			known = append(known, fmt.Sprint(w))
		}
		cure := "known: " + strings.Join(known, ", ")
		if near := typo.Nearest(value.Value, known); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		}
		return []Problem{f.at(value, path, fmt.Sprintf("%q is not known", value.Value), cure)}
	case *kind.Pattern:
		return []Problem{f.at(value, path, fmt.Sprintf("%q is not in the form %s", k.Got, k.Want), "")}
	case *kind.MinLength:
		return []Problem{f.at(value, path, "is empty", "write something, or remove the field")}
	case *kind.MinItems, *kind.MinProperties:
		return []Problem{f.at(value, path, "is empty", "add at least one entry")}
	case *kind.UniqueItems:
		return []Problem{f.at(value, path, "holds the same entry twice", "keep one of them")}
	}
	text := e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	return []Problem{f.at(value, path, text, "")}
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
func (f format) properties(url string) []string {
	_, pointer, _ := strings.Cut(url, "#")
	var place any
	if json.Unmarshal(f.text, &place) != nil {
		return nil
	}
	for _, step := range strings.Split(strings.Trim(pointer, "/"), "/") {
		if step == "" {
			continue
		}
		switch at := place.(type) {
		case map[string]any:
			place = at[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(at) {
				return nil
			}
			place = at[i]
		default:
			return nil
		}
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

// eitherOf names types of JSON as people do.
func eitherOf(types []string) string {
	named := make([]string, len(types))
	for i, t := range types {
		named[i] = article(t)
	}
	return strings.Join(named, " or ")
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
