package main

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/netdojo/netdojo/cluster/doctor"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	kubectl "github.com/netdojo/netdojo/cmd/netdojo-kubectl/app"
	"github.com/netdojo/netdojo/cmd/netdojo/app"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
)

// TestMain lets the test's own program stand in for netdojo, with the fake
// provider.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"netdojo": func() {
			os.Exit(app.Main(os.Args[1:], []env.Kind{{Name: "fake", New: newFake, Kubeconfig: kubeconfig.Guest}}))
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

			"brokenpipe":   brokenPipe,
			"tellsnothing": tellsNothing,
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

// waitFor waits until a file exists, for at most a minute: waitfor FILE.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor FILE")
	}
	deadline := time.Now().Add(time.Minute)
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

// brokenPipe runs a program whose standard output nobody reads any more, and wants it
// to end by SIGPIPE: brokenpipe PROGRAM ARGUMENTS.
func brokenPipe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: brokenpipe PROGRAM [ARGUMENT...]")
	}
	r, w, err := os.Pipe()
	ts.Check(err)
	ts.Check(r.Close())
	defer w.Close()
	cmd := exec.Command(args[0], args[1:]...)
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path := filepath.Join(dir, args[0]); cmd.Err != nil {
			if _, err := os.Stat(path); err == nil {
				cmd.Path, cmd.Err = path, nil
			}
		}
	}
	var said bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), append(os.Environ(), "HOME="+ts.Getenv("HOME")), w, &said
	err = cmd.Run()
	if cmd.ProcessState == nil {
		ts.Fatalf("run %s: %v", args[0], err)
	}
	if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !st.Signaled() || st.Signal() != syscall.SIGPIPE || said.Len() > 0 {
		ts.Fatalf("%v ends with %v and says %q, want SIGPIPE and nothing", args, err, said.String())
	}
}

// sendSignal sends SIGINT or SIGTERM to all programs in the background; with again, as
// somebody does who presses Ctrl-C until it helps: signal INT|TERM [again].
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM}
	again := len(args) == 2 && args[1] == "again"
	if neg || len(args) == 0 || len(args) > 1 && !again || signals[args[0]] == nil {
		ts.Fatalf("usage: signal INT|TERM [again]")
	}
	keys := time.NewTicker(50 * time.Millisecond)
	defer keys.Stop()
	deadline := time.After(2 * time.Minute)
	for _, cmd := range ts.BackgroundCmds() {
		err := cmd.Process.Signal(signals[args[0]])
		for again && err == nil {
			select {
			case <-keys.C:
				err = cmd.Process.Signal(signals[args[0]])
			case <-deadline:
				ts.Check(cmd.Process.Kill()) // the script waits for it
				ts.Fatalf("%v does not end", cmd.Args)
			}
		}
		if again && errors.Is(err, os.ErrProcessDone) {
			err = nil
		}
		ts.Check(err)
	}
}
