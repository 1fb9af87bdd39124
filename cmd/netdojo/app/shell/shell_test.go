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
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

func TestFillWorkHidesSolutionsAndKeepsWork(t *testing.T) {
	lab := fstest.MapFS{
		"lab.yaml":              {Data: []byte("hints")},
		"page.md":               {Data: []byte("page")},
		"manifests/a.yaml":      {Data: []byte("a")},
		"solution/s.yaml":       {Data: []byte("s")},
		"wrong/one/w.yaml":      {Data: []byte("w")},
		"manifests/solution/ok": {Data: []byte("no solution")},
	}
	dir := filepath.Join(t.TempDir(), "work")
	if err := fillWork(dir, lab); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "page.md"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
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
	want := map[string]string{"page.md": "mine", "manifests/a.yaml": "a", "manifests/solution/ok": "no solution"}
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
	if err := prepare(dir, cluster.Status{Kubeconfig: private}, lab); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "bin", "kubectl")); err != nil {
		t.Errorf("no kubectl: %v", err)
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
