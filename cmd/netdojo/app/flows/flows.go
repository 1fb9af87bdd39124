// Package flows is `netdojo flows`.
package flows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/printable"
)

// Options are what the command line says.
type Options struct {
	Env     *env.Env
	Name    string
	Follow  bool
	Last    int
	Pod     string // [NAMESPACE/]NAME or its beginning, or [NAMESPACE/]LABELS
	Verdict string // a flow.Verdict in lower case; "" takes all
	Output  string // plain or json

	// What Pod means where it is labels; nil where it is a name.
	selector  labels.Selector
	namespace string // "" for all
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "flows",
		Short: "Show which connections the datapath allowed and dropped, and by which policy",
		Long: `Show which connections the datapath allowed and dropped, and by which policy.

With --output json each line is a flow as hubble observe --output jsonpb prints
it, so that hubble observe --input-file reads it.`,
		Example: `  netdojo flows --verdict dropped
  netdojo flows --follow --pod default/backend`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	env.ChosenNameFlag(cmd, &o.Name)
	f := cmd.Flags()
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on with what comes")
	f.IntVar(&o.Last, "last", 20, "how many past flows to show; with --follow, how many to begin with before they are narrowed down")
	f.StringVar(&o.Pod, "pod", "", "only flows from or to pods whose name begins so, or that have the labels: [NAMESPACE/]NAME or [NAMESPACE/]app=web")
	f.StringVar(&o.Verdict, "verdict", "", "only these: "+strings.Join(verdictNames(), ", "))
	f.StringVarP(&o.Output, "output", "o", "plain", "plain or json")
	return cmd
}

func verdictNames() []string {
	return []string{"forwarded", "dropped", "redirected", "error", "audit"}
}

func (o *Options) check() error {
	if o.Output != "plain" && o.Output != "json" {
		return exit.Usagef("--output is plain or json, not %q", o.Output)
	}
	if err := o.checkPod(); err != nil {
		return err
	}
	if o.Last < 0 {
		return exit.Usagef("--last %d is less than nothing", o.Last)
	}
	// The words of the lab pages are taken too.
	o.Verdict = strings.ToLower(o.Verdict)
	switch o.Verdict {
	case "allowed":
		o.Verdict = "forwarded"
	case "denied":
		o.Verdict = "dropped"
	}
	if o.Verdict != "" && !slices.Contains(verdictNames(), o.Verdict) {
		return exit.WithCure(exit.Usagef("no verdict is called %q", o.Verdict), "choose one of: %s", strings.Join(verdictNames(), ", "))
	}
	return nil
}

// history is implemented by handles that can give the past flows alone, as a
// stream that ends.
type history interface {
	FlowHistory(ctx context.Context, last int) (cluster.FlowStream, error)
}

// quiet is how long a stream that never ends is listened to for the past flows
// of a handle without a history, after the last one of them.
const quiet = 300 * time.Millisecond

// every is more flows than any datapath keeps.
const every = 1 << 20

// Run shows flows.
func Run(ctx context.Context, o *Options) (err error) {
	if o.Name, err = o.Env.Choose(ctx, o.Name); err != nil {
		return err
	}
	h, err := o.Env.Open(ctx, o.Name)
	if err != nil {
		return err
	}
	defer h.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	open, ends := h.Flows, false
	if past, ok := h.(history); ok && !o.Follow {
		open, ends = past.FlowHistory, true
	}
	last := o.Last
	if o.narrowed() && !o.Follow {
		last = every
	}
	stream, err := open(ctx, last)
	if errors.Is(err, cluster.ErrNoFlows) {
		return exit.WithCure(fmt.Errorf("cluster %s: %w", o.Name, err), "use a cluster with --datapath netdojo")
	}
	if err != nil {
		return fmt.Errorf("read flows of cluster %s: %w", o.Name, err)
	}
	if !o.Follow && !ends {
		stream = newPast(stream, last, quiet)
	}
	// Recv knows no context: closing ends it.
	stop := context.AfterFunc(ctx, func() { stream.Close() })
	defer stop()
	return errors.Join(show(ctx, o, stream), stream.Close())
}

// show prints what comes; of the past the last that are wanted. A node that has been taken
// may tell of a past without an end.
func show(ctx context.Context, o *Options, stream cluster.FlowStream) error {
	var past []*flowpb.Flow
	for read := 0; ; read++ {
		f, err := stream.Recv()
		if !o.Follow && read >= every {
			err = io.EOF
		}
		if ctx.Err() != nil {
			if o.Follow {
				return exit.Silent(exit.Interrupted) // the usual end: nothing to say
			}
			return context.Cause(ctx)
		}
		switch {
		case err != nil:
			for _, f := range past {
				if err := o.print(f); err != nil {
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read flows: %w", err)
		case !o.wants(f):
		case o.Follow:
			if err := o.print(f); err != nil {
				return err
			}
		default:
			past = append(past, f)
			past = past[max(0, len(past)-o.Last):]
		}
	}
}

func (o *Options) print(f *flowpb.Flow) (err error) {
	text := printable.Line(Line(f))
	if o.Output == "json" {
		if text, err = jsonLine(f); err != nil {
			return fmt.Errorf("encode a flow: %w", err)
		}
	}
	_, err = fmt.Fprintln(o.Env.Out, text)
	return err
}

// narrowed says whether not all flows are wanted.
func (o *Options) narrowed() bool { return o.Verdict != "" || o.Pod != "" }

func (o *Options) wants(f *flowpb.Flow) bool {
	if o.Verdict != "" && !strings.EqualFold(f.GetVerdict().String(), o.Verdict) {
		return false
	}
	return o.Pod == "" || o.isPod(f.GetSource()) || o.isPod(f.GetDestination())
}

func (o *Options) isPod(e *flowpb.Endpoint) bool {
	if e.GetPodName() == "" {
		return false
	}
	if o.selector != nil {
		return (o.namespace == "" || e.GetNamespace() == o.namespace) && o.selector.Matches(podLabels(e))
	}
	name, full := o.Pod, e.GetPodName()
	if strings.Contains(name, "/") {
		full = e.GetNamespace() + "/" + full
	}
	return strings.HasPrefix(full, name)
}

// checkPod reads Pod as labels where it has an =. What is before the first slash is
// their namespace, unless it can be none: then it begins a label's key.
func (o *Options) checkPod() error {
	if !strings.Contains(o.Pod, "=") {
		return nil
	}
	selector := o.Pod
	if namespace, rest, ok := strings.Cut(o.Pod, "/"); ok && len(validation.IsDNS1123Label(namespace)) == 0 {
		o.namespace, selector = namespace, rest
	}
	var err error
	if o.selector, err = labels.Parse(selector); err != nil {
		return exit.WithCure(exit.Usagef("--pod: %w", err), "write NAMESPACE/app=web,tier=front")
	}
	return nil
}

// podLabels are the labels that a pod has in Kubernetes.
func podLabels(e *flowpb.Endpoint) labels.Set {
	set := labels.Set{}
	for _, label := range e.GetLabels() {
		if pair, ok := strings.CutPrefix(label, "k8s:"); ok {
			key, value, _ := strings.Cut(pair, "=")
			set[key] = value
		}
	}
	return set
}
