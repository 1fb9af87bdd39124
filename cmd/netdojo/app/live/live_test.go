package live

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/policies/lint"
	"github.com/netdojo/netdojo/tui/backend"
)

const shop = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}
`

// policy selects the pods with a label, in a namespace where one is given.
func policy(namespace, app string) string {
	if namespace != "" {
		namespace = ", namespace: " + namespace
	}
	return fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p%s}\nspec:\n  podSelector: {matchLabels: {app: %s}}\n  policyTypes: [Ingress]\n", namespace, app)
}

const skeleton = "# What does it protect?\n"

func shopLab() *labs.Lab {
	return &labs.Lab{
		ID: "s", Namespace: "shop", Workloads: []string{"shop.yaml"},
		Tasks: []labs.Task{
			{ID: "1", Skeleton: "skeleton/web.yaml", Solution: []string{"solution/1.yaml"}},
			{ID: "2"},
		},
		FS: fstest.MapFS{
			"shop.yaml": {Data: []byte(shop)}, "skeleton/web.yaml": {Data: []byte(policy("", "value") + skeleton)},
			"solution/1.yaml": {Data: []byte(policy("shop", "web"))},
		},
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestFiles: what a learner wrote for a task is told from what the lab gave, from
// other tasks' answers, and from what editors keep.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	f := Folder{Dir: dir, Lab: shopLab()}
	want := func(task string, names ...string) {
		t.Helper()
		files, err := f.Files(t.Context(), task)
		var got []string
		for _, f := range files {
			got = append(got, f.Name)
		}
		if err != nil || !slices.Equal(got, names) {
			t.Errorf("of task %s: %q, %v; want %q", task, got, err, names)
		}
	}
	write(t, dir, "shop.yaml", shop)
	write(t, dir, "web.yaml", policy("", "value")+skeleton)
	write(t, dir, "values.yaml", "replicas: 3\n")
	write(t, dir, ".web.yaml.swp", policy("", "web"))
	write(t, dir, ".web.yaml", policy("", "web"))
	write(t, dir, "notes.txt", policy("", "web"))
	if err := os.MkdirAll(filepath.Join(dir, "below.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	want("1")
	want("2")
	write(t, dir, "web.yaml", policy("", "web"))
	write(t, dir, "a.yaml", policy("", "web"))
	write(t, dir, "2.yaml", "\n# to be written\n---\n")
	want("1", "web.yaml", "a.yaml")
	want("2", "a.yaml")
	write(t, dir, "2.yaml", "apiVersin: v1\n")
	write(t, dir, "shop.yaml", shop+"---\n"+policy("", "web"))
	want("2", "2.yaml", "a.yaml", "shop.yaml")

	f.Dir = filepath.Join(dir, "gone")
	want("1")
	f.Dir = dir
	write(t, dir, "a.yaml", strings.Repeat("#", maxFile+1))
	if _, err := f.Files(t.Context(), "1"); err == nil || !strings.Contains(err.Error(), "read a.yaml") {
		t.Errorf("a file without end: %v", err)
	}
}

func problems(t *testing.T, j *Judge) []string {
	t.Helper()
	said, err := j.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return lines(said)
}

func lines(said backend.Judgement) (out []string) {
	for _, p := range said.Problems {
		out = append(out, p.String()+" / "+p.Cure)
	}
	return out
}

func newJudge(t *testing.T, dir string, lab, here *labs.Lab, task string) *Judge {
	t.Helper()
	j, err := NewJudge(Folder{Dir: dir, Lab: lab}, here, task)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// TestNow: files are judged as they are saved, by the lab's workloads.
func TestNow(t *testing.T) {
	dir, lab := t.TempDir(), shopLab()
	j := newJudge(t, dir, lab, lab, "1")
	if said, err := j.Now(t.Context()); err != nil || said.Files == nil || len(said.Files)+len(said.Problems) > 0 {
		t.Errorf("of nothing: %+v, %v", said, err)
	}
	write(t, dir, "web.yaml", policy("", "wbe"))
	want := []string{"web.yaml:5:36: spec.podSelector.matchLabels.app: no pod of namespace shop has app=wbe / write app: web"}
	if got := problems(t, j); !slices.Equal(got, want) {
		t.Errorf("a typo: %q, want %q", got, want)
	}
	write(t, dir, "web.yaml", policy("", "web"))
	if got := problems(t, j); got != nil {
		t.Errorf("mended: %q", got)
	}
	if said, _ := j.Now(t.Context()); !slices.Equal(said.Files, []string{"web.yaml"}) || said.Policies != 1 {
		t.Errorf("judged %+v", said)
	}
}

// TestUnasked: the policy engine is asked of files in which nothing was found, once, and
// its answer is not taken for that of later files.
func TestUnasked(t *testing.T) {
	dir, lab := t.TempDir(), shopLab()
	j := newJudge(t, dir, lab, lab, "1")
	now := func(unasked bool) int {
		t.Helper()
		said, err := j.Now(t.Context())
		if err != nil || said.Unasked != unasked || (len(j.Unasked().Files) > 0) != unasked {
			t.Errorf("%+v, %v, to ask: %+v; want it to be asked: %v", said, err, j.Unasked().Files, unasked)
		}
		return said.Revision
	}
	now(false)
	write(t, dir, "web.yaml", policy("", "wbe"))
	now(false)
	write(t, dir, "web.yaml", policy("", "web"))
	first := now(true)
	write(t, dir, "web.yaml", policy("", "web")+"# as is\n")
	second := now(true)
	refused := []lint.Problem{{File: "web.yaml", Line: 1, Message: "refused"}}
	if said := j.Refused(first, refused); !said.Unasked || len(said.Problems) > 0 {
		t.Errorf("an answer to files of before: %+v", said)
	}
	if said := j.Refused(second, refused); said.Unasked || len(said.Problems) != 1 || said.Revision != second {
		t.Errorf("the engine's answer: %+v", said)
	}
	if got := problems(t, j); !slices.Equal(got, []string{"web.yaml:1: refused / "}) || now(false) != second {
		t.Errorf("later: %q", got)
	}
}

// TestNowElsewhere: on a cluster that netdojo did not make the lab's pods are in
// another namespace.
func TestNowElsewhere(t *testing.T) {
	dir, lab := t.TempDir(), shopLab()
	j := newJudge(t, dir, lab, lab.In("guest"), "1")
	write(t, dir, "web.yaml", policy("", "web"))
	if got := problems(t, j); got != nil {
		t.Errorf("in the lab's place: %q", got)
	}
	write(t, dir, "web.yaml", policy("", "wbe"))
	if got := problems(t, j); len(got) != 1 || !strings.Contains(got[0], "no pod of namespace guest has app=wbe / write app: web") {
		t.Errorf("a typo: %q", got)
	}
}

// TestTasksBefore: what solves the tasks before is known: the DNS that they open is open.
func TestTasksBefore(t *testing.T) {
	dir, lab := t.TempDir(), shopLab()
	named := "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: named, namespace: shop}\nspec:\n  endpointSelector: {matchLabels: {app: web}}\n  egress: [{toFQDNs: [{matchName: cilium.io}]}]\n"
	dns := "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: d, namespace: shop}\nspec:\n  endpointSelector: {}\n  egress: [{toEndpoints: [{matchLabels: {k8s:io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}], toPorts: [{ports: [{port: \"53\", protocol: ANY}], rules: {dns: [{matchPattern: \"*\"}]}}]}]\n"
	lab.FS.(fstest.MapFS)["solution/1.yaml"] = &fstest.MapFile{Data: []byte(dns)}
	write(t, dir, "mine.yaml", named)
	if got := problems(t, newJudge(t, dir, lab, lab, "1")); len(got) == 0 {
		t.Error("of the first task nothing is told of DNS")
	}
	if got := problems(t, newJudge(t, dir, lab, lab, "2")); got != nil {
		t.Errorf("of the second: %q", got)
	}
	if _, err := NewJudge(Folder{Dir: dir, Lab: lab}, lab, "3"); err == nil {
		t.Error("there is no third task")
	}
}

// following watches a folder, and hands out what is said at each save.
func following(t *testing.T, dir string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	lab := shopLab()
	j := newJudge(t, dir, lab, lab, "1")
	said, over := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(over)
		Watch(ctx, dir, func() {
			judged, err := j.Now(ctx)
			switch {
			case err == nil:
				said <- strings.Join(lines(judged), "\n")
			case ctx.Err() == nil: // else the test has ended meanwhile
				t.Error(err)
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-over
	})
	return said
}

// until takes what is said until it is something.
func until(t *testing.T, said <-chan string, after, text string) {
	t.Helper()
	deadline, last := time.After(time.Minute), ""
	for {
		select {
		case last = <-said:
			if text == "" && last == "" || text != "" && strings.Contains(last, text) {
				return
			}
		case <-deadline:
			t.Fatalf("not within a minute after %s: %q; the last was %q", after, text, last)
		}
	}
}

// TestWatch: each way in which editors save is seen, and a folder that goes and comes.
func TestWatch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "work")
	said := following(t, dir) // it is not there yet
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "web.yaml", policy("", "wab"))
	until(t, said, "the folder was made", "app=wab ")
	write(t, dir, "web.yaml", policy("", "wbe"))
	until(t, said, "the file was written", "app=wbe ")
	write(t, dir, "4913", policy("", "weeb"))
	if err := os.Rename(filepath.Join(dir, "4913"), filepath.Join(dir, "web.yaml")); err != nil {
		t.Fatal(err)
	}
	until(t, said, "the file was replaced", "app=weeb ")
	if err := os.Remove(filepath.Join(dir, "web.yaml")); err != nil {
		t.Fatal(err)
	}
	until(t, said, "the file was removed", "")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "web.yaml", policy("", "wb"))
	until(t, said, "the folder was made again", "app=wb ")
}

// BenchmarkSave measures from a save to what is wrong with the file, each time another.
func BenchmarkSave(b *testing.B) {
	dir, lab := b.TempDir(), shopLab()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	j, err := NewJudge(Folder{Dir: dir, Lab: lab}, lab, "1")
	if err != nil {
		b.Fatal(err)
	}
	judged := make(chan backend.Judgement, 100)
	go Watch(ctx, dir, func() {
		if said, err := j.Now(ctx); err == nil {
			judged <- said
		}
	})
	n := 0
	for b.Loop() {
		app := fmt.Sprintf("web%d", n)
		n++
		if err := os.WriteFile(filepath.Join(dir, "web.yaml"), []byte(policy("", app)), 0o644); err != nil {
			b.Fatal(err)
		}
		for said := range judged {
			if len(said.Problems) > 0 && strings.Contains(said.Problems[0].Message, "app="+app) {
				break
			}
		}
	}
}
