package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/netdojo/netdojo/runner/record"
)

// page renders a record and reads the page back.
func rendered(t *testing.T, r record.Run) (text string, root *html.Node) {
	t.Helper()
	var buf bytes.Buffer
	if err := HTML(&buf, r); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(bytes.NewReader(buf.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return buf.String(), root
}

// elements are all of a name, "" for all.
func elements(root *html.Node, name string) []*html.Node {
	var found []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && (n.Data == name || name == "") {
			found = append(found, n)
		}
	}
	return found
}

func words(n *html.Node) string {
	var text strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			text.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func TestHTML(t *testing.T) {
	text, root := rendered(t, run(denied()))
	golden(t, "run.html", text)

	rows := elements(elements(root, "tbody")[1], "tr")
	if len(rows) != 1 {
		t.Fatalf("%d rows with the policy, want one", len(rows))
	}
	for _, want := range []string{
		"passed", "curl -Ik --connect-timeout 5 https://cilium.io", "denied, policy-drop",
		"control the same probe was allowed before the policy", "drop egress TCP default/backend-1 to 203.0.113.7:443 (cilium.io)",
		"by CiliumNetworkPolicy default/backend-egress",
	} {
		if got := words(rows[0]); !strings.Contains(got, want) {
			t.Errorf("%q is not in: %s", want, got)
		}
	}
	if _, root := rendered(t, run(tampered())); !strings.Contains(words(root), "curl (28) Connection timed out after 5001 milliseconds") {
		t.Error("curl's own words are not on the page")
	}
}

// TestHTMLMap: a task has its map, with the verdicts of the last phase.
func TestHTMLMap(t *testing.T) {
	_, root := rendered(t, run(denied()))
	maps := elements(root, "svg")
	if len(maps) != 1 {
		t.Fatalf("%d maps", len(maps))
	}
	if got := words(maps[0]); !strings.Contains(got, "✗ denied 443/TCP HEAD /") || !strings.Contains(got, "cilium.io") || strings.Contains(got, "✓ allowed") {
		t.Errorf("the map says: %s", got)
	}
}

// TestHTMLNeedsNothingElse: one file, without scripts and without anything to load.
func TestHTMLNeedsNothingElse(t *testing.T) {
	text, root := rendered(t, run(denied(), wide(), tampered()))
	for _, n := range elements(root, "") {
		if slices.Contains([]string{"script", "link", "img", "iframe", "object", "form"}, n.Data) {
			t.Errorf("there is a %s", n.Data)
		}
		for _, a := range n.Attr {
			if slices.Contains([]string{"src", "href", "style"}, a.Key) || strings.HasPrefix(a.Key, "on") {
				t.Errorf("%s has the attribute %s", n.Data, a.Key)
			}
		}
	}
	for _, word := range []string{"url(", "@import"} {
		if strings.Contains(text, word) {
			t.Errorf("the style has %s", word)
		}
	}
}

// TestHTMLCanBeRead: by a screen reader, without colours, on a phone and on paper.
func TestHTMLCanBeRead(t *testing.T) {
	text, root := rendered(t, run(denied(), wide()))
	if lang := attribute(elements(root, "html")[0], "lang"); lang != "en" {
		t.Errorf("the language is %q", lang)
	}
	if len(elements(root, "h1")) != 1 || len(elements(root, "h2")) != 1 || len(elements(root, "main")) != 1 {
		t.Error("want one main part, one first heading and a second one for the task")
	}
	for _, table := range elements(root, "table") {
		if len(elements(table, "caption")) != 1 {
			t.Error("a table has no caption")
		}
		head := elements(elements(table, "thead")[0], "th")
		for _, row := range elements(elements(table, "tbody")[0], "tr") {
			cells := elements(row, "td")
			if len(cells) != len(head)-1 {
				t.Fatalf("%d cells under %d headings", len(cells), len(head))
			}
			for i, c := range cells { // the labels stand in for the headings on a phone
				if got, want := attribute(c, "data-label"), words(head[i+1]); got != want {
					t.Errorf("the label of a cell is %q, its heading %q", got, want)
				}
			}
		}
		for _, th := range elements(table, "th") {
			if attribute(th, "scope") == "" {
				t.Errorf("the heading %q has no scope", words(th))
			}
		}
	}
	var results []string
	for _, c := range elements(root, "td") {
		if attribute(c, "data-label") == "Result" {
			results = append(results, words(c))
		}
	}
	if want := []string{"✓ passed", "✓ passed", "✗ failed"}; !slices.Equal(results, want) {
		t.Errorf("results are told as %q, want %q", results, want)
	}
	for _, need := range []string{"width=device-width", "@media (prefers-color-scheme: dark)", "@media print", "@media (max-width: 48rem)"} {
		if !strings.Contains(text, need) {
			t.Errorf("the page lacks %s", need)
		}
	}
}

// TestHTMLEscapes: nothing that a lab, a pod or curl says becomes part of the page.
func TestHTMLEscapes(t *testing.T) {
	const evil = `</style><script>alert(1)</script><b onclick="x">"'&`
	c := denied()
	c.ID, c.Title, c.From, c.Command, c.Detail = evil, evil, evil, []string{evil}, evil
	c.Evidence.Control.To, c.Evidence.Drop.Source, c.Evidence.Message = evil, evil, evil
	r := run(c)
	r.Lab, r.Provider, r.Datapath, r.Error = evil, evil, evil, evil
	r.Tasks[0].ID, r.Tasks[0].Title, r.Tasks[0].Hint = evil, evil, evil
	p := &r.Tasks[0].Policies[0]
	p.Name, p.Rejected, p.Cure = evil, evil, evil
	_, root := rendered(t, r)
	if len(elements(root, "script"))+len(elements(root, "b")) != 0 || len(elements(root, "style")) != 2 { // the page's and its map's
		t.Error("outside text became part of the page")
	}
	if got := strings.Count(words(root), evil); got < 16 {
		t.Errorf("the text is shown %d times only", got)
	}
}

// TestHTMLOfNothing: a session that broke off before its first verdict.
func TestHTMLOfNothing(t *testing.T) {
	_, root := rendered(t, record.Run{Lab: "04", Error: "cluster netdojo: it is gone"})
	if got := words(root); !strings.Contains(got, "stopped") || !strings.Contains(got, "it is gone") || !strings.Contains(got, "Nothing was judged.") {
		t.Errorf("the page says: %s", got)
	}
}
