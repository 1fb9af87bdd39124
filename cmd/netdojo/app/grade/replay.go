package grade

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/preflight"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/report"
)

// replayName is the cluster that a replay leaves where no other is named.
const replayName = "grade-replay"

type replayOptions struct {
	results, who, submissions, lab, name string
	scripts, recording                   bool
}

func newReplay(e *env.Env) *cobra.Command {
	o := replayOptions{}
	cmd := &cobra.Command{
		Use:   "replay RESULTS WHO --lab LAB --submissions SUBMISSIONS | --recording",
		Short: "Build the state again in which a submission was judged",
		Long: `Build the state again in which a submission was judged, judge it, and leave the
cluster to be looked at. The lab and what was handed in have to be those that were
graded. The record stays as it is; the exit code is 1 where a verdict is another
this time.

With --recording it plays the recording of the session instead, where one was made. Any
player of asciicast v3 plays recordings/PSEUDONYM.cast of the results, too.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.results, o.who = args[0], args[1]
			if o.recording {
				return playRecording(cmd.Context(), e, o)
			}
			if o.lab == "" || o.submissions == "" {
				return exit.WithCure(exit.Usagef("it is not said what was graded"), "give --lab LAB and --submissions SUBMISSIONS, as to netdojo grade")
			}
			if err := env.CheckName(o.name); err != nil {
				return err
			}
			return replay(cmd.Context(), e, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.lab, "lab", "", "the lab that was graded: its id or its folder")
	f.StringVar(&o.submissions, "submissions", "", "the folder or archive that was graded")
	scriptsFlag(cmd, &o.scripts)
	f.BoolVar(&o.recording, "recording", false, "play the recording of the session that netdojo grade --recordings made, and judge nothing again")
	f.StringVar(&o.name, "name", replayName, "the name of the cluster")
	return cmd
}

func replay(ctx context.Context, e *env.Env, o replayOptions) error {
	lab, err := verdicts.Lab(o.lab, "")
	if err != nil {
		return err
	}
	class, err := submission.Read(ctx, o.submissions, submission.Options{Scripts: o.scripts})
	if err != nil {
		return classify(err)
	}
	spec := cluster.Spec{
		Name: o.name, Provider: e.Kinds[0].Name, Datapath: "netdojo", World: "simulated", PodSecurity: cluster.PodsBaseline,
	}
	provider, err := e.Provider(spec.Provider)
	if err != nil {
		return err
	}
	if st, err := provider.Status(ctx, o.name); err != nil {
		return err
	} else if !st.Running {
		if err := preflight.Quick(ctx, e, spec); err != nil {
			return err
		}
	}
	p := report.NewPlain(e.Out, report.PlainOptions{TTY: e.OutTTY, Color: e.Color, Width: e.Width()})
	found, err := grade.Replay(ctx, grade.ReplayOptions{
		Provider: provider, Spec: spec, Lab: lab, Results: o.results, Who: o.who, Class: class, Scripts: starter(e, o.scripts), Listener: p.Listen, Log: e.Log,
	})
	if err := errors.Join(p.Close(), classify(err)); err != nil {
		return err
	}
	fmt.Fprintf(e.Out, "\n%s has %d of %d points; this time it earns %d\n", found.Record.ID, found.Record.Points, found.Record.Max, found.Points)
	fmt.Fprintf(e.Out, "cluster %s runs on: %s, and %s when you are done\n", o.name, "NETDOJO_CLUSTER="+o.name+" netdojo kubectl get pods -A", env.Command("down --purge", o.name))
	if len(found.ChecksChanged) > 0 {
		fmt.Fprintf(e.Out, "these verdicts are others: %s\n", strings.Join(found.ChecksChanged, ", "))
		return exit.Silent(exit.Differs)
	}
	return nil
}
