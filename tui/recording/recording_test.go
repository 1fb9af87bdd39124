package recording

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/internal/cast"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/backend"
)

// session tells events, and what changed.
type session struct {
	backend.Backend
	events []event.Event
}

func (s session) do(listen event.Listener) (record.Run, error) {
	for _, e := range s.events {
		listen(e)
	}
	return record.Run{}, nil
}

func (s session) Enter(_ context.Context, _ *labs.Lab, _ string, l event.Listener) (record.Run, error) {
	return s.do(l)
}

func (s session) Resume(_ context.Context, _ *labs.Lab, _ string, l event.Listener) (record.Run, error) {
	return s.do(l)
}

func (s session) Baseline(_ context.Context, _ *labs.Lab, _ string, l event.Listener) (record.Run, error) {
	return s.do(l)
}

func (s session) Check(_ context.Context, _ *labs.Lab, _ string, l event.Listener) (record.Run, error) {
	return s.do(l)
}

func (s session) Solve(_ context.Context, _ *labs.Lab, _ string, l event.Listener) (record.Run, error) {
	return s.do(l)
}

func (s session) Watch(_ context.Context, _ *labs.Lab, changed func(string)) error {
	changed("CiliumNetworkPolicy mine")
	return nil
}

// markers are those of a recording.
func markers(file string) []string {
	var out []string
	for line := range strings.Lines(file) {
		if _, label, ok := strings.Cut(strings.TrimSpace(line), `,"m","`); ok {
			out = append(out, strings.TrimSuffix(label, `"]`))
		}
	}
	return out
}

// TestMarkers: every session is marked, by each apply and each verdict and by nothing
// else, and its listener hears all.
func TestMarkers(t *testing.T) {
	object := record.Applied{Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "p"}
	s := session{events: append(event.All(),
		event.Applied{Object: record.Applied{Kind: "Pod", Namespace: "default", Name: "backend"}},
		event.Applied{Task: "4.1", Object: object}, event.PolicyRejected{Task: "4.1", Object: record.Applied{Kind: "CiliumClusterwideNetworkPolicy", Name: "all"}},
		event.CheckVerdict{Check: record.Check{ID: "web", Verdict: checks.Denied, Passed: true, Expect: "denied"}},
		event.CheckVerdict{Check: record.Check{ID: "web", Verdict: checks.Allowed, Expect: "denied"}},
	)}
	want := []string{
		"rejected  ", ":  , expected ", // of the events without content
		"applied CiliumNetworkPolicy default/p", "rejected CiliumClusterwideNetworkPolicy all", "web: denied, as expected", "web: allowed, expected denied",
	}
	for name, verb := range map[string]func(backend.Backend, event.Listener) error{
		"enter": func(b backend.Backend, l event.Listener) error {
			_, err := b.Enter(t.Context(), nil, "", l)
			return err
		},
		"resume": func(b backend.Backend, l event.Listener) error {
			_, err := b.Resume(t.Context(), nil, "", l)
			return err
		},
		"baseline": func(b backend.Backend, l event.Listener) error {
			_, err := b.Baseline(t.Context(), nil, "", l)
			return err
		},
		"check": func(b backend.Backend, l event.Listener) error {
			_, err := b.Check(t.Context(), nil, "", l)
			return err
		},
		"solve": func(b backend.Backend, l event.Listener) error {
			_, err := b.Solve(t.Context(), nil, "", l)
			return err
		},
	} {
		var file bytes.Buffer
		r := cast.New(&file, cast.Header{Cols: 80, Rows: 24}, time.Now)
		heard := 0
		if err := verb(Backend(s, r), func(event.Event) { heard++ }); err != nil {
			t.Fatal(err)
		}
		got := markers(file.String())
		if len(got) < 4 || !slices.Equal(got[len(got)-4:], want[2:]) || len(got) != len(want) {
			t.Errorf("%s: markers %q", name, got)
		}
		if heard != len(s.events) {
			t.Errorf("%s: the listener heard %d of %d events", name, heard, len(s.events))
		}
	}
	var file bytes.Buffer
	told := ""
	if err := Backend(s, cast.New(&file, cast.Header{}, time.Now)).Watch(t.Context(), nil, func(what string) { told = what }); err != nil {
		t.Fatal(err)
	}
	if got := markers(file.String()); !slices.Equal(got, []string{"changed: CiliumNetworkPolicy mine"}) || told != "CiliumNetworkPolicy mine" {
		t.Errorf("markers %q, told %q", got, told)
	}
}
