package export_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/net/html"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/export"
)

const labYAML = `id: "x"
title: "A <b>lab</b>"
namespace: front
tasks:
  - id: "x.1"
    title: One
    page: page.md
    checks:
      - id: m
        matrix:
          from: [{name: client, app: client}, {name: other, app: other}]
          to: [{name: server, to: "http://server:8080/"}]
          before: allowed
          after: {client: {server: allowed}, other: {server: denied}}
      - id: there
        title: The policy is there
        probe: {kubectl: {get: networkpolicy/a}}
        after: met
    quiz:
      - {id: q, ask: "Which?", choices: [{text: "The one", right: true}, {text: "The other"}], because: "So it is."}
    solution: [solution/a.yaml]
    hints: {question: "The question hint", concept: c, field: f, diff: "a:\n  b"}
    wrong: [{name: other, files: [wrong/other/a.yaml], hint: "The wrong hint", points: 0, fails: [{check: m.other.server, verdict: allowed}]}]
`

const page = `# Page

A <script>alert(1)</script> & <b>bold</b>.

<div onclick="x()">
block
</div>

![a picture](http://elsewhere.example/x.png) [bad](javascript:alert(1)) [good](https://kubernetes.io)

| a | b |
| --- | --- |
| 1 | 2 |
`

func folder(yaml string) fstest.MapFS {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"lab.yaml": yaml, "page.md": page,
		"solution/a.yaml":    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: the-solution}\n",
		"wrong/other/a.yaml": "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: the-wrong}\n",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func made(t *testing.T, yaml string) (course, key string) {
	t.Helper()
	lab, err := labs.Load(folder(yaml))
	if err != nil {
		t.Fatal(err)
	}
	c := &labs.Course{
		Title: "A course", Labs: []labs.Entry{{Lab: "x", Level: labs.Expert, Minutes: 20, Notes: "notes.md"}},
		FS: fstest.MapFS{"notes.md": {Data: []byte("# Notes\n\nThe note.\n")}},
	}
	var one, two bytes.Buffer
	if err := export.Course(&one, c, []*labs.Lab{lab}); err != nil {
		t.Fatal(err)
	}
	if err := export.Key(&two, c, []*labs.Lab{lab}); err != nil {
		t.Fatal(err)
	}
	return one.String(), two.String()
}

// The course has pages and notes, the key the answers, and neither the other's.
func TestParts(t *testing.T) {
	course, key := made(t, labYAML)
	for _, want := range []string{"The note.", "<h4>Notes</h4>", "<h3>Page</h3>", "A &lt;b&gt;lab&lt;/b&gt;", "<td>1</td>", "✓ allowed", "✗ denied", "The policy is there: met", "expert, 20 minutes"} {
		if !strings.Contains(course, want) {
			t.Errorf("the course lacks %q", want)
		}
	}
	for _, secret := range []string{"The one", "So it is.", "the-solution", "the-wrong", "The wrong hint", "The question hint"} {
		if strings.Contains(course, secret) {
			t.Errorf("the course tells %q", secret)
		}
		if !strings.Contains(key, secret) {
			t.Errorf("the key lacks %q", secret)
		}
	}
	if strings.Contains(key, "The other") || strings.Contains(key, "The note.") {
		t.Error("the key has what is no answer")
	}
	course, key = made(t, strings.Replace(labYAML, "namespace: front", "exam: {minutes: 10}", 1))
	if strings.Contains(course, "allowed") || !strings.Contains(course, "an exam") || !strings.Contains(key, "✗ denied") {
		t.Error("what an exam expects is in its key alone")
	}
}

// What a page holds of HTML is text; nothing is run, and nothing is fetched.
func TestSelfContained(t *testing.T) {
	for _, text := range func() []string { c, k := made(t, labYAML); return []string{c, k} }() {
		doc, err := html.Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			switch n.Data {
			case "script", "img", "link", "iframe", "b", "object":
				t.Errorf("it has an element %s", n.Data)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "src" || strings.Contains(a.Val, "javascript:") {
					t.Errorf("%s has %s=%q", n.Data, a.Key, a.Val)
				}
			}
		}
	}
	course, _ := made(t, labYAML)
	for _, want := range []string{"&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;div onclick=&quot;x()&quot;&gt;", "<em>a picture</em>", `href="https://kubernetes.io"`} {
		if !strings.Contains(course, want) {
			t.Errorf("it lacks %q", want)
		}
	}
}

// The catalogue is exported whole.
func TestCatalogue(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	course, err := labs.CatalogueCourse()
	if err != nil {
		t.Fatal(err)
	}
	var text, key bytes.Buffer
	if err := export.Course(&text, course, all); err != nil {
		t.Fatal(err)
	}
	if err := export.Key(&key, course, all); err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		for _, out := range []string{text.String(), key.String()} {
			if !strings.Contains(out, `id="lab-`+l.ID+`"`) {
				t.Errorf("lab %s is missing", l.ID)
			}
		}
	}
}
