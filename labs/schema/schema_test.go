package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
)

var update = flag.Bool("update", false, "write the schemas anew")

// The schema files say what the types say.
func TestSchemas(t *testing.T) {
	for _, s := range []struct {
		file, title string
		of          any
	}{
		{"lab.schema.json", "A netdojo lab", &labs.Lab{}},
		{"course.schema.json", "A netdojo course", &labs.Course{}},
	} {
		want := generate(t, s.of, s.title, s.file)
		if *update {
			if err := os.WriteFile(s.file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(s.file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s is not what the types say; go generate ./labs/schema writes it", s.file)
		}
	}
}

// generate makes the schema of a type. Fields are named by their yaml tag,
// bounded by their jsonschema tag and described by their comment.
func generate(t *testing.T, of any, title, file string) []byte {
	t.Helper()
	r := &jsonschema.Reflector{FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, Anonymous: true}
	for _, dir := range []string{"labs", "checks"} {
		// Comments are found by the path that a package is imported by.
		if err := r.AddGoComments("github.com/netdojo/netdojo", "../../"+dir); err != nil {
			t.Fatal(err)
		}
	}
	comments := map[string]string{}
	for name, comment := range r.CommentMap {
		// The folder's ../.. has eaten the module's last two elements.
		name = strings.Replace(name, "github.com/", "github.com/netdojo/netdojo/", 1)
		comments[name] = strings.Join(strings.Fields(comment), " ")
	}
	r.CommentMap = comments
	r.Mapper = func(typ reflect.Type) *jsonschema.Schema { return mapped(r, typ) }
	s := r.Reflect(of)
	s.ID, s.Title, s.Description = jsonschema.ID("https://netdojo.dev/schema/"+file), title, ""
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// mapped is the schema of types that are written in another form than Go has
// them in; nil for all others.
func mapped(r *jsonschema.Reflector, typ reflect.Type) *jsonschema.Schema {
	switch typ {
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: "^[1-9][0-9]*(ms|s|m)$"}
	case reflect.TypeFor[checks.Expect]():
		return words("allowed", "denied", "denied-l7", "met", "unmet")
	case reflect.TypeFor[checks.Kind]():
		return words("allowed", "denied", "denied-l7", "met", "unmet", "broken", "inconclusive")
	case reflect.TypeFor[checks.Table]():
		cell := words("allowed", "denied", "denied-l7", "-")
		row := &jsonschema.Schema{Type: "object", AdditionalProperties: cell}
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "string", Enum: words("allowed", "denied", "denied-l7").Enum}, {Type: "object", AdditionalProperties: row},
		}}
	case reflect.TypeFor[checks.Curl]():
		return list(0)
	case reflect.TypeFor[checks.Command]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{list(1), commandFields(r)}}
	case reflect.TypeFor[checks.Spec]():
		kinds := jsonschema.NewProperties()
		for _, k := range checks.ProbeKinds() {
			kind := mapped(r, reflect.TypeOf(k.New()).Elem())
			if kind == nil {
				kind = inline(r, reflect.TypeOf(k.New()).Elem())
			}
			kind.Description = k.Summary
			kinds.Set(k.Name, kind)
		}
		return &jsonschema.Schema{Type: "object", Properties: kinds, AdditionalProperties: jsonschema.FalseSchema}
	}
	return nil
}

// inline is a type's own schema without a reference.
func inline(r *jsonschema.Reflector, typ reflect.Type) *jsonschema.Schema {
	alone := *r
	alone.ExpandedStruct = true
	s := alone.ReflectFromType(typ)
	s.Version, s.Definitions = "", nil
	return s
}

func words(all ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{}
	for _, w := range all {
		s.Enum = append(s.Enum, w)
	}
	return s
}

func list(least uint64) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "string"}}
	if least > 0 {
		s.MinItems = &least
	}
	return s
}

// commandFields is the long form of a command.
func commandFields(r *jsonschema.Reflector) *jsonschema.Schema {
	plain := *r
	plain.Mapper = nil
	return inline(&plain, reflect.TypeFor[checks.Command]())
}
