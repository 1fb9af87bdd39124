// Package matrix is `netdojo matrix`.
package matrix

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	explaincmd "github.com/netdojo/netdojo/cmd/netdojo/app/explain"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/internal/printable"
)

// Source is of what a matrix is.
type Source struct {
	Name    string
	Files   []string // with any, they are read instead of a cluster
	Request explain.MatrixRequest
}

// Options are what the command line says.
type Options struct {
	Env *env.Env
	Source
	Output string // plain or json
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "matrix",
		Short: "Show which workload may connect to which, without a packet",
		Long: `Show which workload may connect to which, and the outside to and from each, by the
verdict of the running policy engine. No connection is opened.`,
		Example: `  netdojo matrix -n default
  netdojo matrix --port 8080 -o json
  netdojo matrix -f ./manifests`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Output != "plain" && o.Output != "json" {
				return exit.Usagef("--output is plain or json, not %q", o.Output)
			}
			return run(cmd.Context(), o)
		},
	}
	o.Source.Flags(cmd)
	cmd.Flags().StringVarP(&o.Output, "output", "o", "plain", "plain or json")
	return cmd
}

// Flags are those of what is asked, and of whom.
func (o *Source) Flags(cmd *cobra.Command) {
	env.ChosenNameFlag(cmd, &o.Name)
	f := cmd.Flags()
	f.StringArrayVarP(&o.Files, "filename", "f", nil, "read these files or folders instead of a cluster (- is standard input)")
	f.StringVarP(&o.Request.Namespace, "namespace", "n", "", "only the pods of this namespace")
	f.StringVarP(&o.Request.Port, "port", "p", "", "the port's number (default: those that each destination declares)")
	f.StringVar(&o.Request.Protocol, "protocol", "", "TCP, UDP, SCTP or ICMP")
}

// matrixer is implemented by handles of clusters whose engine can be asked.
type matrixer interface {
	Matrix(context.Context, explain.MatrixRequest) (*explain.Matrix, error)
}

// Run asks and prints the matrix.
func Run(ctx context.Context, o *Options) error {
	m, err := o.Ask(ctx, o.Env)
	if err != nil {
		return err
	}
	if o.Output == "json" {
		enc := json.NewEncoder(o.Env.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(m)
	}
	return m.Write(printable.NewWriter(o.Env.Out))
}

// Ask asks the cluster, or the engine about the files.
func (o *Source) Ask(ctx context.Context, e *env.Env) (*explain.Matrix, error) {
	m, err := o.ask(ctx, e)
	if err != nil {
		return nil, explaincmd.Fault(err)
	}
	return m, nil
}

func (o *Source) ask(ctx context.Context, e *env.Env) (_ *explain.Matrix, err error) {
	if len(o.Files) > 0 {
		return embedded.MatrixOfFiles(ctx, e.Daemon, e.In, o.Files, o.Request)
	}
	if o.Name, err = e.Choose(ctx, o.Name); err != nil {
		return nil, err
	}
	h, err := e.Open(ctx, o.Name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	x, ok := h.(matrixer)
	if !ok {
		return nil, explaincmd.NoEngine(o.Name)
	}
	return x.Matrix(ctx, o.Request)
}
