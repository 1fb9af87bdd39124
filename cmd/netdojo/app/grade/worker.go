package grade

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/doctor"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/preflight"
	"github.com/netdojo/netdojo/cmd/netdojo/app/version"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/oncluster"
)

// terminationLog is where the kubelet reads what a container says at its end.
const terminationLog = "/dev/termination-log"

// newWorker is what the pods of netdojo grade --on-cluster run. Nobody types it.
func newWorker(e *env.Env) *cobra.Command {
	examine := false
	cmd := &cobra.Command{
		Use:    "worker",
		Short:  "Judge one submission, as a pod of netdojo grade --on-cluster does",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if examine {
				return examineHere(cmd.Context(), e)
			}
			return work(cmd.Context(), e)
		},
	}
	cmd.Flags().BoolVar(&examine, "examine", false, "tell what the surroundings lack, and judge nothing")
	return cmd
}

// gradingSpec is what submissions are judged on.
func gradingSpec(e *env.Env) cluster.Spec {
	return cluster.Spec{
		Name: "grade", Provider: e.Kinds[0].Name, Datapath: "netdojo", World: "simulated", PodSecurity: cluster.PodsBaseline,
	}
}

func work(ctx context.Context, e *env.Env) error {
	provider, err := e.Provider("")
	if err != nil {
		return err
	}
	w := grade.Worker{
		Provider: provider, Spec: gradingSpec(e), Version: version.Get().Version, Record: recorder(true),
		Log: slog.New(slog.NewTextHandler(e.Err, nil)), // the pod's log: standard output is the grader's
	}
	return oncluster.Work(ctx, e.In, e.Out, func(ctx context.Context, given grade.Work) (grade.Outcome, error) {
		out, err := w.Judge(ctx, given)
		if err != nil && ctx.Err() == nil { // the grader is to know why
			return grade.Failure(w.Version, err.Error()), nil
		}
		return out, err
	})
}

// examineHere tells what keeps a worker from working where this runs: what the doctor
// finds, and whether a cluster comes up.
func examineHere(ctx context.Context, e *env.Env) error {
	f := oncluster.Findings{Netdojo: version.Get().Version}
	for _, r := range doctor.All(ctx, preflight.Config(e, gradingSpec(e))) {
		if r.State == doctor.Failed {
			f.Findings = append(f.Findings, oncluster.Finding{What: r.Cause, Cure: r.Cure})
		}
	}
	if len(f.Findings) == 0 {
		if err := comesUp(ctx, e); err != nil {
			f.Findings = append(f.Findings, oncluster.Finding{What: err.Error(), Cure: strings.Join(cure.All(err), "; ")})
		}
	}
	log, err := os.OpenFile(terminationLog, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	return errors.Join(oncluster.WriteFindings(log, f), log.Close())
}

func comesUp(ctx context.Context, e *env.Env) error {
	provider, err := e.Provider("")
	if err != nil {
		return err
	}
	spec := gradingSpec(e)
	spec.Fresh = true
	h, err := provider.Up(ctx, spec, nil)
	if err != nil {
		return err
	}
	return errors.Join(h.Close(), provider.Down(ctx, spec.Name, true, nil))
}
