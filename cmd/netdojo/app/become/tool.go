package become

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

// Tool is another project's command, in a program beside netdojo's.
type Tool struct {
	Name    string // as a person types it
	Program string // the file, without a system's ending
	Missing string // the cure where it is not there
	// Called is the name by which the program is told to be called; empty is its path.
	Called string
	// Prepare sets in the environment what the tool finds the cluster by.
	Prepare func(context.Context, *Options) error
}

// Options are what the command line says. Args are the tool's, untouched.
type Options struct {
	Env  *env.Env
	Args []string
}

// Command makes cmd, which has use and help, run the tool with all its arguments. Run may
// be replaced in tests.
func (t Tool) Command(cmd *cobra.Command, e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	if run == nil {
		run = t.Run
	}
	cmd.DisableFlagParsing = true
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return run(cmd.Context(), &Options{Env: e, Args: args})
	}
	return cmd
}

// Run becomes the tool, which ends the process with its own code. It returns only when the
// tool could not be started.
func (t Tool) Run(ctx context.Context, o *Options) error {
	path := filepath.Join(filepath.Dir(o.Env.Daemon), File(t.Program))
	if _, err := os.Stat(path); err != nil {
		return exit.WithCure(fmt.Errorf("find %s: %w", t.Name, err), "%s", t.Missing)
	}
	if err := t.Prepare(ctx, o); err != nil {
		return err
	}
	// The tool handles signals itself, or counts on their usual effect.
	o.Env.Signals.Default()
	if err := Program(path, append([]string{cmp.Or(t.Called, path)}, o.Args...)...); err != nil {
		return fmt.Errorf("start %s: %w", t.Name, err)
	}
	return nil
}
