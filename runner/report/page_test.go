package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report/junit"
)

// pages has one of everything that becomes of a page.
func pages() record.Pages {
	zero, one, timeout := 0, 1, 28
	evidence := checks.Evidence{
		Control: &checks.Control{Kind: checks.ControlBefore, To: "https://cilium.io", HTTPStatus: 200, Subject: checks.Subject{Namespace: "default", Pod: "backend"}},
		Drop:    &checks.Drop{Direction: "egress", Protocol: "TCP", Source: "default/backend", Destination: "192.0.2.1:443", Names: []string{"cilium.io"}, Reason: "POLICY_DENIED", Policies: []checks.PolicyName{{Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "fqdn"}}},
	}
	return record.Pages{
		Schema: record.PagesSchema, Provider: "embedded", Datapath: "netdojo", Started: began, TotalMs: 6600,
		Pages: []record.Page{{
			File: "page.md", Title: "A page", Passed: 2, Failed: 2, Broken: 2, Skipped: 1, Unclaimed: 1, Notes: []string{"page.md:3: shortcode x is not known"},
			Commands: []record.PageCommand{
				{Number: 1, Line: 5, Text: "kubectl get cnp", State: record.CommandDone, Exit: &zero, Ms: 12, Claims: []record.PageClaim{
					{Line: 9, Kind: "output", Says: "NAME AGE", Passed: true},
					{Line: 10, Kind: "output", Says: "other", Observed: "no line that is shown is like it", Rule: "what the command shows, line by line", Should: "fqdn   2s"},
				}},
				{Number: 2, Line: 14, Text: "curl https://cilium.io", State: record.CommandDone, Exit: &zero, Ms: 5000, Claims: []record.PageClaim{
					{Line: 18, Kind: "denied", Says: "curl: (28)", Passed: true, Verdict: checks.Denied, ExitCode: &timeout, Observed: "egress to cilium.io is dropped by default/fqdn", Rule: "denied by CiliumNetworkPolicy default/fqdn", Evidence: evidence},
					{Line: 20, Kind: "allowed", Says: "HTTP/2 200", Verdict: checks.Denied, ExitCode: &timeout, Observed: "egress to cilium.io is dropped by default/fqdn", Rule: "denied by CiliumNetworkPolicy default/fqdn", Should: "curl: (28) timed out", Evidence: evidence},
				}},
				{Number: 3, Line: 22, Text: "vi x.yaml", State: record.CommandSkipped, Why: "an editor"},
				{Number: 4, Line: 24, Text: "kubectl logs -f x", State: record.CommandEnded, Why: "it follows a log"},
				{Number: 5, Line: 26, Text: "kubectl get po\nkubectl get x", State: record.CommandFailed, Why: "it ended with exit code 1, and the page does not say so", Exit: &one, Output: "error: the server has no x\n"},
				{Number: 6, Line: 28, Text: "echo", State: record.CommandNotRun, Why: "the shell is gone"},
			},
		}},
	}
}

func plainPages(r record.Pages, err error) string {
	var out bytes.Buffer
	p := PagePlain{NewPlain(&out, PlainOptions{Width: 100})}
	for _, pg := range r.Pages {
		p.Page(page.Page{File: pg.File, Title: pg.Title, Notes: []page.Note{{Line: 3, Text: "shortcode x is not known"}}})
		for _, c := range pg.Commands {
			p.Command(pg.File, c)
		}
	}
	p.Finished(r, err)
	_ = p.Close()
	return out.String()
}

func TestPagesAreReported(t *testing.T) {
	golden(t, "page.txt", plainPages(pages(), nil))
	for _, f := range PageFormats {
		t.Run(f.Name, func(t *testing.T) {
			var out bytes.Buffer
			if err := f.Write(&out, pages()); err != nil {
				t.Fatal(err)
			}
			golden(t, "page."+f.Name, out.String())
			switch f.Name {
			case "json":
				var back record.Pages
				if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.OK() || len(back.Pages[0].Commands) != 6 {
					t.Errorf("read back %v, %+v", err, back)
				}
			case "junit":
				var back junit.Suites
				if err := xml.Unmarshal(out.Bytes(), &back); err != nil || back.Tests != 10 || back.Failures != 4 || back.Suites[0].Skipped != 1 {
					t.Errorf("read back %v: %d tests, %d failures", err, back.Tests, back.Failures)
				}
			}
		})
	}
}

// TestPagesTextIsNotObeyed: nothing that a page or its commands say is obeyed by a
// terminal, a browser or a runner of workflows.
func TestPagesTextIsNotObeyed(t *testing.T) {
	const evil = "evil\x1b]0;owned\x07\x00<script>alert(1)</script>\n::add-mask::x\r\n"
	r := pages()
	pg := &r.Pages[0]
	pg.File, pg.Title, pg.Notes = evil, evil, []string{evil}
	for i := range pg.Commands {
		c := &pg.Commands[i]
		c.Text, c.Why, c.Output = evil, evil, evil
		for j := range c.Claims {
			c.Claims[j].Says, c.Claims[j].Observed, c.Claims[j].Should, c.Claims[j].Rule = evil, evil, evil, evil
		}
	}
	r.Error = evil
	if said := plainPages(r, nil); strings.ContainsAny(said, "\x1b\x07\x00\r") {
		t.Errorf("plain: %q", said)
	}
	for _, f := range PageFormats {
		var out bytes.Buffer
		if err := f.Write(&out, r); err != nil {
			t.Fatal(err)
		}
		said := out.String()
		if strings.ContainsAny(said, "\x1b\x07\x00") || f.Name == "html" && strings.Contains(said, "<script>") {
			t.Errorf("%s: %q", f.Name, said)
		}
		if f.Name == "github" {
			for line := range strings.Lines(said) {
				if strings.HasPrefix(line, "::add-mask") {
					t.Errorf("github: %q", line)
				}
			}
		}
		if f.Name == "junit" {
			if err := xml.Unmarshal(out.Bytes(), new(junit.Suites)); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestClaimsThatWait: a claim that waits is neither good nor bad, and told again.
func TestClaimsThatWait(t *testing.T) {
	c := pages().Pages[0].Commands[1]
	proven := c
	c.Claims = []record.PageClaim{{Line: 18, Kind: "denied", Says: "curl: (28)", Verdict: checks.Inconclusive, Waits: true}}
	proven.Claims = proven.Claims[:1]
	var out bytes.Buffer
	p := PagePlain{NewPlain(&out, PlainOptions{Width: 100})}
	p.Command("page.md", c)
	p.Later("page.md", proven)
	_ = p.Close()
	golden(t, "page-waits.txt", out.String())
}

func TestPagesOK(t *testing.T) {
	good := func() record.Pages {
		return record.Pages{Pages: []record.Page{{Commands: []record.PageCommand{{State: record.CommandDone}}}}}
	}
	if !good().OK() {
		t.Error("a page whose commands are done is not ok")
	}
	for name, spoil := range map[string]func(*record.Pages){
		"a claim fails":   func(p *record.Pages) { p.Pages[0].Failed = 1 },
		"a command fails": func(p *record.Pages) { p.Pages[0].Broken = 1 },
		"nothing ran":     func(p *record.Pages) { p.Pages[0].Commands[0].State = record.CommandSkipped },
		"no page":         func(p *record.Pages) { p.Pages = nil },
		"it was stopped":  func(p *record.Pages) { p.Error = "x" },
	} {
		p := good()
		if spoil(&p); p.OK() {
			t.Error(name + ", and it is ok")
		}
	}
}

func TestAnnotate(t *testing.T) {
	src := "# A page\n\n```bash\nkubectl get x\nvi y\n```\n\n```\nNAME   AGE\n```\n\nThe end.\n"
	p, err := page.Read("page.md", []byte(src), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := record.Page{Commands: []record.PageCommand{
		{Line: 4, State: record.CommandDone, Claims: []record.PageClaim{
			{Line: 9, Kind: "output", Says: "NAME AGE", Observed: "no table\nis shown", Should: "nothing\x1b[2J"},
		}},
		{Line: 5, State: record.CommandSkipped, Why: "an editor"},
	}}
	var out bytes.Buffer
	if err := Annotate(&out, p, []byte(src), r); err != nil {
		t.Fatal(err)
	}
	golden(t, "annotated.md", out.String())
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("an escape: %q", out.String())
	}
}
