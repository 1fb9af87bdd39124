// Package shell is `netdojo shell`: the user's own bash, pointed at a cluster
// and at a work folder with a lab's files.
package shell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/existing"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/kept"
	"github.com/netdojo/netdojo/cmd/netdojo/app/room"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
)

// Options are what the command line says.
type Options struct {
	Env  *env.Env
	Name string
	Lab  string // "" for none
	Seed string // of the lab
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "shell [LAB]",
		Short: "Open a shell on the cluster, in a work folder with the lab's files",
		Long: `Open a bash on the cluster. It has a kubeconfig of its own, so that nothing you
do in it changes yours; kubectl and hubble are there even where none is installed, and
the prompt shows context and namespace. With a lab it begins in a work folder that
holds the lab's files, without its solutions; what you write there stays. The
cluster is made ready for the lab first: brought up where it does not run (it
runs on after the shell), with the lab's pods where they are missing, and with a
baseline for netdojo check. Pods and policies that are there stay as they are.

It ends with the shell's own exit code. Standard input that is no terminal is
taken as a script.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: verdicts.CompleteLab,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Lab = args[0]
			}
			return run(cmd.Context(), o)
		},
	}
	env.ChosenNameFlag(cmd, &o.Name)
	verdicts.SeedFlag(cmd, &o.Seed)
	return cmd
}

// Run opens the shell and waits for its end.
func Run(ctx context.Context, o *Options) (err error) {
	if o.Name, err = o.Env.Choose(ctx, o.Name); err != nil {
		return err
	}
	var lab *labs.Lab
	up := false
	if o.Lab != "" {
		// In an exam the lab is the one that was begun, which has nothing to judge by.
		if lab, err = room.Taking(o.Env, "netdojo shell", o.Lab); err == nil && lab == nil {
			lab, err = verdicts.Own(o.Env, o.Lab, "", o.Seed)
		}
		if err != nil {
			return err
		}
		if up, err = enter(ctx, o, lab); err != nil {
			return err
		}
		if err := kept.Begin(o.Env, lab); err != nil {
			fmt.Fprintf(o.Env.Err, "netdojo: %s\n", printable.Line(err.Error()))
		}
	}
	cmd, cleanup, err := Command(ctx, o.Env, o.Name, lab, o.Env.InTTY)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cleanup()) }()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = o.Env.In, o.Env.Inherited(), o.Env.Err
	if o.Env.InTTY {
		where := ""
		if cmd.Dir != "" {
			where = ", in " + cmd.Dir
		}
		fmt.Fprintf(o.Env.Err, "shell on cluster %s%s; leave it with exit\n", o.Name, where)
	}
	// Ctrl-C is for what runs in the shell.
	release := o.Env.Signals.Hold()
	defer release()
	err = cmd.Run()
	if up && o.Env.InTTY {
		fmt.Fprintf(o.Env.Err, "cluster %s runs on; %s takes it down\n", o.Name, env.Command("down", o.Name))
	}
	return result(err)
}

// Command makes a shell on a cluster that runs, in the work folder of a lab,
// which may be nil. Cleanup is called after its end.
func Command(ctx context.Context, e *env.Env, name string, lab *labs.Lab, interactive bool) (cmd *exec.Cmd, cleanup func() error, err error) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		return nil, nil, exit.WithCure(fmt.Errorf("find bash: %w", err), "install the package bash")
	}
	dir, id, seed := "", "", ""
	if lab != nil {
		id, seed = lab.ID, lab.Seed
		dir = e.Work(name, lab.Folder())
		if err := fillWork(dir, lab); err != nil {
			return nil, nil, err
		}
	}
	st, provider, err := e.Running(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	namespace, err := namespaceOf(ctx, st, provider, lab)
	if err != nil {
		return nil, nil, err
	}
	private, err := os.MkdirTemp("", "netdojo-shell-*")
	if err != nil {
		return nil, nil, fmt.Errorf("make the shell's folder: %w", err)
	}
	cleanup = func() error { return os.RemoveAll(private) }
	if err := prepare(private, st, e.Source(st.Provider), namespace); err != nil {
		return nil, nil, errors.Join(err, cleanup())
	}
	rc := filepath.Join(private, "bashrc")
	cmd = exec.Command(bash)
	if interactive {
		cmd.Args = append(cmd.Args, "--rcfile", rc, "-i")
	}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"BASH_ENV="+rc, // what bash reads when it is given a script
		env.ShellVar+"="+private,
		"NETDOJO_SHELL_CLUSTER="+name,
		verdicts.LabVar+"="+id,
		verdicts.SeedVar+"="+seed,
	)
	return cmd, cleanup, nil
}

// result is the end of a shell: its code, not an error.
func result(err error) error {
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		return err
	}
	if code := ended.ExitCode(); code >= 0 {
		return exit.Silent(code)
	}
	return fmt.Errorf("the shell was ended: %w", err)
}

// namespaceOf is the namespace that a lab has on a cluster which netdojo did not make:
// the shell's kubectl means it. "" leaves the context's own.
func namespaceOf(ctx context.Context, st cluster.Status, provider cluster.Provider, lab *labs.Lab) (string, error) {
	if lab == nil || st.Provider != existing.Name {
		return "", nil
	}
	h, err := provider.Open(ctx, st.Name)
	if err != nil {
		return "", err
	}
	defer h.Close()
	here, err := runner.At(ctx, h, lab)
	if err != nil {
		return "", err
	}
	return here.Namespace, nil
}

// prepare writes what a shell needs into dir: a kubeconfig, whose context means
// namespace unless that is empty, the start file, and the tools that the machine has not.
func prepare(dir string, st cluster.Status, source kubeconfig.Source, namespace string) error {
	// A copy: choosing a namespace in the shell must not change the checks'.
	config, err := kubeconfig.Read(st.Kubeconfig, source)
	if err != nil {
		return err
	}
	if now := config.Contexts[config.CurrentContext]; now != nil && namespace != "" {
		now.Namespace = namespace
	}
	if err := kubeconfig.WriteFile(filepath.Join(dir, "kubeconfig"), config); err != nil {
		return fmt.Errorf("write the shell's kubeconfig: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bashrc"), []byte(bashrc), 0o600); err != nil {
		return fmt.Errorf("write the shell's start file: %w", err)
	}
	return addTools(filepath.Join(dir, "bin"))
}

// tools are commands of netdojo's that courses type by their own names.
var tools = []string{"kubectl", "hubble"}

// addTools makes those of the tools that the machine has not.
func addTools(bin string) error {
	missing := slices.DeleteFunc(slices.Clone(tools), func(tool string) bool {
		_, err := exec.LookPath(tool)
		return err == nil
	})
	if len(missing) == 0 {
		return nil
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the running program: %w", err)
	}
	if err := os.Mkdir(bin, 0o700); err != nil {
		return fmt.Errorf("make the shell's tools: %w", err)
	}
	// A link for the scripts to find, whatever characters the path has.
	if err := os.Symlink(exe, filepath.Join(bin, "netdojo")); err != nil {
		return fmt.Errorf("make the shell's tools: %w", err)
	}
	for _, tool := range missing {
		script := "#!/bin/sh\nexec \"${0%/*}/netdojo\" " + tool + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(bin, tool), []byte(script), 0o700); err != nil {
			return fmt.Errorf("make the shell's %s: %w", tool, err)
		}
	}
	return nil
}
