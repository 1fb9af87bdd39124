package kubeconfig

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
)

// Current is the name of the cluster whose context is the current one, "" where that
// context is not of ours. As kubectl has it, the first file that names a current
// context counts.
func (f Files) Current(ctx context.Context) (string, error) {
	for _, path := range f {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		doc, err := read(ctx, path)
		if err != nil {
			return "", err
		}
		if context := doc.current(); context != "" {
			name, _ := strings.CutPrefix(context, ContextName(""))
			if ContextName(name) != context {
				return "", nil
			}
			return name, nil
		}
	}
	return "", nil
}
