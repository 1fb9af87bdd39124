package exit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

func TestCode(t *testing.T) {
	base := errors.New("boom")
	for name, tc := range map[string]struct {
		err  error
		want int
	}{
		"nil":                 {nil, 0},
		"plain error":         {base, 3},
		"usage":               {exit.Usagef("bad flag"), 2},
		"wrapped code":        {fmt.Errorf("run: %w", exit.With(exit.Differs, base)), 1},
		"cancelled context":   {fmt.Errorf("wait: %w", context.Canceled), 130},
		"interrupted":         {fmt.Errorf("up: %w", exit.ErrInterrupted), 130},
		"joined with a code":  {errors.Join(base, exit.Silent(7)), 7},
		"silent nought":       {exit.Silent(0), 0},
		"code of a nil error": {exit.With(exit.Usage, nil), 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := exit.Code(tc.err); got != tc.want {
				t.Errorf("Code(%v) = %d, want %d", tc.err, got, tc.want)
			}
		})
	}
}

func TestPrint(t *testing.T) {
	cured := exit.WithCure(errors.New("port 6443 is taken"), "choose another with --api-port")
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"plain":  {errors.New("boom"), "error: boom\n"},
		"silent": {exit.Silent(1), ""},
		"escapes of others": {
			exit.WithCure(errors.New("pod \x1b]0;owned\x07 says\n\u009b2J\u202e"), "ask \x1b[2J"),
			"error: pod \\x1b]0;owned\\x07 says\n\\u009b2J\\u202e\ncure: ask \\x1b[2J\n",
		},
		"cure below a wrap": {
			fmt.Errorf("up: %w", cured),
			"error: up: port 6443 is taken\ncure: choose another with --api-port\n",
		},
		"two cures, one of them twice": {
			errors.Join(cured, cured, exit.WithCure(errors.New("no curl"), "install curl")),
			"error: port 6443 is taken\nport 6443 is taken\nno curl\n" +
				"cure: choose another with --api-port\ncure: install curl\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			exit.Print(&out, tc.err)
			if out.String() != tc.want {
				t.Errorf("printed:\n%swant:\n%s", out.String(), tc.want)
			}
		})
	}
}

func TestInterrupt(t *testing.T) {
	left := errors.New("a mount is left")
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"cancelled":             {fmt.Errorf("up: %w", context.Canceled), "error: interrupted\n"},
		"twice":                 {errors.Join(fmt.Errorf("run: %w", context.Canceled), exit.With(exit.Environment, exit.ErrInterrupted)), "error: interrupted\n"},
		"and cleaning up fails": {errors.Join(exit.ErrInterrupted, left), "error: interrupted\na mount is left\n"},
		"silent":                {exit.Silent(exit.Differs), ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := exit.Interrupt(tc.err)
			var out bytes.Buffer
			exit.Print(&out, err)
			if out.String() != tc.want || exit.Code(err) != exit.Interrupted {
				t.Errorf("printed %q with code %d, want %q", out.String(), exit.Code(err), tc.want)
			}
		})
	}
}
