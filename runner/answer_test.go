package runner

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
)

// TestAnswerFromAnywhere: the same policy proves the same, whether it is a file of
// the lab, of a folder or of an archive, or in no file.
func TestAnswerFromAnywhere(t *testing.T) {
	lab := lab04(t)
	text, err := lab.FS.Open(lab.Tasks[0].Solution[0])
	if err != nil {
		t.Fatal(err)
	}
	var policy bytes.Buffer
	if _, err := policy.ReadFrom(text); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"a/policy.yaml": policy.String(), "notes.txt": "not a manifest", ".git/old.yaml": "kind: ["} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close()); err != nil {
		t.Fatal(err)
	}
	zipped, err := zip.NewReader(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]func() (Answer, error){
		"solution": func() (Answer, error) { return Solution(lab)(lab.Tasks[0]), nil },
		"folder":   func() (Answer, error) { return Files("the folder", os.DirFS(dir)) },
		"archive":  func() (Answer, error) { return Files("the archive", zipped) },
		"text":     func() (Answer, error) { return Text("the block", "page.md", policy.String()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, err := answer()
				if err != nil {
					t.Fatal(err)
				}
				o := newFakeCluster().options()
				o.Lab, o.Provision = lab, true
				run, err := Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error {
					return errors.Join(s.Reset(ctx), s.Prove(ctx, Always(a)))
				})
				if err != nil || !run.OK() {
					t.Errorf("%v: %v", err, brief(run))
				}
				if p := run.Tasks[0].Policies; len(p) != 1 || p[0].File != a.Files[0] {
					t.Errorf("policies are %+v, want one of %v", p, a.Files)
				}
			})
		})
	}
}

// TestAnswerOnAGuest: an answer that names the lab's own namespace is moved with it.
func TestAnswerOnAGuest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := asGuest(f)
		o.Lab, o.Provision = lab04(t), true
		a, err := Text("the block", "page.md", "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: default}\nspec: {endpointSelector: {}}\n")
		if err != nil {
			t.Fatal(err)
		}
		run, err := Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error { return s.Apply(ctx, Always(a)) })
		if err != nil || len(run.Tasks[0].Policies) != 1 || run.Tasks[0].Policies[0].Namespace != "netdojo-04" {
			t.Errorf("%v, %+v", err, run.Tasks)
		}
	})
}

func TestBadAnswers(t *testing.T) {
	if _, err := Files("the folder", os.DirFS(t.TempDir())); !isType[*UsageError](err) || cure.Of(err) == "" {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Files("the folder", os.DirFS(filepath.Join(t.TempDir(), "none"))); err == nil || !strings.Contains(err.Error(), "read the folder") {
		t.Errorf("no folder: %v", err)
	}
	_, err := KnownWrong(lab04(t), "", "none")
	if unknown, ok := errors.AsType[*labs.UnknownError](err); !ok || !slices.Contains(unknown.Known, "wrong-selector") {
		t.Errorf("an unknown wrong answer: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.Provision = lab04(t), true
		a, err := Text("the block", "page.md", "kind: [\n")
		if err != nil {
			t.Fatal(err)
		}
		_, err = Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error { return s.Apply(ctx, Always(a)) })
		if err == nil || !strings.Contains(err.Error(), "page.md:") || f.asked("apply CiliumNetworkPolicy") {
			t.Errorf("a text that does not parse: %v", err)
		}
	})
}

// TestRejectionReachesTheRecord: with its cure.
func TestRejectionReachesTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.unenforced = map[string]string{"backend-egress-allow-fqdn": "spec.egress[0].terminatingTLS"}
		o := f.options()
		o.Lab = lab04(t)
		run, err := runLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		p := run.Tasks[0].Policies
		if len(p) != 1 || !strings.Contains(p[0].Rejected, "terminatingTLS") || !strings.Contains(p[0].Cure, "remove these fields") || p[0].EnforcedMs != nil {
			t.Errorf("policies are %+v", p)
		}
	})
}

// TestSessionTellsItsEnd: Close tells the first error of a verb, and a session that
// cannot be opened tells its end too.
func TestSessionTellsItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab = lab04(t)
		var last any
		o.Listener = func(e event.Event) { last = e }
		if s, err := Open(t.Context(), o.Target); s != nil || !isNotRunning(err) {
			t.Fatalf("%v, %v: want no session", s, err)
		}
		if end, ok := last.(event.Finished); !ok || !isNotRunning(end.Err) || end.Run.Error == "" {
			t.Errorf("the last event is %+v", last)
		}
		f.running, f.noPod = true, true
		s, err := Open(t.Context(), o.Target)
		if err != nil {
			t.Fatal(err)
		}
		first := s.Check(t.Context())
		if _, err := s.Close(t.Context()); first == nil || !errors.Is(err, first) {
			t.Errorf("Close tells %v, want %v", err, first)
		}
	})
}
