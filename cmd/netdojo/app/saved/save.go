// Package saved is `netdojo save` and `netdojo open`: a lab in one file, to be gone on
// with elsewhere.
package saved

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/room"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/cmd/netdojo/app/version"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/progress"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/saved"
)

// SaveOptions are what the command line says.
type SaveOptions struct {
	Env   *env.Env
	File  string
	Lab   string
	Seed  string
	Files string // the learner's folder
	Name  string
	Force bool
}

// NewSave makes the command. Run may be replaced in tests.
func NewSave(e *env.Env, run func(context.Context, *SaveOptions) error) *cobra.Command {
	o := &SaveOptions{Env: e}
	if run == nil {
		run = Save
	}
	cmd := &cobra.Command{
		Use:   "save FILE",
		Short: "Save a lab into one file, to go on elsewhere",
		Long: `Save a lab into one file: the policies of its namespaces, what you changed of its
workloads, your files and your progress. netdojo open goes on from there, on this
machine or another, whatever the provider. No Secrets are saved, nor files that
hold one, a key or a kubeconfig.

In an exam the file is what you hand in: it has the exam's times too, and says by how
much it is late. Where the cluster does not run it has your files alone.`,
		Example: `  netdojo save lab08.json
  netdojo save lab08.json --lab 08 --files ~/answers`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.File = args[0]
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Lab, "lab", "", "the lab (default: the one that was worked on last)")
	f.StringVar(&o.Files, "files", "", "the folder of your answers and notes, whose text files are saved (default: the one of the lab's shell)")
	f.BoolVar(&o.Force, "force", false, "write over a file that is there")
	env.ChosenNameFlag(cmd, &o.Name)
	verdicts.SeedFlag(cmd, &o.Seed)
	return cmd
}

// Save writes the file.
func Save(ctx context.Context, o *SaveOptions) error {
	if _, err := os.Lstat(o.File); err == nil && !o.Force {
		return exit.WithCure(exit.Usagef("%s is there already", o.File), "name another file, or write over it with --force")
	}
	store, err := progress.Open(o.Env.StateDir)
	if err != nil {
		fmt.Fprintf(o.Env.Err, "netdojo: %s\n", printable.Line(err.Error()))
	}
	if id, x := store.Exam(); x != nil && o.Lab == "" {
		o.Lab = id
	}
	if o.Lab == "" {
		if o.Lab = store.Latest(); o.Lab == "" {
			return exit.WithCure(exit.Usagef("no lab was worked on"), "name one with --lab")
		}
	}
	lab, digest, x, err := o.lab(store)
	if err != nil {
		return err
	}
	out := saved.File{
		Netdojo: version.Version, Saved: time.Now(), Lab: saved.Lab{ID: lab.ID, Digest: digest}, Seed: lab.Seed, Files: []saved.Text{},
	}
	if p := store.Lab(lab.ID); p != nil && x == nil {
		plain := *p
		plain.Exam = nil // one that has ended is not handed in any more
		out.Progress = &plain
	}
	if o.Name, err = o.Env.Choose(ctx, o.Name); err != nil {
		return err
	}
	if work := o.Env.Work(o.Name, lab.Folder()); o.Files == "" && isFolder(work) {
		o.Files = work
	}
	if o.Files != "" {
		var left []string
		if !isFolder(o.Files) {
			return exit.WithCure(exit.Usagef("%s is no folder", o.Files), "give the folder of your answers")
		}
		if out.Files, left, err = saved.Gather(hostfile.DirFS(o.Files, saved.MaxFile)); err != nil {
			return fmt.Errorf("read your files: %w", err)
		}
		for _, name := range left {
			fmt.Fprintf(o.Env.Err, "netdojo: %s is not saved: it holds a secret, or is no text, or is too long\n", printable.Line(name))
		}
	}
	switch err := snapshot(ctx, o, lab, &out); {
	case err != nil && x != nil && ctx.Err() == nil:
		// What counts is that something is handed in.
		fmt.Fprintf(o.Env.Err, "netdojo: nothing of the cluster is saved, your files alone: %s\n", printable.Line(err.Error()))
		out.Provider, out.Datapath, out.Objects = "", "", []map[string]any{}
	case err != nil:
		return err
	}
	if x != nil {
		x.HandIn()
		store.SetExam(lab.ID, x)
		out.Progress = store.Lab(lab.ID)
	}
	data, err := out.Encode()
	if err != nil {
		return fmt.Errorf("save the lab: %w", err)
	}
	if err := hostfile.WriteNamed(o.File, data, 0o600); err != nil {
		return fmt.Errorf("save the lab: %w", err)
	}
	fmt.Fprintf(o.Env.Out, "saved lab %s: %d objects, %d files\n", lab.ID, len(out.Objects), len(out.Files))
	if x == nil {
		return nil
	}
	if err := store.Save(lab.ID, x.HandedIn); err != nil {
		return err
	}
	when := "in time, with " + room.Brief(x.Left()) + " left"
	if over := -x.Left(); over >= 0 {
		when = "late by " + room.Brief(over)
	}
	_, err = fmt.Fprintf(o.Env.Out, "it is what you hand in, %s; netdojo exam end ends the exam\n", when)
	return err
}

// lab is the lab to save with its digest, and the exam that goes on in it, nil for none.
func (o *SaveOptions) lab(store *progress.Store) (*labs.Lab, string, *progress.Exam, error) {
	if id, x := store.Exam(); x != nil && strings.EqualFold(id, o.Lab) {
		lab, err := room.Lab(o.Env, id, x)
		return lab, x.Pack, x, err
	}
	lab, err := verdicts.Own(o.Env, o.Lab, "", o.Seed)
	if err != nil {
		return nil, "", nil, err
	}
	digest, err := lab.Digest()
	return lab, digest, nil, err
}

// snapshot reads what of the lab is on the cluster.
func snapshot(ctx context.Context, o *SaveOptions, lab *labs.Lab, out *saved.File) (err error) {
	st, provider, _, err := o.Env.Status(ctx, o.Name)
	if err != nil {
		return err
	}
	if !st.Running {
		err := exit.WithCure(fmt.Errorf("cluster %s: %w", o.Name, cluster.ErrNotRunning), "bring it up: netdojo up --name %s", o.Name)
		return o.Env.OrRunning(ctx, err)
	}
	out.Provider, out.Datapath = st.Provider, string(st.Datapath)
	_, err = runner.Do(ctx, runner.Target{
		Provider: provider, Spec: cluster.Spec{Name: o.Name, Provider: st.Provider, Datapath: st.Datapath, World: st.World},
		Keep: true, Lab: lab, StateDir: o.Env.StateDir, Log: o.Env.Log,
	}, func(s *runner.Session, ctx context.Context) error {
		out.Objects, err = s.Snapshot(ctx)
		return err
	})
	return verdicts.Classify(err)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// notThere says whether an error is that of a file that is missing.
func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }
