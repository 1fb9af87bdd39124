// Package bundle is `netdojo bundle`: a course, what its labs need and netdojo's programs
// in one file, to be taken where there is no network. Whoever opens one may have been
// given it by anybody: what is read is bounded, and files stay inside one new folder.
package bundle

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/course"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/version"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
)

//go:embed install.sh
var installText []byte

//go:embed readme.txt
var readmeText []byte

// Options are what the command line says.
type Options struct {
	Env      *env.Env
	File     string
	Course   string // its folder; "" for the catalogue
	Programs string // their folder; "" for that of this program
	Platform string // that they run on, where Programs is given
	Images   []string
	NoImages bool
	Force    bool
}

// OpenOptions are what the command line says.
type OpenOptions struct {
	Env      *env.Env
	File     string
	Dir      string // made
	Check    bool   // read it, and write nothing
	NoImages bool
}

// New makes the command. Make and open may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error, open func(context.Context, *OpenOptions) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Make
	}
	cmd := &cobra.Command{
		Use:   "bundle FILE",
		Short: "Write programs, labs and images into one file, for machines without a network",
		Long: `Write netdojo's programs, a course and the images of its labs into one file, a tar that
is gzipped, for a USB stick. On a fresh machine it takes tar alone:

  tar -xzf FILE && ./netdojo-bundle/install.sh

Without --course the bundle is of the catalogue, which the programs have in them. The
images are those of the labs that are in the local store; the others of the catalogue
have stand-ins, which need none. The programs are those beside this one, or in another
folder, such as that of a release for another system. The same programs, labs and images
make the same bytes.

A bundle has the labs as they are, with their solutions. For an exam put packs into the
course (netdojo exam pack).`,
		Example: `  netdojo bundle day.tar.gz
  netdojo bundle --course ./my-course course.tar.gz
  netdojo bundle --programs netdojo-1.2.0-darwin-arm64/bin --platform darwin/arm64 mac.tar.gz
  netdojo bundle open --check day.tar.gz`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.File = args[0]
			if (o.Programs == "") != (o.Platform == "") {
				return exit.WithCure(exit.Usagef("--programs and --platform are given together"), "say what the programs run on: --platform linux/amd64")
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Course, "course", "", "a course's folder (default: the catalogue)")
	f.StringVar(&o.Programs, "programs", "", "the folder of netdojo's programs (default: that of this one)")
	f.StringVar(&o.Platform, "platform", "", "what the programs of --programs run on, as OS/ARCHITECTURE")
	f.StringArrayVar(&o.Images, "image", nil, "also this image of the local store; may be repeated")
	f.BoolVar(&o.NoImages, "no-images", false, "without images, for machines that can ask a registry")
	f.BoolVar(&o.Force, "force", false, "write over a file that is there")
	cmd.AddCommand(newOpen(e, open))
	return cmd
}

func newOpen(e *env.Env, run func(context.Context, *OpenOptions) error) *cobra.Command {
	o := &OpenOptions{Env: e}
	if run == nil {
		run = Open
	}
	cmd := &cobra.Command{
		Use:   "open FILE [FOLDER]",
		Short: "Unpack a bundle and load its images, or see whether it is whole",
		Long: `Unpack a bundle into a new folder, netdojo-bundle where none is named, and load its
images into the local store. Each file is compared with its digest; of a bundle that is
broken nothing stays. With --check it is read, and nothing is written.`,
		Example: `  netdojo bundle open day.tar.gz
  netdojo bundle open --check /media/stick/day.tar.gz`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.File, o.Dir = args[0], strings.TrimSuffix(rootName, "/")
			if len(args) == 2 {
				o.Dir = args[1]
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.Check, "check", false, "only see whether it is whole")
	cmd.Flags().BoolVar(&o.NoImages, "no-images", false, "do not load its images")
	return cmd
}

// Make writes the bundle.
func Make(ctx context.Context, o *Options) (err error) {
	if _, err := os.Lstat(o.File); err == nil && !o.Force {
		return exit.WithCure(exit.Usagef("%s is there already", o.File), "name another file, or write over it with --force")
	}
	c, all, err := course.Open(o.Course)
	if err != nil {
		return err
	}
	m := &Manifest{Netdojo: version.Version, Platform: o.Platform, Course: c.Title, Images: []string{}}
	for _, l := range all {
		m.Labs = append(m.Labs, l.ID)
	}
	parts, err := o.programs(m)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	if o.Course != "" {
		more, err := withLock(labs.FolderFS(o.Course), all)
		if err != nil {
			return exit.With(exit.Usage, err)
		}
		m.Folder = courseDir
		parts = append(parts, more...)
	}
	work, err := os.MkdirTemp("", "netdojo-bundle-")
	if err != nil {
		return fmt.Errorf("make a folder for the bundle: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	more, err := o.images(ctx, m, all, work)
	if err != nil {
		return err
	}
	parts = append(parts, more...)
	parts = append(parts, text(readmeName, false, readmeText), text(installName, true, installText))
	if err := toFile(ctx, o.File, m, parts); err != nil {
		return err
	}
	return o.told(m)
}

// programs are those that the bundle gets, and what they run on.
func (o *Options) programs(m *Manifest) ([]part, error) {
	if o.Programs != "" {
		return programs(o.Programs, clientPrograms)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find netdojo's programs: %w", err)
	}
	if resolved, err := filepath.EvalSymlinks(self); err == nil {
		self = resolved
	}
	m.Platform = runtime.GOOS + "/" + runtime.GOARCH
	needed := clientPrograms
	if runtime.GOOS == "linux" {
		needed = allPrograms
	}
	return programs(filepath.Dir(self), needed)
}

// withLock are the files of a course's folder, with a course.lock: the one that is there,
// which the labs have to fit, or a new one.
func withLock(fsys fs.FS, all []*labs.Lab) ([]part, error) {
	parts, err := courseParts(fsys)
	if err != nil {
		return nil, err
	}
	data, err := fs.ReadFile(fsys, labs.LockFile)
	if errors.Is(err, fs.ErrNotExist) {
		l, err := labs.LockOf(fsys, version.Version)
		if err != nil {
			return nil, err
		}
		text, err := l.Encode()
		if err != nil {
			return nil, err
		}
		return append(parts, newLock(text)), nil
	}
	if err != nil {
		return nil, err
	}
	l, err := labs.ReadLock(labs.LockFile, data)
	if err != nil {
		return nil, err
	}
	for _, lab := range all {
		if err := l.Fits(labs.LockFile, lab, version.Version); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

func newLock(data []byte) part { return text(courseDir+"/"+labs.LockFile, false, data) }

// toFile writes the bundle beside its place first: one that is half written is none.
func toFile(ctx context.Context, name string, m *Manifest, parts []part) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".netdojo-bundle-")
	if err != nil {
		return exit.WithCure(fmt.Errorf("write the bundle: %w", err), "name a file in a folder that you may write")
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = writeTo(ctx, f, m, parts)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync() // sticks are pulled out
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}

// told says what the bundle has.
func (o *Options) told(m *Manifest) error {
	info, err := os.Stat(o.File)
	if err != nil {
		return fmt.Errorf("look at the bundle: %w", err)
	}
	_, err = fmt.Fprintf(o.Env.Out, "%s: netdojo %s for %s, %d labs, %d images, %d MB\non a fresh machine: tar -xzf %s && ./%sinstall.sh\n",
		printable.Line(o.File), m.Netdojo, m.Platform, len(m.Labs), len(m.Images), (info.Size()+999_999)/1_000_000, printable.Line(filepath.Base(o.File)), rootName)
	return err
}

// Open unpacks the bundle, or sees whether it is whole.
func Open(ctx context.Context, o *OpenOptions) error {
	if o.Check {
		m, err := verify(ctx, o.File)
		if err != nil {
			return refused(err)
		}
		_, err = fmt.Fprintf(o.Env.Out, "%s is whole: %s\n", printable.Line(o.File), about(m))
		return err
	}
	m, err := unpack(ctx, o.File, o.Dir)
	if errors.Is(err, fs.ErrExist) {
		return exit.WithCure(exit.With(exit.Usage, err), "name another folder, or remove that one")
	}
	if err != nil {
		return refused(err)
	}
	fmt.Fprintf(o.Env.Out, "%s has %s\n", printable.Line(o.Dir), about(m))
	if !o.NoImages {
		if err := load(ctx, o, m); err != nil {
			return err
		}
	}
	if m.Folder != "" {
		where := filepath.Join(o.Dir, m.Folder)
		fmt.Fprintf(o.Env.Out, "the labs are in %s: netdojo run %s\n", printable.Line(where), printable.Line(filepath.Join(where, first(m.Labs))))
	}
	if m.Netdojo != version.Version {
		fmt.Fprintf(o.Env.Out, "it is of netdojo %s, and this is %s: its own programs are in %s\n",
			printable.Line(m.Netdojo), version.Version, printable.Line(filepath.Join(o.Dir, programsDir)))
	}
	return nil
}

func first(ids []string) string {
	if len(ids) == 0 {
		return "LAB"
	}
	return ids[0]
}

// about says what a bundle has.
func about(m *Manifest) string {
	return printable.Line(fmt.Sprintf("netdojo %s for %s, %q with %d labs, %d images", m.Netdojo, m.Platform, m.Course, len(m.Labs), len(m.Images)))
}

// refused is the error of a bundle that is not opened: what was given is at fault.
func refused(err error) error {
	var b *BrokenError
	var h *hostfile.Error
	if errors.As(err, &b) || errors.As(err, &h) || errors.Is(err, fs.ErrNotExist) {
		return exit.With(exit.Usage, err)
	}
	return err
}
