package crilog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzStream writes text in parts and puts it together again from the log.
func FuzzStream(f *testing.F) {
	f.Add("hello\nworld", 3)
	f.Add(strings.Repeat("x", 3*MaxPart)+"\n\n", 5000)
	f.Add("", 1)
	f.Fuzz(func(t *testing.T, text string, part int) {
		path := filepath.Join(t.TempDir(), "0.log")
		log, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		part = max(part, 1)
		s := log.Stream("stderr")
		for rest := text; rest != ""; {
			n := min(part, len(rest))
			if _, err := s.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for entry := range strings.SplitSeq(strings.TrimSuffix(string(data), "\n"), "\n") {
			if entry == "" {
				continue
			}
			fields := strings.SplitN(entry, " ", 4)
			if len(fields) != 4 || fields[1] != "stderr" || len(fields[3]) > MaxPart {
				t.Fatalf("entry %.100q", entry)
			}
			got.WriteString(fields[3])
			if fields[2] == "F" {
				got.WriteByte('\n')
			}
		}
		if got.String() != text {
			t.Errorf("got %.200q, want %.200q", got.String(), text)
		}
	})
}
