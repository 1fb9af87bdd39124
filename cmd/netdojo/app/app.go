// Package app is netdojo's command line: the root command, and the one place
// where errors become messages and exit codes.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/netdojo/netdojo/cmd/netdojo/app/check"
	"github.com/netdojo/netdojo/cmd/netdojo/app/doctor"
	"github.com/netdojo/netdojo/cmd/netdojo/app/down"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/explain"
	"github.com/netdojo/netdojo/cmd/netdojo/app/flows"
	"github.com/netdojo/netdojo/cmd/netdojo/app/image"
	"github.com/netdojo/netdojo/cmd/netdojo/app/kubeconfig"
	"github.com/netdojo/netdojo/cmd/netdojo/app/kubectl"
	"github.com/netdojo/netdojo/cmd/netdojo/app/lab"
	"github.com/netdojo/netdojo/cmd/netdojo/app/labs"
	"github.com/netdojo/netdojo/cmd/netdojo/app/matrix"
	"github.com/netdojo/netdojo/cmd/netdojo/app/run"
	"github.com/netdojo/netdojo/cmd/netdojo/app/shell"
	"github.com/netdojo/netdojo/cmd/netdojo/app/status"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
	"github.com/netdojo/netdojo/cmd/netdojo/app/topics"
	"github.com/netdojo/netdojo/cmd/netdojo/app/tui"
	"github.com/netdojo/netdojo/cmd/netdojo/app/up"
	"github.com/netdojo/netdojo/cmd/netdojo/app/version"
)

// Main runs netdojo with the process's surroundings and returns its exit code.
// Kinds are the providers, the default first.
func Main(args []string, kinds []env.Kind) int {
	s := streams.System()
	ctx, signals := env.Watch(context.Background())
	defer signals.Close()

	stateDir, err := env.StateDir()
	if err != nil {
		exit.Print(s.Err, err)
		return exit.Code(err)
	}
	daemon, err := env.Daemon()
	if err != nil {
		exit.Print(s.Err, err)
		return exit.Code(err)
	}
	log, closeLog, err := openLog()
	if err != nil {
		exit.Print(s.Err, err)
		return exit.Code(err)
	}
	defer closeLog()
	// client-go tells klog of every connection that a probe leaves behind.
	klog.SetSlogLogger(log)
	return Run(ctx, args, &env.Env{
		Streams: s, StateDir: stateDir, Daemon: daemon, Kinds: kinds, Signals: signals, Log: log,
	})
}

// openLog opens the log that $NETDOJO_LOG names; without, nothing is logged.
func openLog() (*slog.Logger, func(), error) {
	path := os.Getenv(env.LogVar)
	if path == "" {
		return slog.New(slog.DiscardHandler), func() {}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, exit.WithCure(fmt.Errorf("open the log: %w", err), "set %s to a file that you may write", env.LogVar)
	}
	log := slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return log, func() { f.Close() }, nil
}

// Run runs one command line and says on e.Err what went wrong.
func Run(ctx context.Context, args []string, e *env.Env) int {
	root := New(e)
	root.SetArgs(args)
	// An error before any command began to run is one of the command line.
	began := false
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exit.OK
	}
	if !began {
		err = usage(err)
	}
	// What went wrong after the user ended it is of no interest but to them.
	if errors.Is(context.Cause(ctx), exit.ErrInterrupted) {
		err = exit.Interrupt(err)
	}
	exit.Print(e.Err, err)
	return exit.Code(err)
}

// usage turns an error of cobra's into one that knows its code and a cure.
func usage(err error) error {
	if len(exit.Cures(err)) == 0 {
		err = exit.WithCure(err, "see netdojo help, or netdojo COMMAND --help")
	}
	return exit.With(exit.Usage, err)
}

// New makes the root command.
func New(e *env.Env) *cobra.Command {
	accessible := false
	root := &cobra.Command{
		Use:   "netdojo",
		Short: "Kubernetes network policies, practised on a real cluster on your own machine",
		Long: `netdojo runs Kubernetes network-policy labs: it brings a cluster up, deploys the
lab's pods, runs its checks before and after a policy, and proves each allow and
each deny.`,
		Example: `  netdojo               on a terminal: read, predict, try and check, in one place
  netdojo labs          what there is to practise
  netdojo run 04        run a lab from nothing to its last verdict
  netdojo up            bring a cluster up and work on it yourself`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if accessible {
				return tui.Linear(cmd.Context(), e)
			}
			if !tui.Can(e) {
				return cmd.Help()
			}
			return tui.Run(cmd.Context(), e)
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		// Suggestions come with the cure line.
		SuggestionsMinimumDistance: 2,
	}
	root.Flags().BoolVar(&accessible, "accessible", false, "questions and plain lines instead of screens, for a screen reader")
	root.SetIn(e.In)
	root.SetOut(e.Out)
	root.SetErr(e.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.WithCure(exit.With(exit.Usage, err), "see %s --help", cmd.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: "labs", Title: "Labs:"},
		&cobra.Group{ID: "cluster", Title: "The cluster:"},
		&cobra.Group{ID: "work", Title: "Work on it:"},
	)
	add(root, "labs",
		labs.New(e, nil), run.New(e, nil), check.New(e, nil), lab.New(e, nil),
	)
	add(root, "cluster",
		up.New(e, nil), down.New(e, nil), status.New(e, nil), doctor.New(e, nil),
	)
	add(root, "work",
		kubectl.New(e, nil), shell.New(e, nil), flows.New(e, nil), explain.New(e, nil), matrix.New(e, nil), kubeconfig.New(e, nil),
		image.New(e, nil, nil),
	)
	root.AddCommand(version.New(e, nil))
	root.AddCommand(topics.All()...)
	describeCompletion(root)
	return root
}

func add(root *cobra.Command, group string, cmds ...*cobra.Command) {
	for _, c := range cmds {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// describeCompletion makes cobra's completion command now, so that help lists
// it like the others.
func describeCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if strings.HasPrefix(c.Use, "completion") {
			c.Short = "Print a script that completes netdojo's command line in your shell"
		}
	}
}
