package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/version"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
)

func newLock(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "lock [FOLDER]",
		Short: "Pin the labs of a course as they are, and this netdojo, in a course.lock",
		Long: `Pin the labs of a course as they are, and this netdojo: write the digests of the labs
in a folder into its file course.lock, or, without a folder, those of the catalogue into
./course.lock. netdojo lab lint names labs that are others since. netdojo grade refuses
them, and another netdojo: it reads the course.lock beside the lab's folder, or the one
of --lock.`,
		Example: `  netdojo lab lock ./course
  netdojo lab lock && netdojo grade submissions.zip --lab 02 --lock course.lock`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := ""
			if len(args) > 0 {
				dir = args[0]
			}
			return lock(e, dir)
		},
	}
}

// lock writes the course.lock of a folder, "" for the catalogue's into the current one.
func lock(e *env.Env, dir string) error {
	var l *labs.Lock
	var err error
	if dir == "" {
		l, err = labs.LockOfCatalogue(version.Version)
	} else if info, serr := os.Stat(dir); serr != nil || !info.IsDir() {
		return exit.WithCure(exit.Usagef("%s is no folder", dir), "give the folder of the course, which holds its labs' folders")
	} else {
		l, err = labs.LockOf(labs.FolderFS(dir), version.Version)
	}
	var none *labs.LockError
	if errors.As(err, &none) {
		return exit.With(exit.Usage, err)
	}
	if err != nil {
		return err
	}
	text, err := l.Encode()
	if err != nil {
		return err
	}
	file := filepath.Join(dir, labs.LockFile)
	if err := hostfile.WriteNamed(file, text, 0o644); err != nil {
		return fmt.Errorf("pin the labs: %w", err)
	}
	_, err = fmt.Fprintf(e.Out, "%s pins %d labs and netdojo %s\n", printable.Line(file), len(l.Labs), version.Version)
	return err
}
