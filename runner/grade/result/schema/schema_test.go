package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/result/schema"
	"github.com/netdojo/netdojo/runner/grade/submission"
)

var update = flag.Bool("update", false, "write the schema anew")

const file = "grade.schema.json"

// The schema says what the types say.
func TestSchema(t *testing.T) {
	r := &jsonschema.Reflector{Anonymous: true}
	for _, dir := range []string{"result", "submission"} {
		if err := r.AddGoComments("github.com/netdojo/netdojo/runner/grade", "../../"+dir); err != nil {
			t.Fatal(err)
		}
	}
	comments := map[string]string{}
	for name, comment := range r.CommentMap {
		// The folder's ../.. has eaten the path's last two elements.
		name = strings.Replace(name, "github.com/netdojo/netdojo/", "github.com/netdojo/netdojo/runner/grade/", 1)
		comments[strings.Replace(name, "runner/grade/runner/grade", "runner/grade", 1)] = strings.Join(strings.Fields(comment), " ")
	}
	r.CommentMap = comments
	s := r.Reflect(&result.Class{})
	s.ID, s.Title, s.Description = "https://netdojo.dev/schema/"+file, "Results of netdojo grade", ""
	want, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(schema.Grade, want) {
		t.Errorf("%s is not what the types say; go generate ./runner/grade/result/schema writes it", file)
	}
}

// What is printed fits the schema, and what is not meant does not.
func TestResultsFit(t *testing.T) {
	doc, err := validator.UnmarshalJSON(bytes.NewReader(schema.Grade))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource(file, doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	due := time.Date(2026, 11, 20, 23, 0, 0, 0, time.UTC)
	b := result.NewBuilder(result.Lab{ID: "02", Title: "Deny", Digest: "sha256:0"}, "v1", 4, result.Weights{Due: due, PenaltyPerDay: 10},
		map[string]result.Override{"s-a": {Points: 3, Reason: "why", At: due}})
	b.Add(result.Record{ID: "s-a", Status: result.Graded, Points: 2, Tasks: []result.Task{{ID: "1", Pairs: []result.Pair{{Allow: "a", Deny: "b", Max: 1}}}},
		Submission: result.Submission{At: due.Add(time.Hour), Problems: []submission.Problem{{File: "f", Line: 2, Message: "m", Cure: "c"}}}})
	b.Add(result.Record{ID: "s-b", Status: result.TimeLimit, Cause: "late", Tasks: []result.Task{}})
	b.Absent("s-c")
	class := b.Class()
	class.Marks[0].Checks = []result.Check{{Task: "1", Check: "a", Expect: checks.ExpectAllowed, Verdict: checks.Allowed, Cause: checks.CauseOK}}
	fits := func(change func(map[string]any)) error {
		text, err := json.Marshal(class)
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		change(v)
		return compiled.Validate(v)
	}
	if err := fits(func(map[string]any) {}); err != nil {
		t.Error(err)
	}
	if fits(func(v map[string]any) { delete(v, "submissions") }) == nil {
		t.Error("results without submissions fit")
	}
	if fits(func(v map[string]any) { v["submissions"].([]any)[0].(map[string]any)["points"] = "many" }) == nil {
		t.Error("points may be text")
	}
}
