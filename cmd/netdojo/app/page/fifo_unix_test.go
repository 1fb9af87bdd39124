//go:build unix

package page

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFIFOs: a FIFO in the place of a page ends with the command, and one in the page's
// tree is passed over. To open either may take for ever.
func TestFIFOs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"page.md", "applied.yaml", "included.rst", "shown.yaml"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(interrupted)
	if _, err := Read(ctx, filepath.Join(dir, "page.md")); !errors.Is(err, interrupted) {
		t.Errorf("a page that is a FIFO: %v", err)
	}
	for name, text := range map[string]string{
		"including.rst": "Title\n=====\n\n.. include:: included.rst\n",
		"applying.md":   "```\nkubectl apply -f https://example.com/applied.yaml\n```\n",
		"showing.md":    "{{< readfile file=\"shown.yaml\" >}}\n\n```\nkubectl apply -f shown.yaml\n```\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, beside, err := Load(context.Background(), file)
		if err != nil || len(beside) != 0 {
			t.Errorf("%s: %v, beside it %v of %+v", name, err, beside, p)
		}
	}
}
