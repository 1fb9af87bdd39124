// Package up is `netdojo up`.
package up

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cluster/existing"
	"github.com/netdojo/netdojo/cluster/kind"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cmd/netdojo/app/consent"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/preflight"
	"github.com/netdojo/netdojo/cmd/netdojo/app/progress"
)

// Options are what the command line says.
type Options struct {
	Env     *env.Env
	Spec    cluster.Spec
	Publish []string // HOSTPORT:NAMESPACE/SERVICE:PORT
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring a cluster up and leave it running",
		Long: `Bring a cluster up and leave it running.

Its context, netdojo-NAME, is merged into your kubeconfig and becomes the current
one; netdojo down gives the former one back. A cluster that was stopped, or that
a crash ended, comes back with its objects, unless --fresh is given.`,
		Example: `  netdojo up
  netdojo up --name two --publish 8080:default/web:80`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Complete(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	env.NameFlag(cmd, &o.Spec.Name)
	Flags(cmd, o)
	return cmd
}

// Flags adds all flags of `netdojo up` but --name. Complete is called when they are
// parsed.
func Flags(cmd *cobra.Command, o *Options) {
	SpecFlags(cmd, o.Env, &o.Spec)
	f := cmd.Flags()
	f.BoolVar(&o.Spec.Fresh, "fresh", false, "begin empty: do not bring back objects of an earlier run")
	f.IntVar(&o.Spec.APIPort, "api-port", 0, "port of the API on this machine's loopback (default: a free one)")
	f.StringArrayVar(&o.Publish, "publish", nil, "forward a port of this machine to a Service: HOSTPORT:NAMESPACE/SERVICE:PORT")
}

// settings are what providers have each for itself.
var settings = []cluster.Settings{embedded.Settings, kind.Settings, existing.Settings}

// SpecFlags adds the flags that say which kind of cluster is wanted.
func SpecFlags(cmd *cobra.Command, e *env.Env, spec *cluster.Spec) {
	f := cmd.Flags()
	f.StringVar(&spec.Provider, "provider", e.KindNames()[0], "what makes the cluster: "+strings.Join(e.KindNames(), " or "))
	f.StringVar((*string)(&spec.Datapath), "datapath", string(cluster.DatapathNetdojo), "what enforces policies: netdojo, or cilium (provider kind)")
	f.StringVar((*string)(&spec.World), "world", string(cluster.WorldSimulated), "what pods find outside the cluster: simulated or internet")
	f.StringVar((*string)(&spec.DNSReject), "dns-reject-response-code", string(cluster.RejectRefused), "the answer to a DNS question that no rule allows: refused or nameError")
	f.StringSliceVar(&spec.CIDRMatch, "policy-cidr-match-mode", nil, "let CIDRs in policies select pods, nodes or, as pods,nodes, both, which Cilium's default does not (provider embedded, or datapath cilium)")
	f.IntVar(&spec.Nodes, "nodes", 0, "how many nodes (providers embedded and kind; default: 1, or as many as the cluster had)")
	for _, s := range settings {
		s.Flags(f, spec)
	}
}

// CheckSpec says what cannot be asked of a cluster: the first thing, in a fixed
// order.
func CheckSpec(spec cluster.Spec) error {
	if err := env.CheckName(spec.Name); err != nil {
		return err
	}
	if err := cmp.Or(
		known("datapath", spec.Datapath, cluster.Datapaths()),
		known("world", spec.World, cluster.Worlds()),
		known("dns-reject-response-code", cmp.Or(spec.DNSReject, cluster.RejectRefused), cluster.DNSRejects()),
		known("ip-family", cmp.Or(spec.IPFamily, cluster.FamilyIPv4), cluster.IPFamilies()),
		known("pod-security", spec.PodLevel(), cluster.PodSecurities()),
	); err != nil {
		return err
	}
	if spec.Nodes < 0 || spec.Nodes > cluster.MaxNodes {
		return exit.Usagef("--nodes %d: use 1 to %d", spec.Nodes, cluster.MaxNodes)
	}
	for _, v := range spec.CIDRMatch {
		if v != cluster.CIDRMatchPods && v != cluster.CIDRMatchNodes {
			return exit.WithCure(exit.Usagef("--policy-cidr-match-mode %q is not known", v), "use --policy-cidr-match-mode pods, nodes or pods,nodes")
		}
	}
	if len(spec.CIDRMatch) > 0 && spec.Provider != embedded.Name && spec.Datapath != cluster.DatapathCilium {
		return exit.WithCure(exit.Usagef("--policy-cidr-match-mode is for the provider embedded or the datapath cilium only"), "use one of these, or leave it out")
	}
	for _, s := range settings {
		if s.Provider == spec.Provider {
			if err := s.Check(spec); err != nil {
				return exit.With(exit.Usage, err)
			}
		} else if given := s.Given(spec); len(given) > 0 {
			return exit.WithCure(exit.Usagef("--%s is for the provider %s only", given[0], s.Provider), "use --provider %s, or leave it out", s.Provider)
		}
	}
	if spec.APIPort < 0 || spec.APIPort > 65535 {
		return exit.Usagef("--api-port %d is no port", spec.APIPort)
	}
	return nil
}

// known says that a flag's value is none of those that there are.
func known[T ~string](flag string, value T, all []T) error {
	if slices.Contains(all, value) {
		return nil
	}
	var words []string
	for _, v := range all {
		words = append(words, string(v))
	}
	return exit.WithCure(exit.Usagef("--%s %q is not known", flag, value), "use --%s %s", flag, strings.Join(words, " or "))
}

// Complete makes the specification of the flags, and says what cannot be asked.
func (o *Options) Complete() error {
	if err := CheckSpec(o.Spec); err != nil {
		return err
	}
	for _, p := range o.Publish {
		parsed, err := parsePublish(p)
		if err != nil {
			return exit.WithCure(exit.Usagef("--publish %q: %w", p, err), "write HOSTPORT:NAMESPACE/SERVICE:PORT, for example 8080:default/web:80")
		}
		o.Spec.Publish = append(o.Spec.Publish, parsed)
	}
	return CheckSpec(o.Spec)
}

func parsePublish(s string) (cluster.Publish, error) {
	var p cluster.Publish
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return p, errors.New("three parts are needed")
	}
	var err error
	if p.HostPort, err = port(parts[0]); err != nil {
		return p, err
	}
	if p.ServicePort, err = port(parts[2]); err != nil {
		return p, err
	}
	var ok bool
	if p.Namespace, p.Service, ok = strings.Cut(parts[1], "/"); !ok {
		p.Namespace, p.Service = "default", parts[1]
	}
	if p.Namespace == "" || p.Service == "" {
		return p, errors.New("the Service has no name")
	}
	return p, nil
}

func port(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, fmt.Errorf("%q is no port", s)
	}
	return n, nil
}

// Run brings the cluster up and merges its context.
func Run(ctx context.Context, o *Options) error {
	began := time.Now()
	provider, err := o.Env.Provider(o.Spec.Provider)
	if err != nil {
		return err
	}
	files, err := kubeconfig.Default()
	if err != nil {
		return err
	}
	st, _, known, err := o.Env.Status(ctx, o.Spec.Name)
	if err != nil {
		return err
	}
	if st.Running {
		return already(ctx, o, provider, st, files)
	}
	// What Merge could not do is found before anything is started.
	if err := files.Check(ctx); err != nil {
		return err
	}
	if err := preflight.Quick(ctx, o.Env, o.Spec); err != nil {
		return err
	}
	if err := consent.Ask(ctx, o.Env, &o.Spec); err != nil {
		return err
	}

	line := progress.New(o.Env.Streams)
	handle, err := provider.Up(ctx, o.Spec, line.Report)
	line.Stop()
	if errors.Is(err, cluster.ErrAlreadyRunning) {
		// Another `up` was faster.
		if st, err = provider.Status(ctx, o.Spec.Name); err != nil {
			return err
		}
		return already(ctx, o, provider, st, files)
	}
	if ctx.Err() != nil && !known {
		// Interrupted: the state of a cluster that never was is of no use.
		return errors.Join(context.Cause(ctx), undo(ctx, provider, o.Spec.Name, true))
	}
	if err != nil {
		return preflight.Explain(ctx, o.Env, o.Spec, fmt.Errorf("bring cluster %s up: %w", o.Spec.Name, err))
	}
	st, err = handle.Status(ctx)
	path := ""
	if err = errors.Join(err, handle.Close()); err == nil {
		path, err = merge(ctx, o, files, st)
	}
	if ctx.Err() != nil {
		_, removeErr := files.Remove(context.WithoutCancel(ctx), o.Spec.Name)
		return errors.Join(context.Cause(ctx), removeErr, undo(ctx, provider, o.Spec.Name, !known))
	}
	if err != nil {
		return fmt.Errorf("cluster %s runs, but its context is not in your kubeconfig: %w", o.Spec.Name, err)
	}
	told(o, st, path, fmt.Sprintf("is ready after %.1f s", time.Since(began).Seconds()))
	return nil
}

// merge puts the cluster's context into the user's kubeconfig. Where that is no file
// that could hold it, there is none to put it into: the path is empty.
func merge(ctx context.Context, o *Options, files kubeconfig.Files, st cluster.Status) (path string, err error) {
	path, err = files.Merge(ctx, o.Spec.Name, st.Kubeconfig, o.Env.Source(st.Provider))
	if errors.Is(err, kubeconfig.ErrNowhere) {
		return "", nil
	}
	return path, err
}

// undo takes a cluster down whose start was interrupted.
func undo(ctx context.Context, provider cluster.Provider, name string, purge bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return provider.Down(ctx, name, purge, nil)
}

// rememberer is a provider that knows what a cluster was asked to be.
type rememberer interface {
	Spec(name string) (cluster.Spec, error)
}

// already handles an `up` of a cluster that runs: the same one is fine, another
// one would silently not be what was asked for.
func already(ctx context.Context, o *Options, provider cluster.Provider, st cluster.Status, files kubeconfig.Files) error {
	if err := o.Conflict(provider, st); err != nil {
		return err
	}
	if !st.Ready {
		word := "not ready"
		if st.Detail != "" {
			word += ": " + st.Detail
		}
		return exit.WithCure(fmt.Errorf("cluster %s: %w, but %s", o.Spec.Name, cluster.ErrAlreadyRunning, word),
			"wait and look again with netdojo status, or take it down with netdojo down")
	}
	path, err := merge(ctx, o, files, st)
	if err != nil {
		return err
	}
	told(o, st, path, "is already running")
	return nil
}

// Conflict is the error about a cluster that runs and is not what the flags ask for, nil
// where it is.
func (o *Options) Conflict(provider cluster.Provider, st cluster.Status) error {
	diff := difference(o.Spec, st)
	if p, ok := provider.(rememberer); ok && diff == "" {
		was, err := p.Spec(o.Spec.Name)
		if err != nil {
			return fmt.Errorf("read what cluster %s was asked to be: %w", o.Spec.Name, err)
		}
		switch {
		case !slices.Equal(was.Publish, o.Spec.Publish):
			diff = "set of published ports"
		case was.DNSRejectCode() != o.Spec.DNSRejectCode():
			diff = "answer to refused DNS questions: it has " + string(cmp.Or(was.DNSReject, cluster.RejectRefused))
		case !slices.Equal(slices.Sorted(slices.Values(was.CIDRMatch)), slices.Sorted(slices.Values(o.Spec.CIDRMatch))):
			diff = "policy-cidr-match-mode: it has " + cmp.Or(strings.Join(was.CIDRMatch, ","), "none")
		case o.Spec.Nodes != 0 && max(was.Nodes, 1) != o.Spec.Nodes:
			diff = fmt.Sprintf("number of nodes: it has %d, not %d", max(was.Nodes, 1), o.Spec.Nodes)
		}
		for _, p := range settings {
			if diff == "" {
				diff = p.Difference(was, o.Spec)
			}
		}
	}
	if diff == "" {
		return nil
	}
	return exit.WithCure(fmt.Errorf("cluster %s: %w, with another %s", o.Spec.Name, cluster.ErrAlreadyRunning, diff),
		"take it down first (%s), or give the new one another --name", env.Command("down", o.Spec.Name))
}

// wantedDatapath is what is asked for: of a cluster that is there, what it has.
func wantedDatapath(spec cluster.Spec, st cluster.Status) cluster.Datapath {
	if spec.Provider == existing.Name {
		return st.Datapath
	}
	return spec.Datapath
}

// difference names the first thing in which a running cluster is not what spec
// asks for, with both values; "" when there is none.
func difference(spec cluster.Spec, st cluster.Status) string {
	for _, v := range []struct{ what, want, have string }{
		{"provider", spec.Provider, st.Provider},
		{"datapath", string(wantedDatapath(spec, st)), string(st.Datapath)},
		{"world", string(spec.World), string(st.World)},
	} {
		if v.have != "" && v.want != v.have {
			return fmt.Sprintf("%s: it has %s, not %s", v.what, v.have, v.want)
		}
	}
	if spec.Fresh {
		return "age: --fresh wants an empty one"
	}
	if u, err := url.Parse(st.Server); err == nil && spec.APIPort != 0 && u.Port() != strconv.Itoa(spec.APIPort) {
		return fmt.Sprintf("port: its API is on %s, not %d", u.Port(), spec.APIPort)
	}
	return ""
}

func told(o *Options, st cluster.Status, path, how string) {
	out := o.Env.Out
	context := kubeconfig.ContextName(o.Spec.Name)
	if path == "" {
		fmt.Fprintf(out, "cluster %s %s at %s\n", o.Spec.Name, how, st.Server)
		fmt.Fprintf(o.Env.Err, "context %s is in no kubeconfig of yours: %s. %s prints the file for KUBECONFIG.\n",
			context, kubeconfig.ErrNowhere, env.Command("kubeconfig --path", o.Spec.Name))
		return
	}
	if !o.Env.OutTTY {
		fmt.Fprintf(out, "cluster %s %s at %s, context %s\n", o.Spec.Name, how, st.Server, context)
		return
	}
	name := ""
	if o.Spec.Name != env.DefaultName() {
		name = " --name " + o.Spec.Name
	}
	fmt.Fprintf(out, `cluster %s %s at %s
context %s is the current one in %s

next:
  kubectl get nodes          (netdojo kubectl, where no kubectl is installed)
  netdojo run 04%s
  netdojo down%s
`, o.Spec.Name, how, st.Server, context, path, name, name)
}
