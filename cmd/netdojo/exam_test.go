package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/room"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
	"github.com/netdojo/netdojo/labs"
)

// closedArgs are arguments with which each command that is closed in an exam would
// tell something: of the exam's lab and of another.
var closedArgs = map[string][][]string{
	"netdojo":                    {{}, {"--accessible"}, {"--provider", "fake"}},
	"netdojo bundle":             {{"bundle.tar.gz"}},
	"netdojo bundle open":        {{"bundle.tar.gz"}, {"--check", "bundle.tar.gz"}},
	"netdojo check":              {{"e1"}, {"e1", "-o", "json"}, {"e1", "-o", "junit"}, {"e1", "--task", "e1.2"}, {"02"}},
	"netdojo course":             {{}},
	"netdojo course export":      {{"--html", "course.html"}, {"--key", "key.html"}, {"course", "--key", "key.html"}},
	"netdojo exam pack":          {{"e1", "pack"}},
	"netdojo explain":            {{"red", "http://alpha.e1-1:8080"}, {"red", "alpha", "-o", "json"}},
	"netdojo flows":              {{}, {"-o", "json"}, {"--follow"}},
	"netdojo grade":              {{"submissions", "--lab", "e1"}},
	"netdojo grade browse":       {{"results"}, {"results", "--accessible"}},
	"netdojo grade forget":       {{"results", "jane"}},
	"netdojo grade override":     {{"results", "jane", "--points", "3", "--reason", "mine"}},
	"netdojo grade replay":       {{"results", "jane", "--lab", "e1", "--submissions", "s"}},
	"netdojo grade rescore":      {{"results"}},
	"netdojo grade show":         {{"results"}, {"results", "jane"}, {"results", "-o", "json"}},
	"netdojo grade worker":       {{}, {"--examine"}},
	"netdojo grade worker-image": {{"worker.tar"}},
	"netdojo hubble":             {{"observe"}, {"observe", "-o", "json"}},
	"netdojo lab":                {{}},
	"netdojo lab lint":           {{"e1"}, {"e1", "-o", "json"}},
	"netdojo lab lock":           {{}, {"course"}},
	"netdojo lab import":         {{"page.md"}},
	"netdojo lab new":            {{"mine"}},
	"netdojo lab test":           {{}, {"e1", "-o", "json"}},
	"netdojo lab watch":          {{"e1"}},
	"netdojo labs update":        {{"02"}},
	"netdojo lint":               {{"policy.yaml"}, {"policy.yaml", "-o", "json"}},
	"netdojo map":                {{}, {"-o", "json"}, {"-o", "svg"}},
	"netdojo matrix":             {{}, {"-o", "json"}},
	"netdojo page":               {{}},
	"netdojo page explain":       {{"page.md"}},
	"netdojo run":                {{"e1"}, {"e1", "-o", "json"}, {"e1", "--solve=false"}, {"02"}, {"page.md"}},
	"netdojo verify":             {{"results"}},
}

// openArgs are arguments of those that stay open and need no cluster; exam.txtar tries
// the others.
var openArgs = map[string][][]string{
	"netdojo completion":            {{}},
	"netdojo completion bash":       {{}},
	"netdojo completion fish":       {{}},
	"netdojo completion powershell": {{}},
	"netdojo completion zsh":        {{}},
	"netdojo environment":           {{}},
	"netdojo exam":                  {{}},
	"netdojo exam status":           {{}, {"-o", "json"}},
	"netdojo exit-codes":            {{}},
	"netdojo help":                  {{"exam"}, {"check"}},
	"netdojo image":                 {{}},
	"netdojo labs":                  {{}, {"-o", "json"}},
	"netdojo status":                {{}, {"-o", "json"}},
	"netdojo version":               {{}, {"-o", "json"}},
}

// every calls visit with each command of a tree.
func every(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, below := range c.Commands() {
		every(below, visit)
	}
}

// inExam is a state folder in which the exam e1 goes on.
func inExam(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("KUBECONFIG", dir+"/kubeconfig")
	if out, code := says(t, dir, "exam", "start", "e1"); code != exit.OK {
		t.Fatalf("the exam does not begin: %s", out)
	}
	return dir
}

// says runs a command line in this process and returns all that it says.
func says(t *testing.T, state string, args ...string) (said string, code int) {
	t.Helper()
	e, out := around(state)
	// For none at all cobra takes those of the process, which is a test's.
	code = app.Run(context.Background(), append([]string{}, args...), e)
	return out.String(), code
}

// around are a command's surroundings, and what it says on both streams.
func around(state string) (*env.Env, *bytes.Buffer) {
	s, out, _ := streams.Test("")
	s.Err = out
	return &env.Env{Streams: s, StateDir: state, Kinds: []env.Kind{{Name: "fake", New: newFake}}, Log: slog.New(slog.DiscardHandler)}, out
}

// In an exam each command either stays open, as the script exam.txtar tries, or is
// refused and tells nothing. A new command has to be one or the other.
func TestEveryCommandInAnExam(t *testing.T) {
	state := inExam(t)
	script, err := os.ReadFile("testdata/script/exam.txtar")
	if err != nil {
		t.Fatal(err)
	}
	e, _ := around(state)
	root := app.New(e)
	root.InitDefaultHelpCmd()
	var known []string
	every(root, func(c *cobra.Command) {
		path := c.CommandPath()
		known = append(known, path)
		open, classified := room.Commands[path]
		if !classified {
			t.Errorf("%s: say in room.Commands whether it is open in an exam", path)
		}
		if open {
			for _, args := range openArgs[path] {
				line := slices.Concat(strings.Fields(path)[1:], args)
				said, code := says(t, state, line...)
				if code != exit.OK {
					t.Errorf("%v ends with %d: %s", line, code, said)
				}
				told := tells(said)
				if path == "netdojo help" || path == "netdojo exit-codes" { // they explain the words
					told = answersIn(said)
				}
				for _, word := range told {
					t.Errorf("%v tells %q", line, word)
				}
			}
			if openArgs[path] == nil && !regexp.MustCompile(`(?m)^(exec|status \d) `+regexp.QuoteMeta(path)+`( |$)`).Match(script) {
				t.Errorf("%s is open in an exam, and exam.txtar does not try it", path)
			}
			return
		}
		if len(closedArgs[path]) == 0 {
			t.Errorf("%s is closed in an exam: give it arguments here", path)
		}
		for _, args := range closedArgs[path] {
			line := slices.Concat(strings.Fields(path)[1:], args)
			said, code := says(t, state, line...)
			if code != exit.Environment || !strings.Contains(said, "is closed in the exam e1") || !strings.Contains(said, "cure: ") {
				t.Errorf("%v ends with %d: %s", line, code, said)
			}
			for _, told := range tells(said) {
				t.Errorf("%v tells %q", line, told)
			}
			if at := slices.Index(args, "json"); at > 0 && path != "netdojo hubble" {
				typed(t, line, said)
			}
		}
	})
	for path := range room.Commands {
		if !slices.Contains(known, path) && !strings.HasPrefix(path, "netdojo __complete") {
			t.Errorf("there is no command %s", path)
		}
	}
}

// typed wants the refusal as an error that programs know.
func typed(t *testing.T, line []string, said string) {
	t.Helper()
	var told struct {
		Schema string
		Error  struct{ Type, Lab, Cure string }
	}
	if err := json.NewDecoder(strings.NewReader(said)).Decode(&told); err != nil ||
		told.Schema != room.ErrorSchema || told.Error.Type != "exam" || told.Error.Lab != "e1" || told.Error.Cure == "" {
		t.Errorf("%v tells programs %s (%v)", line, said, err)
	}
}

// tells are the verdicts, expectations and answers of the exam e1 in a text.
func tells(text string) []string {
	found := append(answersIn(text), verdictWords.FindAllString(text, -1)...)
	slices.Sort(found)
	return slices.Compact(found)
}

// answersIn are the texts of the exam e1 that only those who give it know.
func answersIn(text string) []string {
	var found []string
	for _, secret := range secrets() {
		if strings.Contains(text, secret) {
			found = append(found, secret)
		}
	}
	return found
}

// verdictWords are those with which netdojo tells what was seen or expected of a
// connection.
var verdictWords = regexp.MustCompile(`\b(allowed|denied|denied-l7|inconclusive|tampered|no-control|FORWARDED|DROPPED|REDIRECTED|as expected|points)\b`)

// secrets are the exam's hints, wrong answers, solutions and the ids of its checks.
var secrets = sync.OnceValue(func() []string {
	lab, err := labs.Open("e1")
	if err != nil {
		panic(err)
	}
	var all []string
	for _, t := range lab.Tasks {
		for _, h := range t.Hints.Levels() {
			all = append(all, strings.Split(h, "\n")[0])
		}
		for _, w := range t.Wrong {
			all = append(all, w.Name, strings.TrimSpace(w.Hint))
		}
		for _, c := range t.Checks {
			all = append(all, c.ID)
		}
		for _, f := range t.Solution {
			data, err := fs.ReadFile(lab.FS, f)
			if err != nil {
				panic(err)
			}
			all = append(all, strings.TrimSpace(string(data)))
		}
	}
	return all
})

// tellsNothing wants that what the last command said holds no verdict, expectation or
// answer of the exam e1: tellsnothing [FILE...]. Files are looked at too.
func tellsNothing(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: tellsnothing [FILE...]")
	}
	for _, name := range append([]string{"stdout", "stderr"}, args...) {
		if told := tells(ts.ReadFile(name)); len(told) > 0 {
			ts.Fatalf("%s tells %q", name, told)
		}
	}
}

// The words that are looked for are those that netdojo says outside of an exam.
func TestTells(t *testing.T) {
	lab, err := labs.Open("e1")
	if err != nil {
		t.Fatal(err)
	}
	data, err := fs.ReadFile(lab.FS, labs.FileName)
	if err != nil {
		t.Fatal(err)
	}
	if found := tells(string(data)); len(found) < 50 {
		t.Errorf("in the lab itself only %q are found", found)
	}
	if found := tells("pass  m.red.alpha  denied, as expected"); len(found) != 3 {
		t.Errorf("found %q", found)
	}
}

// A refusal is known by its type.
func TestRefusedError(t *testing.T) {
	e, _ := around(inExam(t))
	var refused *room.RefusedError
	if err := room.Closed(e, "netdojo"); !errors.As(err, &refused) || refused.Lab != "e1" {
		t.Errorf("a screen that was opened before is told %v", err)
	}
	e.StateDir = t.TempDir()
	if err := room.Closed(e, "netdojo"); err != nil {
		t.Errorf("without an exam: %v", err)
	}
}
