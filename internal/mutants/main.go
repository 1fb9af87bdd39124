// Command mutants takes protections out of netdojo, one at a time, and wants the tests
// that hold them to fail: `make wall-mutants`. The tree stays as it is; the compiler is
// given a changed copy of one file (go build -overlay).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mutant is a protection and how it is taken out.
type mutant struct {
	finding string // what it protects from
	without string // what is taken out, for people
	file    string
	from    string // once in the file
	to      string
	pkg     string // of the test
	test    string // -run of it
	says    string // part of what the test says then
	built   bool   // the test runs the built programs
}

func main() {
	only := flag.String("run", "", "a regular expression of findings")
	bin := flag.String("bin", "bin", "the built programs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *only, *bin)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only, bin string) error {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("read -run: %w", err)
	}
	dir, err := os.MkdirTemp("", "netdojo-mutants-")
	if err != nil {
		return fmt.Errorf("make a folder for the changed files: %w", err)
	}
	defer os.RemoveAll(dir)
	fmt.Println("| finding | taken out | test that fails | it says |")
	fmt.Println("| --- | --- | --- | --- |")
	var survived []error
	for _, m := range mutants {
		if !chosen.MatchString(m.finding) {
			continue
		}
		said, err := m.try(ctx, dir, bin)
		if err != nil {
			survived = append(survived, fmt.Errorf("%s without %s: %w", m.finding, m.without, err))
			continue
		}
		fmt.Printf("| %s | %s | %s | %s |\n", m.finding, m.without, strings.Trim(m.test, "^$"), strings.ReplaceAll(said, "|", `\|`))
	}
	return errors.Join(survived...)
}

// try returns the line by which the test tells of the mutant.
func (m mutant) try(ctx context.Context, dir, bin string) (string, error) {
	overlay, err := m.write(dir)
	if err != nil {
		return "", err
	}
	env := os.Environ()
	if m.built {
		if bin, err = build(ctx, dir, bin, overlay); err != nil {
			return "", err
		}
		env = append(env, "NETDOJO_TEST_BIN="+bin)
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	args := []string{"test", "-vet=off", "-count=1", "-run", m.test, "-overlay", overlay, m.pkg}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", errors.New("its test passes")
	case !errors.As(err, &exit) || ctx.Err() != nil:
		return "", errors.Join(err, ctx.Err())
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, m.says) {
			return strings.TrimSpace(line), nil
		}
	}
	return "", fmt.Errorf("its test does not say %q:\n%s", m.says, out)
}

// write makes the changed file and the list by which the compiler takes it.
func (m mutant) write(dir string) (overlay string, err error) {
	b, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(b), m.from); n != 1 {
		return "", fmt.Errorf("%s holds %q %d times", m.file, m.from, n)
	}
	path, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	changed := filepath.Join(dir, filepath.Base(m.file))
	overlay = filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		return "", err
	}
	return overlay, errors.Join(
		os.WriteFile(changed, []byte(strings.Replace(string(b), m.from, m.to, 1)), 0o600),
		os.WriteFile(overlay, list, 0o600))
}

// build makes the programs of a node with the change, beside those that have none of it.
func build(ctx context.Context, dir, bin, overlay string) (string, error) {
	out := filepath.Join(dir, "bin")
	if err := errors.Join(os.RemoveAll(out), os.Mkdir(out, 0o755)); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(bin)
	if err != nil {
		return "", fmt.Errorf("find the programs, which `make build` makes: %w", err)
	}
	from, err := filepath.Abs(bin)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(out, e.Name())); err != nil {
				return "", err
			}
		}
	}
	helper := filepath.Join(dir, "netdojo-helper")
	if err := compile(ctx, overlay, helper, "./cmd/netdojo-helper"); err != nil {
		return "", err
	}
	// The helper is packed into the cluster's program.
	var list struct{ Replace map[string]string }
	b, err := os.ReadFile(overlay)
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	packed, perr := filepath.Abs("cmd/netdojo-cluster/packed/netdojo-helper")
	if err = errors.Join(err, perr); err != nil {
		return "", err
	}
	list.Replace[packed] = helper
	if b, err = json.Marshal(list); err == nil {
		err = os.WriteFile(overlay, b, 0o600)
	}
	if err != nil {
		return "", err
	}
	program := filepath.Join(out, "netdojo-cluster")
	if err := os.Remove(program); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return out, compile(ctx, overlay, program, "./cmd/netdojo-cluster")
}

func compile(ctx context.Context, overlay, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, b)
	}
	return nil
}
