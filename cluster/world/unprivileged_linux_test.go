package world

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The stages of TestUnprivileged, in the environment of the test binary's copies.
const (
	stageVar  = "NETDOJO_TEST_STAGE"
	stageUser = "user" // an ordinary user, about to enter a user namespace
	stageRoot = "root" // root of that namespace
)

const nobody = 65534

// Every test of a live world, once more as an ordinary user in a user namespace.
func TestUnprivileged(t *testing.T) {
	switch os.Getenv(stageVar) {
	case stageRoot:
		t.Skip("needs to be outside of the user namespace that it makes")
	case stageUser:
		runInUserNamespace(t, os.Args[0])
		return
	}
	binary := copyOfTest(t)
	if os.Geteuid() != 0 {
		runInUserNamespace(t, binary)
		return
	}
	cmd := exec.Command(binary, "-test.run=^TestUnprivileged$", "-test.v")
	cmd.Env = append(os.Environ(), stageVar+"="+stageUser, "TMPDIR="+filepath.Dir(binary))
	cmd.Dir = filepath.Dir(binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "--- SKIP: TestUnprivileged") {
		t.Skip("needs user namespaces for ordinary users")
	}
	if err != nil {
		t.Errorf("as user %d: %v\n%s", nobody, err, out)
	}
}

func runInUserNamespace(t *testing.T, binary string) {
	cmd := exec.Command(binary, "-test.v",
		"-test.run=^Test(DNS|Web|ForeignServerName|Reachability|Echo|ServeAtRunTime|DialReachesNode|CloseLeavesNothing|StartFailsWhole|Curl|Internet.*)$")
	cmd.Env = append(os.Environ(), stageVar+"="+stageRoot)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Skipf("needs user namespaces for ordinary users: %v", err)
	}
	if err != nil {
		t.Fatalf("in a user namespace: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "needs CAP_SYS_ADMIN") {
		t.Fatalf("root of a user namespace may not make network namespaces:\n%s", out)
	}
}

// copyOfTest puts this test binary where every user may run it.
func copyOfTest(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "netdojo-world-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	path := filepath.Join(dir, "world.test")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}
