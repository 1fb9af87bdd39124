package main

import (
	"net/http/httptest"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/netdojo/netdojo/cluster/doctor"
	kubectl "github.com/netdojo/netdojo/cmd/netdojo-kubectl/app"
	"github.com/netdojo/netdojo/cmd/netdojo/app"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
)

// TestMain lets the test's own program stand in for netdojo, with the fake
// provider.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"netdojo": func() {
			os.Exit(app.Main(os.Args[1:], []env.Kind{{Name: "fake", New: newFake}}))
		},
		"netdojo-kubectl": func() { kubectl.Main(os.Args[1:]) },
		doctor.ProbeName:  func() { os.Exit(doctor.Probe(os.Args[1:])) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir+"/home")
			e.Setenv("NETDOJO_STATE_DIR", e.WorkDir+"/state")
			e.Setenv("KUBECONFIG", "")
			api := httptest.NewServer(newFakeAPI())
			e.Defer(api.Close)
			e.Setenv("FAKE_API", api.URL)
			return os.Mkdir(e.WorkDir+"/home", 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":  exitStatus,
			"mode":    fileMode,
			"waitfor": waitFor,
			"signal":  sendSignal,
		},
	})
}

// exitStatus runs a program and wants a certain exit code: status CODE PROGRAM
// ARGUMENTS. The output is there for stdout and stderr as after exec.
func exitStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE PROGRAM [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		coded, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("run %s: %v", args[1], err)
		}
		got = coded.ExitCode()
	}
	if got != want {
		ts.Fatalf("%v exits with %d, want %d", args[1:], got, want)
	}
}

// fileMode wants a file's permissions: mode 600 FILE.
func fileMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode OCTAL FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatInt(int64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// waitFor waits until a file exists, for at most ten seconds: waitfor FILE.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor FILE")
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not appear", args[0])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// sendSignal sends SIGINT or SIGTERM to all programs in the background:
// signal INT|TERM.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM}
	if neg || len(args) != 1 || signals[args[0]] == nil {
		ts.Fatalf("usage: signal INT|TERM")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(signals[args[0]]))
	}
}
