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
			if err := o.complete(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	env.NameFlag(cmd, &o.Spec.Name)
	SpecFlags(cmd, e, &o.Spec)
	f := cmd.Flags()
	f.BoolVar(&o.Spec.Fresh, "fresh", false, "begin empty: do not bring back objects of an earlier run")
	f.IntVar(&o.Spec.APIPort, "api-port", 0, "port of the API on this machine's loopback (default: a free one)")
	f.StringArrayVar(&o.Publish, "publish", nil, "forward a port of this machine to a Service: HOSTPORT:NAMESPACE/SERVICE:PORT")
	return cmd
}

// SpecFlags adds the flags that say which kind of cluster is wanted.
func SpecFlags(cmd *cobra.Command, e *env.Env, spec *cluster.Spec) {
	f := cmd.Flags()
	f.StringVar(&spec.Provider, "provider", e.KindNames()[0], "what makes the cluster: "+strings.Join(e.KindNames(), " or "))
	f.StringVar(&spec.Datapath, "datapath", "netdojo", "what enforces policies: netdojo, or cilium (provider kind)")
	f.StringVar(&spec.World, "world", "simulated", "what pods find outside the cluster: simulated or internet")
	f.StringVar(&spec.DNSReject, "dns-reject-response-code", cluster.RejectRefused, "the answer to a DNS question that no rule allows: refused or nameError")
	f.StringVar(&spec.IPFamily, "ip-family", cluster.FamilyIPv4, "the addresses of pods and Services: ipv4, or dual for IPv6 beside it (provider embedded)")
	f.StringSliceVar(&spec.CIDRMatch, "policy-cidr-match-mode", nil, "let CIDRs in policies select pods, nodes or, as pods,nodes, both, which Cilium's default does not (provider embedded, or datapath cilium)")
	f.IntVar(&spec.Nodes, "nodes", 0, "how many nodes (provider kind; default: 1)")
	f.StringVar(&spec.NodeImage, "node-image", "", "the image of the nodes (provider kind; default: the one that make kind-image built, else kind's own)")
	f.StringVar(&spec.Context, "context", "", "the context of your kubeconfig whose cluster is used (provider existing; default: the current one)")
	f.BoolVarP(&spec.Consent, "yes", "y", false, "do not ask before a cluster is used that netdojo did not make (provider existing)")
	f.StringVar(&spec.CiliumChart, "cilium-chart", "", "the chart that Cilium is installed from: a folder, a .tgz or a reference (datapath cilium; default: the one that netdojo carries)")
	f.StringVar(&spec.CiliumVersion, "cilium-version", "", "the chart's version, where --cilium-chart is a reference (datapath cilium)")
	f.StringArrayVar(&spec.CiliumValues, "cilium-values", nil, "a file of the chart's values, which go over netdojo's (datapath cilium)")
	f.StringVar(&spec.KindConfig, "kind-config", "", "a file of kind's configuration, to which netdojo adds what it needs (provider kind)")
}

// maxNodes is more than a lab needs, and about what a machine can have.
const maxNodes = 9

// CheckSpec says what cannot be asked of a cluster.
func CheckSpec(spec cluster.Spec) error {
	if err := env.CheckName(spec.Name); err != nil {
		return err
	}
	for _, v := range []struct {
		flag, value string
		known       []string
	}{
		{"datapath", spec.Datapath, []string{"netdojo", kind.DatapathCilium}},
		{"world", spec.World, []string{"simulated", "internet"}},
		{"dns-reject-response-code", cmp.Or(spec.DNSReject, cluster.RejectRefused), []string{cluster.RejectRefused, cluster.RejectNameError}},
		{"ip-family", cmp.Or(spec.IPFamily, cluster.FamilyIPv4), []string{cluster.FamilyIPv4, cluster.FamilyDual}},
	} {
		if !slices.Contains(v.known, v.value) {
			return exit.WithCure(exit.Usagef("--%s %q is not known", v.flag, v.value), "use --%s %s", v.flag, strings.Join(v.known, " or "))
		}
	}
	for flag, given := range map[string]bool{
		"nodes": spec.Nodes != 0, "node-image": spec.NodeImage != "", "kind-config": spec.KindConfig != "",
	} {
		if given && spec.Provider != kind.Name {
			return exit.WithCure(exit.Usagef("--%s is for the provider kind only", flag), "add --provider kind")
		}
	}
	for _, v := range spec.CIDRMatch {
		if v != cluster.CIDRMatchPods && v != cluster.CIDRMatchNodes {
			return exit.WithCure(exit.Usagef("--policy-cidr-match-mode %q is not known", v), "use --policy-cidr-match-mode pods, nodes or pods,nodes")
		}
	}
	if len(spec.CIDRMatch) > 0 && spec.Provider != embedded.Name && spec.Datapath != kind.DatapathCilium {
		return exit.WithCure(exit.Usagef("--policy-cidr-match-mode is for the provider embedded or the datapath cilium only"), "use one of these, or leave it out")
	}
	if spec.Dual() && spec.Provider != embedded.Name {
		return exit.WithCure(exit.Usagef("--ip-family dual is for the provider embedded only"), "use --provider embedded, or leave --ip-family out")
	}
	for flag, given := range map[string]bool{"context": spec.Context != "", "yes": spec.Consent} {
		if given && spec.Provider != existing.Name {
			return exit.WithCure(exit.Usagef("--%s is for the provider existing only", flag), "add --provider existing")
		}
	}
	if spec.Provider == existing.Name {
		for flag, given := range map[string]bool{
			"publish": len(spec.Publish) > 0, "fresh": spec.Fresh, "api-port": spec.APIPort != 0,
			"dns-reject-response-code": cmp.Or(spec.DNSReject, cluster.RejectRefused) != cluster.RejectRefused,
		} {
			if given {
				return exit.WithCure(exit.Usagef("--%s is not for the provider existing: the cluster is what it is", flag), "leave it out")
			}
		}
	}
	if spec.Datapath == kind.DatapathCilium && spec.Provider != kind.Name {
		return exit.WithCure(exit.Usagef("--datapath cilium is for the provider kind only"), "add --provider kind")
	}
	for flag, given := range map[string]bool{
		"cilium-chart": spec.CiliumChart != "", "cilium-version": spec.CiliumVersion != "", "cilium-values": len(spec.CiliumValues) > 0,
	} {
		if given && spec.Datapath != kind.DatapathCilium {
			return exit.WithCure(exit.Usagef("--%s is for the datapath cilium only", flag), "add --datapath cilium")
		}
	}
	if spec.Nodes < 0 || spec.Nodes > maxNodes {
		return exit.Usagef("--nodes %d: use 1 to %d", spec.Nodes, maxNodes)
	}
	if spec.APIPort < 0 || spec.APIPort > 65535 {
		return exit.Usagef("--api-port %d is no port", spec.APIPort)
	}
	return nil
}

func (o *Options) complete() error {
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
	if err := files.Check(); err != nil {
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
		path, err = files.Merge(ctx, o.Spec.Name, st.Kubeconfig)
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
			diff = "answer to refused DNS questions: it has " + cmp.Or(was.DNSReject, cluster.RejectRefused)
		case !slices.Equal(slices.Sorted(slices.Values(was.CIDRMatch)), slices.Sorted(slices.Values(o.Spec.CIDRMatch))):
			diff = "policy-cidr-match-mode: it has " + cmp.Or(strings.Join(was.CIDRMatch, ","), "none")
		case was.Dual() != o.Spec.Dual():
			diff = "IP family: it has " + cmp.Or(was.IPFamily, cluster.FamilyIPv4)
		case o.Spec.Nodes != 0 && max(was.Nodes, 1) != o.Spec.Nodes:
			diff = fmt.Sprintf("number of nodes: it has %d, not %d", max(was.Nodes, 1), o.Spec.Nodes)
		case o.Spec.NodeImage != "" && was.NodeImage != o.Spec.NodeImage:
			diff = "node image: it has " + cmp.Or(was.NodeImage, "the default one")
		case o.Spec.CiliumVersion != "" && was.CiliumVersion != o.Spec.CiliumVersion || o.Spec.CiliumChart != "" && was.CiliumChart != o.Spec.CiliumChart:
			diff = "chart of Cilium's: it has " + cmp.Or(was.CiliumChart, "the one that netdojo carries")
		case len(o.Spec.CiliumValues) > 0 && !slices.Equal(was.CiliumValues, o.Spec.CiliumValues):
			diff = "set of Cilium's values: it has " + cmp.Or(strings.Join(was.CiliumValues, ", "), "netdojo's alone")
		case o.Spec.Context != "" && was.Context != o.Spec.Context:
			diff = "context: it has " + was.Context
		case o.Spec.KindConfig != "" && was.KindConfig != o.Spec.KindConfig:
			diff = "configuration of kind's: it has " + cmp.Or(was.KindConfig, "none")
		}
	}
	if diff != "" {
		down := "netdojo down"
		if o.Spec.Name != cluster.DefaultName {
			down += " --name " + o.Spec.Name
		}
		return exit.WithCure(fmt.Errorf("cluster %s: %w, with another %s", o.Spec.Name, cluster.ErrAlreadyRunning, diff),
			"take it down first (%s), or give the new one another --name", down)
	}
	if !st.Ready {
		word := "not ready"
		if st.Detail != "" {
			word += ": " + st.Detail
		}
		return exit.WithCure(fmt.Errorf("cluster %s: %w, but %s", o.Spec.Name, cluster.ErrAlreadyRunning, word),
			"wait and look again with netdojo status, or take it down with netdojo down")
	}
	path, err := files.Merge(ctx, o.Spec.Name, st.Kubeconfig)
	if err != nil {
		return err
	}
	told(o, st, path, "is already running")
	return nil
}

// wantedDatapath is what is asked for: of a cluster that is there, what it has.
func wantedDatapath(spec cluster.Spec, st cluster.Status) string {
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
		{"datapath", wantedDatapath(spec, st), st.Datapath},
		{"world", spec.World, st.World},
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
