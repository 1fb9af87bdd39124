package crilog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lines returns a log's entries without their times, which it checks.
func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		stamp, rest, _ := strings.Cut(line, " ")
		if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil {
			t.Errorf("entry %q: %v", line, err)
		}
		out = append(out, rest)
	}
	return out
}

func TestStream(t *testing.T) {
	long := strings.Repeat("x", MaxPart)
	for title, tc := range map[string]struct{ writes, want []string }{
		"a line":            {[]string{"hello\n"}, []string{"stdout F hello\n"}},
		"a line in parts":   {[]string{"hel", "lo", "\n"}, []string{"stdout F hello\n"}},
		"two lines at once": {[]string{"a\nb\n"}, []string{"stdout F a\n", "stdout F b\n"}},
		"an empty line":     {[]string{"\n"}, []string{"stdout F \n"}},
		"no end of line":    {[]string{"a\nb"}, []string{"stdout F a\n", "stdout P b\n"}},
		"exactly the most":  {[]string{long + "\n"}, []string{"stdout F " + long + "\n"}},
		"one more":          {[]string{long + "y\n"}, []string{"stdout P " + long + "\n", "stdout F y\n"}},
		"more, in parts":    {[]string{long[1:], "ab\n"}, []string{"stdout P " + long[1:] + "a\n", "stdout F b\n"}},
		"thrice as long":    {[]string{long + long + long + "\n"}, []string{"stdout P " + long + "\n", "stdout P " + long + "\n", "stdout F " + long + "\n"}},
		"nothing":           {nil, nil},
	} {
		t.Run(title, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "folder", "0.log")
			f, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			s := f.Stream("stdout")
			for _, w := range tc.writes {
				if n, err := s.Write([]byte(w)); n != len(w) || err != nil {
					t.Fatalf("write: %d, %v", n, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if got := lines(t, path); strings.Join(got, "") != strings.Join(tc.want, "") {
				t.Errorf("got %.200q, want %.200q", got, tc.want)
			}
		})
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	out := f.Stream("stdout")
	write := func(s string) {
		t.Helper()
		if _, err := out.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("two\n")
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	write("three\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	write("lost\n")
	if got := strings.Join(lines(t, path+".1"), ""); got != "stdout F one\nstdout F two\n" {
		t.Errorf("moved log: %q", got)
	}
	if got := strings.Join(lines(t, path), ""); got != "stdout F three\n" {
		t.Errorf("new log: %q", got)
	}
}
