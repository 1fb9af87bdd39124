package labs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs/schema"
)

const (
	reference = "../docs/labs-format.md"
	generated = "<!-- What follows is generated: go test ./labs -run TestReference -update -->\n"
)

// node is what the reference needs of a JSON Schema.
type node struct {
	Ref         string          `json:"$ref"`
	Defs        map[string]node `json:"$defs"`
	Description string          `json:"description"`
	Type        string          `json:"type"`
	Enum        []string        `json:"enum"`
	Properties  properties      `json:"properties"`
	Items       *node           `json:"items"`
	AnyOf       []node          `json:"anyOf"`
	Required    []string        `json:"required"`
	Additional  json.RawMessage `json:"additionalProperties"`
}

type property struct {
	name string
	node
}

// properties keep the order that they have in the schema.
type properties []property

func (p *properties) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		one := property{name: name.(string)}
		if err := dec.Decode(&one.node); err != nil {
			return err
		}
		*p = append(*p, one)
	}
	return nil
}

// The author's reference says what the schemas and the kinds of probes say.
func TestReference(t *testing.T) {
	have, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	byHand, rest, found := strings.Cut(string(have), generated)
	if !found {
		t.Fatalf("%s lacks the line %s", reference, generated)
	}
	want := referenceText(t)
	if *update {
		if err := os.WriteFile(reference, []byte(byHand+generated+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if rest != want {
		t.Errorf("%s is stale: go test ./labs -run TestReference -update", reference)
	}
}

func referenceText(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	lab, course := readSchema(t, schema.Lab), readSchema(t, schema.Course)
	b.WriteString("\n## Kinds of probes\n\nA check names its kind below `probe`: `probe: {tcp: {}}`.\n")
	probes := lab.Defs["Check"].property("probe")
	for _, k := range checks.ProbeKinds() {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n", k.Name, k.Summary)
		kind := probes.property(k.Name)
		for _, form := range append(kind.AnyOf, kind) {
			if len(form.Properties) > 0 {
				b.WriteString("\n" + fieldTable(form))
			}
		}
		fmt.Fprintf(&b, "\n%s\n", k.Evidence)
		c := checks.Check{Probe: checks.Spec{Probe: k.New()}}
		var programs []string
		for _, line := range c.Commands() {
			if line.Program != "" {
				programs = append(programs, "`"+line.Program+"`")
			}
		}
		if len(programs) > 0 && c.InPod() {
			fmt.Fprintf(&b, "\nThe image needs %s.\n", strings.Join(programs, " or "))
		}
		fmt.Fprintf(&b, "\n```yaml\nchecks:\n%s```\n", indent(strings.TrimPrefix(k.Example, "\n")))
	}
	b.WriteString("\n## Matrices\n\n" + lab.Defs["Check"].property("matrix").Description +
		" Each cell is a check of its own, called CHECK.ROW.COLUMN, with its own control and drop. " +
		"A cell that does not matter is written \"-\".\n")
	fmt.Fprintf(&b, "\n```yaml\nchecks:\n%s```\n", indent(strings.TrimPrefix(checks.MatrixExample, "\n")))
	b.WriteString("\n## Fields of lab.yaml\n")
	writeTypes(&b, lab, []string{"Lab", "World", "Exam", "Value", "Task", "Check", "From", "Matrix", "Row", "Column", "Question", "Choice", "Pair", "Hints", "Wrong", "Fails", "Unnoticed"})
	b.WriteString("\n## Fields of course.yaml\n")
	writeTypes(&b, course, []string{"Course", "Entry", "Track"})
	return b.String()
}

func readSchema(t *testing.T, text []byte) node {
	t.Helper()
	var n node
	if err := json.Unmarshal(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n node) property(name string) node {
	for _, p := range n.Properties {
		if p.name == name {
			return p.node
		}
	}
	return node{}
}

// writeTypes writes the types of a schema in this order; one that is missing
// there is an empty table, and one that is not named here fails the test by its
// reference.
func writeTypes(b *strings.Builder, root node, order []string) {
	for _, name := range order {
		fmt.Fprintf(b, "\n### %s\n\n%s", name, fieldTable(root.Defs[name]))
	}
	for name := range root.Defs {
		if !slices.Contains(order, name) {
			fmt.Fprintf(b, "\n%s is not described.\n", name)
		}
	}
}

func fieldTable(n node) string {
	var b strings.Builder
	b.WriteString("| field | is | what it says |\n| --- | --- | --- |\n")
	for _, p := range n.Properties {
		is := typeText(p.node)
		if slices.Contains(n.Required, p.name) {
			is += ", needed"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.name, is, strings.ReplaceAll(p.Description, "|", `\|`))
	}
	return b.String()
}

func typeText(n node) string {
	switch {
	case n.Ref != "":
		name := n.Ref[strings.LastIndex(n.Ref, "/")+1:]
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	case len(n.Enum) > 0:
		return strings.Join(n.Enum, ", ")
	case len(n.AnyOf) > 0:
		forms := make([]string, len(n.AnyOf))
		for i, f := range n.AnyOf {
			forms[i] = typeText(f)
		}
		return strings.Join(forms, "; or ")
	case n.Type == "array" && n.Items != nil:
		return "list of " + typeText(*n.Items)
	case n.Type == "object" && len(n.Properties) > 0:
		return "one of the [kinds](#kinds-of-probes)"
	case n.Type == "object":
		return "mapping"
	case n.Type == "string":
		return "text"
	}
	return n.Type
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + line)
	}
	return b.String()
}
