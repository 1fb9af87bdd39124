// Package course is `netdojo course` with its sub-commands, for those who teach one.
package course

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/export"
)

// ExportOptions are what the command line says.
type ExportOptions struct {
	Env   *env.Env
	Dir   string // the course's folder; "" for the catalogue
	Track string // "" for all labs
	HTML  string // files to write; "" for not
	Key   string
	Force bool
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(*ExportOptions) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "course",
		Short: "Teach a course",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newExport(e, run))
	return cmd
}

func newExport(e *env.Env, run func(*ExportOptions) error) *cobra.Command {
	o := &ExportOptions{Env: e}
	if run == nil {
		run = Export
	}
	cmd := &cobra.Command{
		Use:   "export [FOLDER]",
		Short: "Write a course as one HTML file, and its key as another",
		Long: `Write a course for those who teach it. --html has the labs' pages, who reaches what
with the solution, and the instructor's notes; of exams the pages alone. --key has the
solutions, the known wrong answers, the hints, and the right answers to questions.
Each is one file that needs nothing else, to be read or printed.

FOLDER holds a course.yaml and its labs; without, it is the catalogue.`,
		Example: `  netdojo course export --html course.html --key key.html
  netdojo course export --track day --html day.html
  netdojo course export ./my-course --html my-course.html`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Dir = args[0]
			}
			if o.HTML == "" && o.Key == "" {
				return exit.WithCure(exit.Usagef("no file is named"), "say what is to be written: --html FILE, --key FILE or both")
			}
			if o.HTML == o.Key {
				return exit.WithCure(exit.Usagef("--html and --key name the same file"), "give the key a file of its own")
			}
			return run(o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.HTML, "html", "", "write pages and instructor's notes to this file")
	f.StringVar(&o.Key, "key", "", "write the key to this file: solutions, wrong answers, hints")
	f.StringVar(&o.Track, "track", "", "only the labs of this track; netdojo labs names them")
	f.BoolVar(&o.Force, "force", false, "write over files that are there")
	return cmd
}

// Export writes the files.
func Export(o *ExportOptions) error {
	for _, name := range []string{o.HTML, o.Key} {
		if _, err := os.Lstat(name); name != "" && err == nil && !o.Force {
			return exit.WithCure(exit.Usagef("%s is there already", name), "name another file, or write over it with --force")
		}
	}
	course, all, err := Open(o.Dir)
	if err != nil {
		return err
	}
	if all, err = OfTrack(course, all, o.Track); err != nil {
		return err
	}
	for _, out := range []struct {
		name, what string
		write      func(io.Writer, *labs.Course, []*labs.Lab) error
	}{{o.HTML, "pages and notes", export.Course}, {o.Key, "the key", export.Key}} {
		if out.name == "" {
			continue
		}
		var text bytes.Buffer
		if err := out.write(&text, course, all); err != nil {
			return exit.With(exit.Usage, err)
		}
		if err := hostfile.WriteNamed(out.name, text.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", out.what, err)
		}
		if _, err := fmt.Fprintf(o.Env.Out, "%s of %d labs: %s\n", out.what, len(all), printable.Line(out.name)); err != nil {
			return err
		}
	}
	return nil
}

// Open is the course in a folder with its labs, in their order; that of the catalogue
// for "". Labs that are broken are an error.
func Open(dir string) (*labs.Course, []*labs.Lab, error) {
	if dir == "" {
		course, err := labs.CatalogueCourse()
		if err != nil {
			return nil, nil, err
		}
		all, err := labs.Catalogue()
		return course, all, err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, nil, exit.WithCure(exit.Usagef("%s is no folder", dir), "give the folder of a course, or none for the catalogue")
	}
	course, err := labs.LoadCourse(labs.FolderFS(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, exit.WithCure(exit.Usagef("%s is no course: it has no %s", dir, labs.CourseFile), "write one with title and labs: docs/labs-format.md")
	} else if err != nil {
		return nil, nil, exit.With(exit.Usage, err)
	}
	all, invalid, err := labs.OpenAll(dir)
	if err != nil {
		return nil, nil, verdicts.Classify(err)
	}
	if len(invalid) > 0 {
		return nil, nil, exit.With(exit.Usage, invalid[0])
	}
	all = slices.DeleteFunc(all, func(l *labs.Lab) bool { return course.Entry(l.ID) == nil })
	return course, all, nil
}

// OfTrack are the labs of a track, in its order; all for "".
func OfTrack(course *labs.Course, all []*labs.Lab, track string) ([]*labs.Lab, error) {
	if track == "" {
		return all, nil
	}
	var known []string
	for _, t := range course.Tracks {
		known = append(known, t.ID)
		if t.ID != track {
			continue
		}
		var out []*labs.Lab
		for _, id := range t.Labs {
			for _, l := range all {
				if l.ID == id {
					out = append(out, l)
				}
			}
		}
		return out, nil
	}
	return nil, exit.WithCure(exit.Usagef("the course has no track %q", track), "known: %s", strings.Join(known, ", "))
}
