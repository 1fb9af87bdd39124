package pagerun

import (
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// heard keeps what a listener is told later.
type heard struct{ later []record.PageCommand }

func (h *heard) Session(event.Event)                      {}
func (h *heard) Page(page.Page)                           {}
func (h *heard) Command(string, record.PageCommand)       {}
func (h *heard) Finished(record.Pages, error)             {}
func (h *heard) Later(_ string, entry record.PageCommand) { h.later = append(h.later, entry) }

// TestLateControls: what a page shows to be allowed only after the deny is a control of
// it where the experiment is the same and the policies are what changed, or where another
// client is let through under the same ones.
func TestLateControls(t *testing.T) {
	for name, tc := range map[string]struct {
		edit   func(*dial) // on: the same command, later, under other policies
		proven checks.ControlKind
	}{
		"without the policy":      {func(*dial) {}, checks.ControlAfter},
		"under the same policies": {func(d *dial) { d.epoch = 1 }, ""},
		"with other labels":       {func(d *dial) { d.subject.Labels = map[string]string{"access": "true"} }, ""},
		"another pod":             {func(d *dial) { d.subject.UID = "another" }, ""},
		"another client, under the same policies": {func(d *dial) {
			d.epoch, d.subject.UID, d.check.ID = 1, "another", "n/q curl https://cilium.io"
		}, checks.ControlSiblingClient},
		"another client, under others": {func(d *dial) { d.subject.UID, d.check.ID = "another", "n/q curl https://cilium.io" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var told heard
			s := &session{controls: map[string]control{}, t: Target{Listener: &told}}
			r := &reader{session: s, record: &record.Page{File: "page.md"}}
			d := ended(t, "curl -m 5 https://cilium.io", timeoutText, 28)
			d.epoch = 1
			command := page.Command{Number: 1, Claims: []page.Claim{{Line: 3, Kind: page.Shows, Want: []string{"x"}, Lines: []int{3}}, {Line: 4, Kind: page.Denied}}}
			dropped := verdictOf(d, []*flowpb.Flow{drop("cilium.io", 443)})
			entry := record.PageCommand{Number: 1, Claims: r.claims(command, nil, nil, []judged{dropped})}
			r.hold(command, &entry, []judged{dropped})
			r.record.Commands = append(r.record.Commands, entry)
			if entry.Claims[0].Waits || !entry.Claims[1].Waits || entry.Claims[1].Passed {
				t.Fatalf("at first the claims are %+v", entry.Claims)
			}

			allowed := ended(t, "curl -m 5 https://cilium.io", "HTTP/2 200 \r\n", 0)
			allowed.Begun, allowed.epoch = d.Begun.Add(time.Second), 2
			tc.edit(allowed)
			s.keep(verdictOf(allowed, nil))
			r.review()
			got := r.record.Commands[0].Claims[1]
			if got.Waits == (tc.proven != "") {
				t.Fatalf("after the control: %+v", got)
			}
			r.giveUp()
			got = r.record.Commands[0].Claims[1]
			if len(told.later) != 1 || len(told.later[0].Claims) != 1 || told.later[0].Claims[0].Line != 4 || got.Waits {
				t.Errorf("told %+v", told.later)
			}
			switch {
			case got.Passed != (tc.proven != ""):
				t.Errorf("in the end the claim is %+v", got)
			case got.Passed && got.Evidence.Control.Kind != tc.proven:
				t.Errorf("its control is %+v", got.Evidence.Control)
			case !got.Passed && !strings.Contains(got.Should, "without the policy"):
				t.Errorf("it should say %q", got.Should)
			}
			if all := (&reader{records: []*record.Page{r.record}}).found(); len(all) != 1 || all[0].Passed+all[0].Failed != 2 {
				t.Errorf("counted %+v", all)
			}
		})
	}
}
