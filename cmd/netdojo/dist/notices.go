package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licence is the name of a file that holds a licence or what it wants to be told.
var licence = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|copyright)([-._].*)?$`)

// notices writes to file the licences of Go and of all modules that the programs link,
// in the order of the modules' names. A module without a licence is an error: it must
// not be distributed.
func notices(file string, programs []string) error {
	modules := map[string]bool{} // by PATH@VERSION
	for _, program := range programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return fmt.Errorf("read what %s links: %w", program, err)
		}
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			modules[m.Path+"@"+m.Version] = true
		}
	}
	goroot, err := goSays("env", "GOROOT")
	if err != nil {
		return err
	}
	cache, err := goSays("env", "GOMODCACHE")
	if err != nil {
		return err
	}
	out := bytes.NewBufferString("netdojo links the Go standard library and the modules below. These are their licences.\n")
	if err := addLicences(out, "Go", goroot); err != nil {
		return err
	}
	for _, module := range slices.Sorted(maps.Keys(modules)) {
		if err := addLicences(out, module, filepath.Join(cache, filepath.FromSlash(escape(module)))); err != nil {
			return err
		}
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}

func addLicences(out *bytes.Buffer, module, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("find the licence of %s: %w", module, err)
	}
	found := false
	for _, e := range entries {
		if !e.Type().IsRegular() || !licence.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return fmt.Errorf("read the licence of %s: %w", module, err)
		}
		fmt.Fprintf(out, "\n==== %s: %s\n\n%s\n", module, e.Name(), bytes.TrimSpace(text))
		found = true
	}
	if !found {
		return fmt.Errorf("%s has no licence in %s", module, dir)
	}
	return nil
}

// escape is a module's path as the module cache has it: a capital is ! and the small
// letter (https://go.dev/ref/mod#module-cache).
func escape(path string) string {
	var out strings.Builder
	for _, r := range path {
		if 'A' <= r && r <= 'Z' {
			out.WriteByte('!')
			r += 'a' - 'A'
		}
		out.WriteRune(r)
	}
	return out.String()
}

func goSays(args ...string) (string, error) {
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
