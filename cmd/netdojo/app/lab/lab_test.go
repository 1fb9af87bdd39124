package lab

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/labs"
)

func TestScaffold(t *testing.T) {
	for name, tc := range map[string]struct {
		typed            string
		tty              bool
		title, namespace string // of the lab
	}{
		"no terminal":     {"", false, "Lab x1", "lab-x1"},
		"asked":           {"Who may leave\nharbour\n", true, "Who may leave", "harbour"},
		"asked, defaults": {"\n\n", true, "Lab x1", "lab-x1"},
		"the input's end": {"Who", true, "Who", "lab-x1"},
	} {
		t.Run(name, func(t *testing.T) {
			s, out, asked := streams.Test(tc.typed)
			s.InTTY, s.ErrTTY = tc.tty, tc.tty
			dir := filepath.Join(t.TempDir(), "x1")
			if err := Scaffold(t.Context(), &NewOptions{Env: &env.Env{Streams: s}, Dir: dir}); err != nil {
				t.Fatal(err)
			}
			l, err := labs.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if l.ID != "x1" || l.Title != tc.title || l.Namespace != tc.namespace {
				t.Errorf("the lab is %s, %q, %s", l.ID, l.Title, l.Namespace)
			}
			if strings.Contains(asked.String(), "Title [Lab x1]: ") != tc.tty || !strings.Contains(out.String(), "lab watch") {
				t.Errorf("asked %q, said %q", asked, out)
			}
			err = Scaffold(t.Context(), &NewOptions{Env: &env.Env{Streams: s}, Dir: dir})
			if exit.Code(err) != exit.Usage || len(cure.All(err)) == 0 {
				t.Errorf("over a lab: %v", err)
			}
		})
	}
	s, _, _ := streams.Test("")
	if err := Scaffold(t.Context(), &NewOptions{Env: &env.Env{Streams: s}, Dir: t.TempDir() + "/Not an id"}); exit.Code(err) != exit.Usage {
		t.Errorf("a folder that is no id: %v", err)
	}
}

// TestWatch saves a lab with a fault, mends it, and ends.
func TestWatch(t *testing.T) {
	s, _, _ := streams.Test("")
	dir := filepath.Join(t.TempDir(), "x1")
	if err := Scaffold(t.Context(), &NewOptions{Env: &env.Env{Streams: s}, Dir: dir}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, labs.FileName)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(good, []byte("verdict: allowed"), []byte("verdict: alllowed"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := make(chan string, 16)
	s.Out = writer(func(text string) { said <- text })
	ended := make(chan error, 1)
	go func() {
		ended <- Watch(ctx, &WatchOptions{Test: TestOptions{Env: &env.Env{Streams: s}}, Dir: dir, LintOnly: true, Every: time.Millisecond})
	}()
	await := func(what string) {
		t.Helper()
		for text := range said {
			if strings.Contains(text, what) {
				return
			}
		}
	}
	await(`"alllowed" is not known`)
	await("waiting for the next change")
	if err := os.WriteFile(file, good, 0o644); err != nil {
		t.Fatal(err)
	}
	await("no problems")
	await("waiting for the next change")
	cancel()
	if err := <-ended; exit.Code(err) != exit.Interrupted {
		t.Errorf("it ends with %v", err)
	}
	if err := Watch(t.Context(), &WatchOptions{Test: TestOptions{Env: &env.Env{Streams: s}}, Dir: file, LintOnly: true}); exit.Code(err) != exit.Usage {
		t.Errorf("a file in place of a folder: %v", err)
	}
}

type writer func(string)

func (w writer) Write(b []byte) (int, error) {
	w(string(b))
	return len(b), nil
}

func TestOpenLabs(t *testing.T) {
	all, _, err := openLabs(nil)
	if err != nil || len(all) < 6 {
		t.Errorf("the catalogue: %d labs, %v", len(all), err)
	}
	if all, _, err := openLabs([]string{"04", "04"}); err != nil || len(all) != 1 {
		t.Errorf("a lab twice: %d labs, %v", len(all), err)
	}
	if _, _, err := openLabs([]string{"nonsense"}); exit.Code(err) != exit.Usage {
		t.Errorf("no lab: %v", err)
	}
	bad := t.TempDir()
	if err := os.WriteFile(filepath.Join(bad, labs.FileName), []byte("id: x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s, _, _ := streams.Test("")
	s.Out = &out
	err = Test(t.Context(), &TestOptions{Env: &env.Env{Streams: s}, Labs: []string{bad}, Output: "plain"})
	if exit.Code(err) != exit.Differs || !strings.Contains(out.String(), "FAIL") || !strings.Contains(out.String(), `lacks "title"`) {
		t.Errorf("a lab that is none: %v\n%s", err, out.String())
	}
}

// TestParts: labs that need IPv6, or two nodes, have a cluster of their own, unless one is named.
func TestParts(t *testing.T) {
	four, both, two := &labs.Lab{ID: "a"}, &labs.Lab{ID: "b", Needs: []string{"ipv6"}}, &labs.Lab{ID: "c", Needs: []string{"nodes"}}
	for name, tc := range map[string]struct {
		cluster string
		labs    []*labs.Lab
		want    string // cluster:labs, with + where it has IPv6, and how many nodes are asked for
	}{
		"none":              {testCluster, nil, "lab-test:"},
		"IPv4":              {testCluster, []*labs.Lab{four}, "lab-test:a"},
		"IPv6":              {testCluster, []*labs.Lab{both}, "lab-test-dual+:b"},
		"both":              {testCluster, []*labs.Lab{both, four}, "lab-test:a lab-test-dual+:b"},
		"both, on one":      {"mine", []*labs.Lab{both, four}, "mine:ba"},
		"IPv6, on one":      {"mine", []*labs.Lab{both}, "mine+:b"},
		"IPv4 on one alone": {"mine", []*labs.Lab{four}, "mine:a"},
		"two nodes":         {testCluster, []*labs.Lab{two}, "lab-test-two2:c"},
		"two nodes, on one": {"mine", []*labs.Lab{two}, "mine2:c"},
		"one of each":       {testCluster, []*labs.Lab{two, four, both}, "lab-test:a lab-test-dual+:b lab-test-two2:c"},
	} {
		var got []string
		for _, p := range partsOf(cluster.Spec{Name: tc.cluster}, tc.labs) {
			text := p.spec.Name
			if p.spec.Dual() {
				text += "+"
			}
			if p.spec.Nodes > 0 {
				text += strconv.Itoa(p.spec.Nodes)
			}
			text += ":"
			for _, l := range p.labs {
				text += l.ID
			}
			got = append(got, text)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v, want %s", name, got, tc.want)
		}
	}
}
