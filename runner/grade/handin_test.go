package grade

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/progress"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/saved"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// sat is an exam in lab e1 that was saved some minutes after its beginning.
func sat(t *testing.T, l *labs.Lab, minutes, extra int, passed time.Duration) saved.File {
	t.Helper()
	pack, err := l.Pack()
	if err != nil {
		t.Fatal(err)
	}
	x := progress.Begin(pack.Digest, "v1", minutes, extra, 1, progress.Reading{Wall: noon, Boot: "a"})
	x.Observe(progress.Reading{Wall: noon.Add(passed), Boot: "a", UpMs: passed.Milliseconds()})
	x.HandIn()
	namespaced := func(apiVersion, kind, namespace, name string) map[string]any {
		return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name, "namespace": namespace}, "spec": map[string]any{}}
	}
	return saved.File{
		Netdojo: "v1", Saved: noon.Add(passed), Lab: saved.Lab{ID: l.ID, Digest: pack.Digest}, Provider: "embedded",
		Progress: &progress.Lab{Exam: x, Tasks: map[string]*progress.Task{}},
		Objects: []map[string]any{
			namespaced("apps/v1", "Deployment", "e1-1", "red"),
			namespaced("networking.k8s.io/v1", "NetworkPolicy", "e1-1", "closed"),
			namespaced("networking.k8s.io/v1", "NetworkPolicy", "e1-4", "red-out"),
		},
		Files: []saved.Text{{Name: "draft.yaml", Text: "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: draft, namespace: e1-3}\n"}, {Name: "notes.md", Text: "hm"}},
	}
}

// handIn reads files as one person's submission.
func handIn(t *testing.T, files map[string]string) submission.Content {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, "jane", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	class, err := submission.Read(context.Background(), dir, submission.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := class.Submissions[0].Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func text(t *testing.T, f saved.File) string {
	t.Helper()
	data, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A file that was saved in an exam is judged by what was on the cluster, with its
// times; one that was changed, or is of another exam, is not judged.
func TestHandIn(t *testing.T) {
	e1 := lab(t, "e1")
	r, err := rulesOf(e1)
	if err != nil {
		t.Fatal(err)
	}
	good := sat(t, e1, 60, 15, 50*time.Minute)
	otherPack := sat(t, e1, 60, 0, time.Minute)
	otherPack.Lab.Digest, otherPack.Progress.Exam.Pack = "sha256:bb", "sha256:bb"
	later := sat(t, e1, 60, 0, 55*time.Minute)
	later.Objects = later.Objects[1:2]
	offline := sat(t, e1, 60, 0, time.Minute)
	offline.Provider, offline.Objects = "", nil
	workload, err := fs.ReadFile(e1.FS, e1.Workloads[0])
	if err != nil {
		t.Fatal(err)
	}
	offline.Files = append(offline.Files, saved.Text{Name: e1.Workloads[0], Text: string(workload)})
	forged := sat(t, e1, 60, 0, 70*time.Minute)
	forged.Progress.Exam.PassedMs = 0
	plain := sat(t, e1, 60, 0, time.Minute)
	plain.Progress.Exam = nil
	for name, tc := range map[string]struct {
		files    map[string]string
		objects  []string
		refusal  string
		problems []string
		exam     *result.Exam
	}{
		"in time": {
			files: map[string]string{"e1.json": text(t, good)}, objects: []string{"closed", "red-out"},
			exam: &result.Exam{Began: noon, Saved: noon.Add(50 * time.Minute), Minutes: 60, Extra: 15, Attempt: 1, PassedSeconds: 3000},
		},
		"late": {
			files: map[string]string{"e1.json": text(t, sat(t, e1, 60, 15, 77*time.Minute))}, objects: []string{"closed", "red-out"},
			exam: &result.Exam{Began: noon, Saved: noon.Add(77 * time.Minute), Minutes: 60, Extra: 15, Attempt: 1, PassedSeconds: 77 * 60, OverSeconds: 120},
		},
		"with a limit of one's own": {
			files: map[string]string{"e1.json": text(t, sat(t, e1, 600, 0, 61*time.Minute))}, objects: []string{"closed", "red-out"},
			problems: []string{"with a limit of 600 minutes; the lab's 60 count"},
			exam:     &result.Exam{Began: noon, Saved: noon.Add(61 * time.Minute), Minutes: 60, Attempt: 1, PassedSeconds: 61 * 60, OverSeconds: 60},
		},
		"the last of several": {
			files: map[string]string{"a.json": text(t, later), "b.json": text(t, good)}, objects: []string{"closed"},
			exam: &result.Exam{Began: noon, Saved: noon.Add(55 * time.Minute), Minutes: 60, Attempt: 1, PassedSeconds: 55 * 60},
		},
		"beside a manifest": {
			files:   map[string]string{"e1.json": text(t, later), "more.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n"},
			objects: []string{"closed"}, problems: []string{"it is not judged: the file of netdojo save beside it is"},
			exam: &result.Exam{Began: noon, Saved: noon.Add(55 * time.Minute), Minutes: 60, Attempt: 1, PassedSeconds: 55 * 60},
		},
		"without a cluster": {
			files: map[string]string{"e1.json": text(t, offline)}, objects: []string{"draft"}, problems: []string{"no cluster ran"},
			exam: &result.Exam{Began: noon, Saved: noon.Add(time.Minute), Minutes: 60, Attempt: 1, PassedSeconds: 60},
		},
		"changed": {
			files:   map[string]string{"e1.json": strings.Replace(text(t, good), `"extra": 15`, `"extra": 60`, 1)},
			refusal: "it was changed since it was saved", problems: []string{"it was changed since it was saved"},
		},
		"followed by more": {
			files:   map[string]string{"e1.json": text(t, good) + "{}"},
			refusal: "it was changed since it was saved", problems: []string{"it was changed since it was saved"},
		},
		"its end is lost": {
			files:   map[string]string{"e1.json": text(t, good)[:500]},
			refusal: "it was changed since it was saved", problems: []string{"it was changed since it was saved"},
		},
		"after a byte order mark": {
			files: map[string]string{"e1.json": "\xef\xbb\xbf" + text(t, later)}, objects: []string{"closed"},
			exam: &result.Exam{Began: noon, Saved: noon.Add(55 * time.Minute), Minutes: 60, Attempt: 1, PassedSeconds: 55 * 60},
		},
		"one changed, one whole": {
			files:   map[string]string{"a.json": strings.Replace(text(t, good), `"extra": 15`, `"extra": 60`, 1), "b.json": text(t, later)},
			objects: []string{"closed"}, problems: []string{"it was changed since it was saved"},
			exam: &result.Exam{Began: noon, Saved: noon.Add(55 * time.Minute), Minutes: 60, Attempt: 1, PassedSeconds: 55 * 60},
		},
		"times written anew": {
			files: map[string]string{"e1.json": text(t, forged)}, objects: []string{"closed", "red-out"},
			problems: []string{"times of the exam in it were changed by something else than netdojo"},
			exam:     &result.Exam{Began: noon, Saved: noon.Add(70 * time.Minute), Minutes: 60, Attempt: 1},
		},
		"of another version": {
			files:   map[string]string{"e1.json": text(t, otherPack)},
			refusal: "it is of another version of lab e1: sha256:bb, and this is sha256:", problems: []string{"another version"},
		},
		"of another exam": {
			files:   map[string]string{"e2.json": text(t, sat(t, lab(t, "e2"), 60, 0, time.Minute))},
			refusal: "it is of lab e2, not of lab e1", problems: []string{"of lab e2"},
		},
		"of no exam": {
			files:   map[string]string{"e1.json": text(t, plain)},
			refusal: "it is of another version of lab e1", problems: []string{"another version"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := r.read(e1, nil, handIn(t, tc.files))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, o := range h.objects {
				names = append(names, o.GetName())
			}
			if h.refusal == "" && !slices.Equal(names, tc.objects) {
				t.Errorf("judged are %v, want %v", names, tc.objects)
			}
			if (tc.refusal == "") != (h.refusal == "") || !strings.Contains(h.refusal, tc.refusal) {
				t.Errorf("refused with %q, want %q", h.refusal, tc.refusal)
			}
			if len(h.problems) != len(tc.problems) {
				t.Fatalf("problems %v, want %v", h.problems, tc.problems)
			}
			for i, p := range h.problems {
				if !strings.Contains(p.Message, tc.problems[i]) || p.Cure == "" || p.File == "" {
					t.Errorf("problem %+v, want %q", p, tc.problems[i])
				}
			}
			if (h.exam == nil) != (tc.exam == nil) || h.exam != nil && *h.exam != *tc.exam {
				t.Errorf("times %+v, want %+v", h.exam, tc.exam)
			}
		})
	}
}

// A clock that was set in the exam is told.
func TestHandInTellsOfTheClock(t *testing.T) {
	e1 := lab(t, "e1")
	r, err := rulesOf(e1)
	if err != nil {
		t.Fatal(err)
	}
	f := sat(t, e1, 60, 0, 50*time.Minute)
	f.Progress.Exam.Observe(progress.Reading{Wall: noon, Boot: "a", UpMs: (55 * time.Minute).Milliseconds()})
	h, err := r.read(e1, nil, handIn(t, map[string]string{"e1.json": text(t, f)}))
	if err != nil || len(h.problems) != 1 || !strings.Contains(h.problems[0].Message, "the clock was set by -55m0s") || h.exam.PassedSeconds != 55*60 {
		t.Errorf("told is %+v, %+v, %v", h.problems, h.exam, err)
	}
}

// A hand-in is judged by its own seed, and refused where the roster has another.
func TestHandInOfASeed(t *testing.T) {
	e1 := lab(t, "e1")
	r, err := rulesOf(e1)
	if err != nil {
		t.Fatal(err)
	}
	jane, err := e1.Seeded("jane")
	if err != nil {
		t.Fatal(err)
	}
	of := func(l *labs.Lab) saved.File {
		f := sat(t, l, 60, 0, time.Minute)
		f.Seed = l.Seed
		for _, o := range f.Objects {
			o["metadata"].(map[string]any)["namespace"] = l.Namespace
		}
		return f
	}
	claimed := of(e1)
	claimed.Seed = "jane"
	manifest := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed, namespace: " + jane.Namespace + "}\n"
	for name, tc := range map[string]struct {
		file    string
		seeds   []string
		seed    string
		taken   int
		refusal string
	}{
		"its own":                    {text(t, of(jane)), nil, "jane", 2, ""},
		"that of the roster":         {text(t, of(jane)), []string{"john", "jane"}, "jane", 2, ""},
		"none":                       {text(t, of(e1)), nil, "", 2, ""},
		"another's":                  {text(t, of(jane)), []string{"john"}, "", 0, "of another seed than the roster has"},
		"none, and the roster has":   {text(t, of(e1)), []string{"jane"}, "", 0, "of another seed than the roster has"},
		"claimed":                    {text(t, claimed), nil, "jane", 0, "of another version of lab e1"},
		"manifests by the roster's":  {manifest, []string{"jane"}, "jane", 1, ""},
		"manifests without a roster": {manifest, nil, "", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := "e1.json"
			if tc.file == manifest {
				file = "closed.yaml"
			}
			h, err := r.read(e1, tc.seeds, handIn(t, map[string]string{file: tc.file}))
			if err != nil {
				t.Fatal(err)
			}
			taken, _ := h.rules.admit(h.objects)
			if h.refusal != "" {
				taken = nil
			}
			if h.lab.Seed != tc.seed || len(taken) != tc.taken || (tc.refusal == "") != (h.refusal == "") || !strings.Contains(h.refusal, tc.refusal) {
				t.Errorf("judged by seed %q, %d taken, refused with %q", h.lab.Seed, len(taken), h.refusal)
			}
			for _, p := range h.problems {
				if strings.Contains(p.Message+p.Cure, "jane") {
					t.Errorf("the record would name a person: %v", p)
				}
			}
			if len(taken) == 0 || tc.seed == "" {
				return
			}
			first := ""
			for _, task := range h.lab.Tasks {
				if len(h.byTask(taken)[task.ID]) > 0 {
					first = task.ID
				}
			}
			if first != "e1.1" {
				t.Errorf("what is in the namespace of task e1.1 is the answer to %q", first)
			}
		})
	}
	own := lab(t, "02")
	plain, err := rulesOf(own)
	if err != nil {
		t.Fatal(err)
	}
	f := of(e1)
	f.Seed, f.Lab.ID = "jane", "02"
	if h, err := plain.read(own, []string{"x"}, handIn(t, map[string]string{"a.json": text(t, f)})); err != nil || !strings.Contains(h.refusal, "it is of a seed") {
		t.Errorf("a lab that is the same for all: %q, %v", h.refusal, err)
	}
}

// The whole of a cluster is split among the tasks by where its objects are.
func TestTaskOf(t *testing.T) {
	for id, of := range map[string]map[string]string{
		"e1": {"NetworkPolicy e1-4": "e1.4", "NetworkPolicy e1-1": "e1.1", "NetworkPolicy e1-far": "", "NetworkPolicy ": "e1.1"},
		"e2": {"CiliumClusterwideNetworkPolicy ": "e2.5", "CiliumNetworkPolicy e2-8": "e2.8"},
		"02": {"NetworkPolicy vault": "2.1"},
		"14": {"CiliumClusterwideNetworkPolicy ": "14.1", "ClusterNetworkPolicy ": "14.2"},
		"16": {"CiliumNetworkPolicy rail": "", "CiliumNetworkPolicy elsewhere": ""}, // both tasks are there
	} {
		r, err := rulesOf(lab(t, id))
		if err != nil {
			t.Fatal(err)
		}
		for what, want := range of {
			kind, ns, _ := strings.Cut(what, " ")
			o := parse(t, "apiVersion: v1\nkind: "+kind+"\nmetadata: {name: x, namespace: \""+ns+"\"}\n")[0]
			if got := r.taskOf(o); got != want {
				t.Errorf("%s of lab %s is task %q's, want %q", what, id, got, want)
			}
		}
	}
}

// Of the lab's workloads a hand-in changes labels, never an image.
func TestHandInOfAWorkload(t *testing.T) {
	e1 := lab(t, "e1")
	e1.Accepts = []string{"Deployment"}
	r, err := rulesOf(e1)
	if err != nil {
		t.Fatal(err)
	}
	f := sat(t, e1, 60, 0, time.Minute)
	f.Objects = []map[string]any{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "red", "namespace": "e1-1"}, "spec": map[string]any{
		"template": map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"app": "red", "mine": "yes"}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": "evil"}}},
		},
	}}, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "mine", "namespace": "e1-1"}}}
	pack, err := e1.Pack()
	if err != nil {
		t.Fatal(err)
	}
	f.Lab.Digest, f.Progress.Exam.Pack = pack.Digest, pack.Digest
	h, err := r.read(e1, nil, handIn(t, map[string]string{"e1.json": text(t, f)}))
	if err != nil || len(h.objects) != 1 {
		t.Fatalf("judged are %v, %v, %q", h.objects, err, h.refusal)
	}
	spec := h.objects[0].Object["spec"].(map[string]any)["template"].(map[string]any)
	if labels := spec["metadata"].(map[string]any)["labels"].(map[string]any); labels["mine"] != "yes" {
		t.Errorf("labels %v", labels)
	}
	if image := spec["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"]; image == "evil" || image == nil {
		t.Errorf("the image is %v", image)
	}
}
