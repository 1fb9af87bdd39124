package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheck: what one system lacks is found where another has it, in the package itself
// and in one that it links.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":         "module example.test\n\ngo 1.26\n",
		"main.go":        "package main\n\nimport \"example.test/part\"\n\nfunc main() { part.Do() }\n",
		"part/part.go":   "package part\n\nfunc Do() { do() }\n",
		"part/unix.go":   "//go:build unix\n\npackage part\n\nfunc do() {}\n",
		"only/only.go":   "package only\n\nimport _ \"example.test/linux\"\n",
		"linux/linux.go": "//go:build linux\n\npackage linux\n",
	} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ system, pattern, want string }{
		{"linux-amd64", "./...", ""},
		{"darwin-arm64", ".", ""},
		{"windows-amd64", ".", "undefined: do"},
		{"darwin-arm64", "./only", "build constraints exclude all Go files"},
		{"plan9", ".", "is no OS-ARCH"},
	} {
		err := check(dir, tc.system, tc.pattern)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s %s: %v, want %q", tc.system, tc.pattern, err, tc.want)
		}
	}
}
