package shell

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/labs"
)

func TestFillWorkHidesSolutionsAndKeepsWork(t *testing.T) {
	lab := &labs.Lab{ID: "1", Tasks: []labs.Task{{ID: "1.1", Skeleton: "skeleton/k.yaml"}, {ID: "1.2"}}, FS: fstest.MapFS{
		"skeleton/k.yaml":       {Data: []byte("k")},
		"lab.yaml":              {Data: []byte("hints")},
		"page.md":               {Data: []byte("page")},
		"manifests/a.yaml":      {Data: []byte("a")},
		"solution/s.yaml":       {Data: []byte("s")},
		"wrong/one/w.yaml":      {Data: []byte("w")},
		"manifests/solution/ok": {Data: []byte("no solution")},
	}}
	dir := filepath.Join(t.TempDir(), "work")
	if err := fillWork(dir, lab); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"page.md", "k.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := fillWork(dir, lab); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		data, err := os.ReadFile(path)
		got[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"page.md": "mine", "k.yaml": "mine", "manifests/a.yaml": "a", "manifests/solution/ok": "no solution"}
	if len(got) != len(want) {
		t.Errorf("files %v, want %v", got, want)
	}
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s holds %q, want %q", name, got[name], content)
		}
	}
}

const config = `apiVersion: v1
kind: Config
clusters:
- name: netdojo-x
  cluster: {server: "https://127.0.0.1:1"}
contexts:
- name: aaa
  context: {cluster: netdojo-x, user: u, namespace: elsewhere}
- name: netdojo-x
  context: {cluster: netdojo-x, user: u%s}
users:
- name: u
  user: {token: t}
current-context: netdojo-x
`

// prompt runs the start file and prints what the prompt would show.
func prompt(t *testing.T, namespace, lab string) string {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	dir := t.TempDir()
	private := filepath.Join(dir, "private")
	if err := os.WriteFile(private, []byte(strings.Replace(config, "%s", namespace, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "") // no kubectl on this machine
	if err := prepare(dir, cluster.Status{Kubeconfig: private}, kubeconfig.Guest, lab); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"kubectl", "hubble"} {
		if script, err := os.ReadFile(filepath.Join(dir, "bin", tool)); err != nil || !strings.Contains(string(script), `/netdojo" `+tool) {
			t.Errorf("%s is %q, %v", tool, script, err)
		}
	}
	cmd := exec.Command(bash, "-c", `__netdojo_where; echo; echo "$NETDOJO_CLUSTER $PATH"`)
	cmd.Env = []string{"BASH_ENV=" + filepath.Join(dir, "bashrc"), "NETDOJO_SHELL_DIR=" + dir, "NETDOJO_SHELL_CLUSTER=x", "PATH=/bin"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("bash: %v: %s", err, out)
	}
	where, rest, _ := strings.Cut(string(out), "\n")
	if want := "x " + filepath.Join(dir, "bin") + ":/bin\n"; rest != want {
		t.Errorf("cluster and path %q, want %q", rest, want)
	}
	return where
}

// TestAnswer: a task's skeleton is where the answer is written; without one the file is
// called as the one of the solution, else as the task, and is the learner's to make.
func TestAnswer(t *testing.T) {
	e := &env.Env{StateDir: t.TempDir()}
	lab := &labs.Lab{ID: "1", Tasks: []labs.Task{
		{ID: "1.1", Skeleton: "skeleton/k.yaml", Solution: labs.Files{"solution/s.yaml"}},
		{ID: "1.2", Solution: labs.Files{"solution/deny.yaml"}},
		{ID: "1.3", Solution: labs.Files{"solution/a.yaml", "solution/b.yaml"}},
	}, FS: fstest.MapFS{
		"skeleton/k.yaml": {Data: []byte("k")},
	}}
	for task, want := range map[string]struct{ file, holds string }{"1.1": {"k.yaml", "k"}, "1.2": {"deny.yaml", ""}, "1.3": {"1.3.yaml", ""}} {
		dir, file, err := Answer(e, "netdojo", lab, task)
		if err != nil || file != want.file || dir != e.Work("netdojo", "1") {
			t.Errorf("task %s is answered in %s of %s, %v; want %s", task, file, dir, err, want.file)
		}
		if data, _ := os.ReadFile(filepath.Join(dir, file)); string(data) != want.holds {
			t.Errorf("%s holds %q, want %q", file, data, want.holds)
		}
	}
}

func TestPrompt(t *testing.T) {
	for want, of := range map[string]struct{ context, lab string }{
		"netdojo-x|default":    {"", ""},
		"netdojo-x|12":         {`, namespace: "12"`, ""},
		"netdojo-x|lab":        {`, namespace: lab`, ""},
		"netdojo-x|netdojo-04": {`, namespace: lab`, "netdojo-04"},
	} {
		t.Run(want, func(t *testing.T) {
			if got := prompt(t, of.context, of.lab); got != want {
				t.Errorf("prompt shows %q, want %q", got, want)
			}
		})
	}
}

func TestResultIsTheShellsCode(t *testing.T) {
	err := exec.Command("/bin/sh", "-c", "exit 7").Run()
	if got := exit.Code(result(err)); got != 7 {
		t.Errorf("code %d, want 7", got)
	}
	if result(nil) != nil {
		t.Error("a shell that ended well is an error")
	}
	if err := errors.New("cannot start"); !errors.Is(result(err), err) {
		t.Error("the reason is lost")
	}
}
