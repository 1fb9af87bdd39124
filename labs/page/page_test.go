package page

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden explanations anew")

// TestExplain compares how each fixture is understood with its golden explanation.
func TestExplain(t *testing.T) {
	files, err := filepath.Glob("testdata/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, file := range files {
		if !Is(file) {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Read(filepath.Base(file), src, func(name string) ([]byte, error) {
				return os.ReadFile(filepath.Join("testdata", "included", name))
			})
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := Explain(&got, p); err != nil {
				t.Fatal(err)
			}
			golden := file + ".golden"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("understood as\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		src  string
		line int
		cure string
	}{
		"NUL":     {"a\nb\x00", 2, "convert"},
		"Latin-1": {"a\n\nb\xe4c\n", 3, "iconv"},
		"UTF-16":  {"\xff\xfea\x00", 1, "UTF-16"},
		"50 MB":   {strings.Repeat("# x\n", 50<<20/4), 0, "split"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read("p.md", []byte(tc.src), nil)
			var invalid *InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("error %v", err)
			}
			if invalid.Line != tc.line || !strings.Contains(invalid.Cure(), tc.cure) {
				t.Errorf("%v, line %d, cure %q", err, invalid.Line, invalid.Cure())
			}
		})
	}
}

// BenchmarkRead reads a page of a thousand lines, as `netdojo page explain` does.
func BenchmarkRead(b *testing.B) {
	seed, err := os.ReadFile("testdata/seed.md")
	if err != nil {
		b.Fatal(err)
	}
	src := bytes.Repeat(seed, 1+1000/bytes.Count(seed, []byte("\n")))
	for b.Loop() {
		if _, err := Read("long.md", src, nil); err != nil {
			b.Fatal(err)
		}
	}
}
