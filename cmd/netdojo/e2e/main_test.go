//go:build linux

// Package e2e proves the product as a user has it: the built programs, a real
// cluster, real probes. `make test` builds the programs first.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/embedded"
)

// binDir is where `make build` puts the programs, or NETDOJO_TEST_BIN.
var binDir = func() string {
	if dir := os.Getenv("NETDOJO_TEST_BIN"); dir != "" {
		return dir
	}
	dir, err := filepath.Abs("../../../bin")
	if err != nil {
		panic(err)
	}
	return dir
}()

// programs are those that an embedded cluster and its users need.
var programs = []string{"netdojo", "netdojo-cluster", "netdojo-coredns", "netdojo-kubectl", "netdojo-cilium"}

func TestMain(m *testing.M) {
	if what := os.Getenv(attackEnv); what != "" {
		os.Exit(attack(what))
	}
	if what := os.Getenv(withoutEnv); what != "" {
		fmt.Fprintln(os.Stderr, startWithout(what))
		os.Exit(125)
	}
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(binDir, p)); err != nil {
			fmt.Fprintf(os.Stderr, "bin/%s is missing: run `make build` first\n", p)
			os.Exit(1)
		}
	}
	code := m.Run()
	if err := downShared(); err != nil {
		fmt.Fprintln(os.Stderr, "take the shared cluster down:", err)
		code = 1
	}
	os.Exit(code)
}

// home is a state folder and a kubeconfig of a test's own.
type home struct {
	t     testing.TB
	bin   string // where the programs are
	state string
	env   []string
	as    *syscall.Credential // who runs the commands; nil is the test's user
}

func newHome(t testing.TB, state string) *home {
	return &home{t: t, bin: binDir, state: state, env: append(os.Environ(),
		"NETDOJO_STATE_DIR="+state, "KUBECONFIG="+filepath.Join(state, "kubeconfig"), "NO_COLOR=1")}
}

// in is the same home, where commands mean another cluster.
func (h *home) in(name string) *home {
	return &home{t: h.t, bin: h.bin, state: h.state, as: h.as, env: append(slices.Clone(h.env), "NETDOJO_CLUSTER="+name)}
}

// result is a finished command.
type result struct {
	code           int
	stdout, stderr string
}

// run runs netdojo and returns how it ended.
func (h *home) run(args ...string) result {
	h.t.Helper()
	return h.start(args...).wait()
}

// must runs netdojo and fails the test unless it exits with 0.
func (h *home) must(args ...string) string {
	h.t.Helper()
	r := h.run(args...)
	if r.code != 0 {
		h.t.Fatalf("netdojo %s: exit code %d\n%s%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr, h.log())
	}
	return r.stdout
}

// log is the end of the daemon's log, for a failure's message.
func (h *home) log() string {
	b, err := os.ReadFile(filepath.Join(h.state, "clusters", cluster.DefaultName, embedded.LogFile))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return "daemon.log:\n" + strings.Join(lines[max(0, len(lines)-15):], "\n") + "\n"
}

// command is a netdojo that runs.
type command struct {
	*exec.Cmd
	out, err bytes.Buffer
	t        testing.TB
}

// command makes a netdojo that start or a test starts.
func (h *home) command(args ...string) *command {
	c := &command{Cmd: exec.Command(filepath.Join(h.bin, "netdojo"), args...), t: h.t}
	c.Env = h.env
	if h.as != nil { // who may not be allowed to be where the test is
		c.Dir, c.SysProcAttr = "/", &syscall.SysProcAttr{Credential: h.as}
	}
	c.Stdout, c.Stderr = &c.out, &c.err
	return c
}

func (h *home) start(args ...string) *command {
	h.t.Helper()
	c := h.command(args...)
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (c *command) wait() result {
	c.t.Helper()
	err := c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	code := c.ProcessState.ExitCode()
	if w := c.ProcessState.Sys().(syscall.WaitStatus); w.Signaled() {
		code = 128 + int(w.Signal()) // as a shell tells it
	}
	return result{code, c.out.String(), c.err.String()}
}

// busy is what is waited at least for what comes at once: other tests may have the
// machine.
const busy = time.Minute

// eventually polls until ok says true, and fails the test after the deadline.
func eventually(t testing.TB, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	limit = max(limit, busy)
	for deadline := time.Now().Add(limit); ; {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// shared is the cluster that tests use which leave it as they found it.
var shared struct {
	home   *home
	handle cluster.Handle
	dir    string
}

// sharedCluster brings the shared cluster up once.
func sharedCluster(t testing.TB) (*home, cluster.Handle) {
	t.Helper()
	if shared.home != nil {
		shared.home.t = t
		return shared.home, shared.handle
	}
	dir, err := os.MkdirTemp("", "netdojo-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	shared.dir = dir
	h := newHome(t, dir)
	h.must("up")
	handle, err := embedded.New(embedded.Config{StateDir: dir, Daemon: filepath.Join(binDir, "netdojo-cluster")}).
		Open(context.Background(), cluster.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	shared.home, shared.handle = h, handle
	return h, handle
}

func downShared() error {
	if shared.dir == "" {
		return nil
	}
	p := embedded.New(embedded.Config{StateDir: shared.dir, Daemon: filepath.Join(binDir, "netdojo-cluster")})
	if err := p.Down(context.Background(), cluster.DefaultName, true, nil); err != nil {
		return err
	}
	return os.RemoveAll(shared.dir)
}
