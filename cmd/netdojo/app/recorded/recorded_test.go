package recorded

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
)

// TestShown: what a command says on both streams is in the recording, and still said.
func TestShown(t *testing.T) {
	s, out, errOut := streams.Test("")
	e := &env.Env{Streams: s}
	file := filepath.Join(t.TempDir(), "x.cast")
	r, ended, err := Begin(e, file, "netdojo run 04")
	if err != nil {
		t.Fatal(err)
	}
	shown := Shown(e, r)
	fmt.Fprintln(shown.Out, "a verdict")
	fmt.Fprintln(shown.Err, "a step")
	fmt.Fprintln(e.Out, "not recorded")
	ended()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"title":"netdojo run 04"`, `"o","a verdict\r\n"]`, `"o","a step\r\n"]`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is not recorded:\n%s", want, data)
		}
	}
	if strings.Contains(string(data), "not recorded") || out.String() != "a verdict\nnot recorded\n" || errOut.String() != "a step\n" {
		t.Errorf("said %q and %q, recorded\n%s", out, errOut, data)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, _, err := Begin(e, file, ""); exit.Code(err) != exit.Usage {
		t.Errorf("a file that is there: %v", err)
	}
}

// TestNotWhole: a recording that cannot be written is told, and the command goes on.
func TestNotWhole(t *testing.T) {
	s, out, errOut := streams.Test("")
	e := &env.Env{Streams: s}
	file := filepath.Join(t.TempDir(), "x.cast")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file) // to read alone
	if err != nil {
		t.Fatal(err)
	}
	r, ended := begin(e, f, "")
	shown := Shown(e, r)
	fmt.Fprintln(shown.Out, "one")
	fmt.Fprintln(shown.Out, "two")
	ended()
	if out.String() != "one\ntwo\n" || !strings.Contains(errOut.String(), "x.cast is not whole: write ") {
		t.Errorf("said %q and %q", out, errOut)
	}
}
