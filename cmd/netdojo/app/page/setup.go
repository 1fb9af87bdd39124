package page

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/labs/page"
)

// maxSetup bounds a manifest's file.
const maxSetup = 4 << 20

// Setup reads the manifests that a page needs and does not show: a file, or those of a
// folder.
func Setup(ctx context.Context, name string) ([]page.Beside, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, exit.WithCure(fmt.Errorf("--setup %s does not exist", name), "give a manifest's file, or a folder of them")
	}
	if err != nil {
		return nil, fmt.Errorf("read --setup: %w", err)
	}
	names := []string{name}
	if info.IsDir() {
		names = nil
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, fmt.Errorf("read --setup: %w", err)
		}
		for _, e := range entries {
			if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
				names = append(names, filepath.Join(name, e.Name()))
			}
		}
	}
	var files []page.Beside
	for _, file := range names {
		data, err := hostfile.ReadNamed(ctx, file, hostfile.Limits{Size: maxSetup})
		if err != nil {
			return nil, fmt.Errorf("read --setup: %w", err)
		}
		files = append(files, page.Beside{Name: file, Mode: 0o644, Data: data})
	}
	return files, nil
}
