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
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"

	"github.com/netdojo/netdojo/cmd/netdojo/app/bundle"
	"github.com/netdojo/netdojo/cmd/netdojo/app/check"
	"github.com/netdojo/netdojo/cmd/netdojo/app/course"
	"github.com/netdojo/netdojo/cmd/netdojo/app/doctor"
	"github.com/netdojo/netdojo/cmd/netdojo/app/down"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exam"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/explain"
	"github.com/netdojo/netdojo/cmd/netdojo/app/flows"
	"github.com/netdojo/netdojo/cmd/netdojo/app/grade"
	"github.com/netdojo/netdojo/cmd/netdojo/app/hubble"
	"github.com/netdojo/netdojo/cmd/netdojo/app/image"
	"github.com/netdojo/netdojo/cmd/netdojo/app/kubeconfig"
	"github.com/netdojo/netdojo/cmd/netdojo/app/kubectl"
	"github.com/netdojo/netdojo/cmd/netdojo/app/lab"
	"github.com/netdojo/netdojo/cmd/netdojo/app/labs"
	"github.com/netdojo/netdojo/cmd/netdojo/app/lint"
	"github.com/netdojo/netdojo/cmd/netdojo/app/mapcmd"
	"github.com/netdojo/netdojo/cmd/netdojo/app/matrix"
	"github.com/netdojo/netdojo/cmd/netdojo/app/page"
	"github.com/netdojo/netdojo/cmd/netdojo/app/recorded"
	"github.com/netdojo/netdojo/cmd/netdojo/app/room"
	"github.com/netdojo/netdojo/cmd/netdojo/app/run"
	"github.com/netdojo/netdojo/cmd/netdojo/app/saved"
	"github.com/netdojo/netdojo/cmd/netdojo/app/shell"
	"github.com/netdojo/netdojo/cmd/netdojo/app/status"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
	"github.com/netdojo/netdojo/cmd/netdojo/app/topics"
	"github.com/netdojo/netdojo/cmd/netdojo/app/tui"
	"github.com/netdojo/netdojo/cmd/netdojo/app/up"
	"github.com/netdojo/netdojo/cmd/netdojo/app/version"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/internal/hostfile"
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
	f, err := hostfile.AppendNamed(path)
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
	enter := root.PersistentPreRunE
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		began = true
		return enter(cmd, args)
	}
	err := root.ExecuteContext(ctx)
	if err != nil && !began {
		err = usage(err)
	}
	if werr := e.WriteError(); werr != nil {
		// A verdict that nobody could read is none.
		if !errors.Is(err, werr) {
			err = errors.Join(exit.Told(err), werr)
		}
		err = exit.With(exit.Environment, err)
	}
	if err == nil {
		return exit.OK
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
	if len(cure.All(err)) == 0 {
		err = exit.WithCure(err, "see netdojo help, or netdojo COMMAND --help")
	}
	return exit.With(exit.Usage, err)
}

// New makes the root command.
func New(e *env.Env) *cobra.Command {
	accessible, file, seed := false, "", ""
	screen := &up.Options{Env: e}
	root := &cobra.Command{
		Use:   "netdojo",
		Short: "Kubernetes network policies, practised on a real cluster on your own machine",
		Long: `netdojo runs Kubernetes network-policy labs: it brings a cluster up, deploys the
lab's pods, runs its checks before and after a policy, and proves each allow and
each deny.

Without a command it shows the screen. For the cluster that this brings up it takes
the flags of netdojo up: --name, --provider, --datapath and all others.`,
		Example: `  netdojo               on a terminal: read, predict, try and check, in one place
  netdojo --provider kind    the same on a kind cluster
  netdojo labs          what there is to practise
  netdojo run 04        run a lab from nothing to its last verdict
  netdojo up            bring a cluster up and work on it yourself`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if accessible && file != "" {
				return exit.Usagef("--record records the screen, and --accessible has none")
			}
			var chosen *string // nil where the one of before is meant
			if cmd.Flags().Changed("seed") {
				chosen = &seed
			}
			if accessible {
				return tui.Linear(cmd.Context(), screen, given(cmd), chosen)
			}
			if !tui.Can(e) && cmd.Flags().NFlag() == 0 {
				if e.InTTY && e.OutTTY {
					fmt.Fprintln(e.Err, "netdojo: the screens cannot be drawn on TERM=dumb; netdojo --accessible is the same in plain lines")
				}
				return cmd.Help()
			}
			return tui.Run(cmd.Context(), screen, given(cmd), chosen, file)
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return room.Enter(e, cmd) },
		SilenceErrors:     true,
		SilenceUsage:      true,
		// Suggestions come with the cure line.
		SuggestionsMinimumDistance: 2,
	}
	root.Flags().BoolVar(&accessible, "accessible", false, "questions and plain lines instead of screens, for a screen reader")
	recorded.Flag(root, &file)
	root.Flags().StringVar(&seed, "seed", "", `in labs that differ from person to person the names of this seed, your login, say; kept for the next time, --seed "" forgets it`)
	env.ChosenNameFlag(root, &screen.Spec.Name)
	up.Flags(root, screen)
	// They are told where netdojo up tells them.
	root.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = f.Name != "accessible" && f.Name != recorded.FlagName })
	root.SetIn(e.In)
	root.SetOut(e.Out)
	root.SetErr(e.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.WithCure(exit.With(exit.Usage, err), "see %s --help", cmd.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: "labs", Title: "Labs:"},
		&cobra.Group{ID: "grading", Title: "Grading:"},
		&cobra.Group{ID: "cluster", Title: "The cluster:"},
		&cobra.Group{ID: "work", Title: "Work on it:"},
	)
	add(root, "labs",
		labs.New(e, nil), run.New(e, nil), check.New(e, nil), saved.NewSave(e, nil), saved.NewOpen(e, nil), exam.New(e), course.New(e, nil), bundle.New(e, nil, nil), lab.New(e, nil), page.New(e, nil),
	)
	add(root, "grading", grade.New(e, nil), grade.NewVerify(e))
	add(root, "cluster",
		up.New(e, nil), down.New(e, nil), status.New(e, nil), doctor.New(e, nil),
	)
	add(root, "work",
		kubectl.New(e, nil), shell.New(e, nil), flows.New(e, nil), hubble.New(e, nil), explain.New(e, nil), lint.New(e, nil), matrix.New(e, nil), mapcmd.New(e, nil), kubeconfig.New(e, nil),
		image.New(e, nil, nil),
	)
	root.AddCommand(version.New(e, nil))
	root.AddCommand(topics.All()...)
	describeCompletion(root)
	return root
}

// given says whether the command line describes a cluster, beyond its name.
func given(root *cobra.Command) bool {
	found := false
	root.Flags().Visit(func(f *pflag.Flag) {
		found = found || f.Name != "accessible" && f.Name != recorded.FlagName && f.Name != "name" && f.Name != "seed"
	})
	return found
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
