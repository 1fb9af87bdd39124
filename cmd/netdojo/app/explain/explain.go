// Package explain is `netdojo explain`.
package explain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/internal/printable"
)

// Options are what the command line says.
type Options struct {
	Env     *env.Env
	Name    string
	Files   []string // with any, they are read instead of a cluster
	Request explain.Request
	Method  string
	Path    string
	Host    string
	Header  []string
	Expect  string // allowed or denied; "" expects nothing
	Output  string // plain or json
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "explain FROM TO",
		Short: "Tell what policies say about a connection, without opening it",
		Long: `Tell what policies say about a connection, without opening it: the verdict of the
running policy engine for each direction, the policies that select the endpoint,
the rule that decided, and why the others did not match.

FROM and TO are a pod ([NAMESPACE/]NAME), a workload (deploy/NAME), labels
(app=web,tier=front), an address or a CIDR of either family, or an entity (world,
host, remote-node, kube-apiserver, cluster, all). TO may also be a Service (svc/NAME or its DNS name)
or a DNS name outside. Without --port, the ports that TO declares are asked about.

They are taken as other commands print them too: default/app=web as the checks of a
lab do, NAME:PORT as netdojo flows does, and as TO a URL, whose port, host and path
are asked about.

With -f nothing has to run: the objects of the files are told to the same engine,
with made-up addresses for their pods.

The exit code is 0 whatever the verdict is; with --expect it is 1 when the verdict
differs.`,
		Example: `  netdojo explain deploy/frontend svc/backend
  netdojo explain default/client kubernetes.io --port 443
  netdojo explain default/app=web http://backend:8080/public
  netdojo explain app=web kube-system/coredns --dns example.com
  netdojo explain default/client www.cilium.io --sni www.cilium.io
  netdojo explain frontend backend -f ./manifests --expect denied`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 2 || len(args) == 1 && o.Request.DNS != "" {
				return nil
			}
			return exit.WithCure(exit.Usagef("explain takes two ends, not %d", len(args)), "see netdojo explain --help")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Request.From = args[0]
			if len(args) > 1 {
				o.Request.To = args[1]
			}
			if err := o.complete(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	env.ChosenNameFlag(cmd, &o.Name)
	f := cmd.Flags()
	f.StringArrayVarP(&o.Files, "filename", "f", nil, "read these files or folders instead of a cluster (- is standard input)")
	f.StringVarP(&o.Request.Namespace, "namespace", "n", "default", "the namespace of names without one")
	f.StringVarP(&o.Request.Port, "port", "p", "", "the port's number or name; the type of an ICMP message")
	f.StringVar(&o.Request.Protocol, "protocol", "", "TCP, UDP, SCTP, ICMP or ICMPv6 (default: the port's own, else TCP)")
	f.StringVar(&o.Request.DNS, "dns", "", "a name that is asked for in the connection; TO is then the cluster's DNS by default")
	f.StringVar(&o.Request.SNI, "sni", "", "the server name that a TLS client sends in the connection")
	f.StringVar(&o.Method, "method", "", "the method of an HTTP request in the connection")
	f.StringVar(&o.Path, "path", "", "its path, with the query")
	f.StringVar(&o.Host, "host", "", "its host")
	f.StringArrayVar(&o.Header, "header", nil, "one of its headers: NAME: VALUE")
	f.StringVar(&o.Expect, "expect", "", "allowed or denied: exit with 1 unless every connection is")
	f.StringVarP(&o.Output, "output", "o", "plain", "plain or json")
	return cmd
}

// complete checks the flags and makes the request of them.
func (o *Options) complete() error {
	if o.Output != "plain" && o.Output != "json" {
		return exit.Usagef("--output is plain or json, not %q", o.Output)
	}
	if o.Expect != "" && o.Expect != string(explain.Allowed) && o.Expect != string(explain.Denied) {
		return exit.Usagef("--expect is allowed or denied, not %q", o.Expect)
	}
	if err := o.takeEnds(); err != nil {
		return err
	}
	request := o.Method != "" || o.Path != "" || o.Host != "" || len(o.Header) > 0
	if request && o.Request.DNS != "" || o.Request.SNI != "" && (request || o.Request.DNS != "") {
		return exit.WithCure(exit.Usagef("a connection carries an HTTP request, a DNS question or a TLS server name, and only one of them"),
			"ask for each by itself")
	}
	if !request {
		return nil
	}
	h := &explain.HTTP{Method: o.Method, Path: o.Path, Host: o.Host}
	if h.Method == "" {
		h.Method = "GET"
	}
	if h.Path == "" {
		h.Path = "/"
	}
	if !strings.HasPrefix(h.Path, "/") {
		return exit.Usagef("--path begins with /, not %q", o.Path)
	}
	for _, line := range o.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return exit.Usagef("--header is NAME: VALUE, not %q", line)
		}
		if h.Headers == nil {
			h.Headers = map[string][]string{}
		}
		name = strings.ToLower(strings.TrimSpace(name))
		h.Headers[name] = append(h.Headers[name], strings.TrimSpace(value))
	}
	o.Request.HTTP = h
	return nil
}

// explainer is implemented by handles of clusters whose engine can be asked.
type explainer interface {
	Explain(context.Context, explain.Request) (*explain.Answer, error)
}

// Run asks and prints the answer.
func Run(ctx context.Context, o *Options) error {
	a, err := o.ask(ctx)
	if err != nil {
		return Fault(err)
	}
	if o.Output == "json" {
		enc := json.NewEncoder(o.Env.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		err = enc.Encode(a)
	} else {
		err = a.Write(printable.NewWriter(o.Env.Out))
	}
	if err != nil {
		return err
	}
	if o.Expect != "" && string(a.Outcome) != o.Expect {
		return exit.With(exit.Differs, fmt.Errorf("expected %s, and it is %s", o.Expect, a.Outcome))
	}
	return nil
}

func (o *Options) ask(ctx context.Context) (_ *explain.Answer, err error) {
	if len(o.Files) > 0 {
		return embedded.ExplainFiles(ctx, o.Env.Daemon, o.Env.In, o.Files, o.Request)
	}
	if o.Name, err = o.Env.Choose(ctx, o.Name); err != nil {
		return nil, err
	}
	h, err := o.Env.Open(ctx, o.Name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	x, ok := h.(explainer)
	if !ok {
		return nil, NoEngine(o.Name)
	}
	return x.Explain(ctx, o.Request)
}

// NoEngine is the error for a cluster whose policy engine cannot be asked.
func NoEngine(name string) error {
	return exit.WithCure(fmt.Errorf("the policy engine of cluster %s cannot be asked", name),
		"use the embedded cluster, or give the objects with -f")
}

// Fault gives an error about the question itself the exit code of the command line.
func Fault(err error) error {
	var q interface{ Question() bool }
	if errors.As(err, &q) && q.Question() {
		return exit.With(exit.Usage, err)
	}
	return err
}
