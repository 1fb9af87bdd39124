package grade

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/version"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/labs"
)

// maxLock is more than any course.lock has.
const maxLock = 1 << 20

// pinned refuses a lab, or a netdojo, that is another than in a course.lock: the file
// that is given, else the one beside the lab's folder, where there is one.
func pinned(ctx context.Context, file string, lab *labs.Lab) error {
	if file == "" {
		if lab.Dir == "" {
			return nil // of the catalogue: netdojo's version says which
		}
		dir, err := filepath.Abs(lab.Dir)
		if err != nil {
			return err
		}
		file = filepath.Join(filepath.Dir(dir), labs.LockFile)
		if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	data, err := hostfile.ReadNamed(ctx, file, hostfile.Limits{Size: maxLock})
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	l, err := labs.ReadLock(file, data)
	if err == nil {
		err = l.Fits(file, lab, version.Version)
	}
	return exit.With(exit.Usage, err)
}
