package saved

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/room"
	"github.com/netdojo/netdojo/cmd/netdojo/app/session"
	"github.com/netdojo/netdojo/cmd/netdojo/app/up"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/cmd/netdojo/app/version"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/progress"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/saved"
)

// OpenOptions are what the command line says.
type OpenOptions struct {
	Env     *env.Env
	File    string
	Lab     string // a folder, for a lab that is not in the catalogue
	Files   string // where the learner's files go
	Replace bool
	Spec    cluster.Spec
	// GivenProvider tells that --provider was given, not defaulted.
	GivenProvider bool
}

// NewOpen makes the command. Run may be replaced in tests.
func NewOpen(e *env.Env, run func(context.Context, *OpenOptions) error) *cobra.Command {
	o := &OpenOptions{Env: e}
	if run == nil {
		run = Open
	}
	cmd := &cobra.Command{
		Use:   "open FILE",
		Short: "Go on with a lab that was saved into a file",
		Long: `Go on with a lab that netdojo save wrote into a file: the lab is deployed on a
cluster, which is brought up where it does not run, and gets the policies and
changes of the file; your files go into the folder of the lab's shell, your progress
into the state folder. Of the workloads only labels, replicas and Services' ports and selectors are
taken from the file: images and commands are always the lab's own.

A file that was changed is refused, as is one of a lab that is another here. Policies,
files and later progress that are there already stay, and are an error, unless
--replace is given, which keeps the files aside.

A file that was saved in an exam goes on with the exam, whose time has run on; with
--lab for the folder of its pack, or of the lab itself.`,
		Example: `  netdojo open lab08.json
  netdojo open lab08.json --provider kind --files answers`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.File = args[0]
			o.GivenProvider = cmd.Flags().Changed("provider")
			if err := up.CheckSpec(o.Spec); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Lab, "lab", "", "the lab's folder, for one that is not in the catalogue")
	f.StringVar(&o.Files, "files", "", "make this folder for your files (default: the one of the lab's shell)")
	f.BoolVar(&o.Replace, "replace", false, "remove the policies and the progress that are there")
	env.NameFlag(cmd, &o.Spec.Name)
	up.SpecFlags(cmd, e, &o.Spec)
	return cmd
}

// Open opens the file: it looks at all that could be wrong before it changes anything.
func Open(ctx context.Context, o *OpenOptions) error {
	data, err := hostfile.ReadNamed(ctx, o.File, hostfile.Limits{Size: saved.MaxSize})
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	f, err := saved.Decode(data)
	if err != nil {
		return exit.With(exit.Usage, fmt.Errorf("open %s: %w", o.File, err))
	}
	if id, x := room.Running(o.Env); x != nil && (f.Exam() == nil || f.Exam().Pack != x.Pack || !f.Exam().Began.Equal(x.Began)) {
		return exit.With(exit.Environment, &room.RefusedError{Command: "netdojo open of another file than the exam's", Lab: id})
	}
	lab, err := o.lab(f)
	if err != nil {
		return err
	}
	pack, err := packOf(lab, f)
	if err != nil {
		return err
	}
	store, err := progress.Open(o.Env.StateDir)
	if err != nil {
		return err
	}
	if mine := store.Lab(lab.ID); mine != nil && !o.Replace && (f.Progress == nil || mine.Updated.After(f.Progress.Updated)) {
		return exit.WithCure(exit.Usagef("your progress in lab %s is later than the file's", lab.ID),
			"save it first: netdojo save FILE; then open this one with --replace")
	}
	own := o.Files != ""
	if !own {
		o.Files = o.Env.Work(o.Spec.Name, lab.Folder())
	}
	if _, err := os.Lstat(o.Files); len(f.Files) > 0 && !notThere(err) && (own || !o.Replace) {
		return exit.WithCure(exit.Usagef("%s is there already", o.Files), "name a folder that is not, with --files; or move the lab's own aside with --replace")
	}
	target, err := session.Find(ctx, o.Env, session.Wanted{Spec: o.Spec, Insists: o.GivenProvider})
	if err != nil {
		return err
	}
	if pack != nil { // from here on nothing is told of what the lab expects
		if lab, err = o.enterExam(store, pack, f); err != nil {
			return err
		}
	}
	err = o.restore(ctx, target, lab, f)
	if err = target.Ended(ctx, o.Env, verdicts.Classify(err)); err != nil {
		return err
	}
	if len(f.Files) > 0 {
		if err := writeFiles(o.Files, f.Files); err != nil {
			return err
		}
	}
	updated := time.Now()
	if pack == nil {
		store.Put(lab.ID, f.Progress)
	}
	if f.Progress != nil {
		updated = f.Progress.Updated
	}
	if err := store.Save(lab.ID, updated); err != nil {
		return err
	}
	fmt.Fprintf(o.Env.Out, "opened lab %s, saved %s: %d objects on cluster %s\n", lab.ID, f.Saved.Local().Format(time.DateTime), len(f.Objects), target.Spec.Name)
	if len(f.Files) > 0 {
		fmt.Fprintf(o.Env.Out, "your files are in %s\n", printable.Line(o.Files))
	}
	return nil
}

// lab is the lab that the file is of, which has to be the same here.
func (o *OpenOptions) lab(f saved.File) (*labs.Lab, error) {
	name := o.Lab
	if name == "" {
		name = f.Lab.ID
		if path.Base(name) != name || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `\:`) {
			return nil, exit.With(exit.Usage, &saved.Error{Message: fmt.Sprintf("lab %q is no lab's name", name), Advice: "do not open the file; ask whom you have it from"})
		}
	}
	lab, err := room.Taking(o.Env, "netdojo open", f.Lab.ID)
	if err == nil && lab == nil {
		lab, err = verdicts.LabOf(name, "", f.Seed)
	}
	if err != nil {
		return nil, err
	}
	digest, err := lab.Digest()
	if err != nil {
		return nil, err
	}
	if f.Exam() != nil {
		digest = f.Lab.Digest // which is the pack's: packOf compares it
	}
	switch {
	case lab.ID != f.Lab.ID:
		return nil, exit.WithCure(exit.Usagef("the file is of lab %s, not of %s", f.Lab.ID, lab.ID), "give the folder of lab %s with --lab", f.Lab.ID)
	case digest != f.Lab.Digest:
		return nil, exit.WithCure(exit.Usagef("lab %s is another here than when it was saved, by netdojo %s; this is %s", lab.ID, f.Netdojo, version.Version),
			"open the file with netdojo %s, or give the lab's folder as it was with --lab", f.Netdojo)
	case f.Netdojo != version.Version:
		fmt.Fprintf(o.Env.Err, "netdojo: the file was saved by netdojo %s, and this is %s; the lab is the same\n", printable.Line(f.Netdojo), version.Version)
	}
	return lab, nil
}

// packOf is what of the lab the exam is taken in that the file is of; nil for a file of
// none.
func packOf(lab *labs.Lab, f saved.File) (*labs.Pack, error) {
	x := f.Exam()
	if x == nil {
		return nil, nil
	}
	pack, err := lab.Pack()
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	if pack.Digest != x.Pack || f.Lab.Digest != x.Pack {
		return nil, exit.WithCure(exit.Usagef("the exam %s of the file is another than the lab here: its pack is %s, this one's %s", lab.ID, x.Pack, pack.Digest),
			"give the folder of the exam's pack with --lab")
	}
	return pack, nil
}

// enterExam goes on here with the exam of a file, and returns the lab that it is taken
// in.
func (o *OpenOptions) enterExam(store *progress.Store, pack *labs.Pack, f saved.File) (*labs.Lab, error) {
	dir := room.Folder(o.Env, f.Lab.ID)
	if err := hostfile.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("keep the exam's lab: %w", err)
	}
	if err := hostfile.MkdirAll(room.Folder(o.Env, "")); err != nil {
		return nil, fmt.Errorf("keep the exam's lab: %w", err)
	}
	if err := pack.Write(dir); err != nil {
		return nil, fmt.Errorf("keep the exam's lab: %w", err)
	}
	here, x := store.ExamOf(f.Lab.ID), f.Exam()
	if here == nil || here.PassedMs < x.PassedMs {
		x.Observe(progress.Now())
		store.Put(f.Lab.ID, f.Progress)
		if err := store.Save(f.Lab.ID, f.Progress.Updated); err != nil {
			return nil, err
		}
	} else {
		x = here
	}
	if x.Running() {
		fmt.Fprintf(o.Env.Err, "netdojo: the exam %s goes on here; netdojo exam status tells its time\n", f.Lab.ID)
	}
	return room.Lab(o.Env, f.Lab.ID, x)
}

// restore puts the lab on the cluster as it was.
func (o *OpenOptions) restore(ctx context.Context, target session.Target, lab *labs.Lab, f saved.File) error {
	_, err := verdicts.Steps(ctx, o.Env, runner.Target{
		Provider: target.Provider, Spec: target.Spec, Provision: true, Keep: true, Lab: lab, StateDir: o.Env.StateDir, Log: o.Env.Log,
	}, verdicts.With(func(s *runner.Session, ctx context.Context) error {
		there, err := s.Strangers(ctx)
		if err != nil {
			return err
		}
		if len(there) > 0 && !o.Replace {
			return &runner.UsageError{
				Message: "there are policies in the lab's namespaces already: " + strings.Join(there, ", "),
				Advice:  "save them first: netdojo save FILE; then open this one with --replace, or on another cluster with --name",
			}
		}
		if err := s.Discard(ctx); err != nil {
			return err
		}
		if err := s.Reset(ctx); err != nil {
			return err
		}
		// What works without policies is the control of a later deny.
		if err := s.Baseline(ctx); err != nil {
			return err
		}
		return s.Restore(ctx, f.Objects)
	}))
	return err
}

// putAside renames what is in a folder's place.
func putAside(dir string) error {
	if _, err := os.Lstat(dir); notThere(err) {
		return nil
	}
	for i := 1; ; i++ {
		aside := fmt.Sprintf("%s.before-%d", dir, i)
		if _, err := os.Lstat(aside); notThere(err) {
			return os.Rename(dir, aside)
		}
	}
}

// writeFiles makes a folder and the files in it; no name leads out of it.
func writeFiles(dir string, files []saved.Text) (err error) {
	if err := hostfile.MkdirAll(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := putAside(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder for your files: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the folder for your files: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	for _, t := range files {
		name := filepath.FromSlash(t.Name)
		if above := filepath.Dir(name); above != "." {
			if err := root.MkdirAll(above, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("write your files: %w", err)
			}
		}
		if err := root.WriteFile(name, []byte(t.Text), 0o644); err != nil {
			return fmt.Errorf("write your files: %w", err)
		}
	}
	return nil
}
