// Package mapcmd is `netdojo map`.
package mapcmd

import (
	"context"
	"encoding/json"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/matrix"
	"github.com/netdojo/netdojo/runner/netmap"
	"github.com/netdojo/netdojo/tui/styles"
)

// Options are what the command line says.
type Options struct {
	Env *env.Env
	matrix.Source
	Output string // plain, svg or json
	Width  int    // of plain text, in columns; 0 for the terminal's
	ASCII  bool
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "map",
		Short: "Draw which workload may connect to which",
		Long: `Draw the matrix of netdojo matrix as a picture: workloads and the world as boxes,
those that ask on the left and those that are asked on the right, with the Services
that lead to them; and a line for each connection with its verdict, port and protocol. No
connection is opened.

A line that is drawn through is let through; a dashed one that ends at ✗ is not. In 60
columns or less, and for more than 8 workloads, the picture is a tree. --output svg
makes one for slides, of any size.`,
		Example: `  netdojo map -n default
  netdojo map -f ./manifests --output svg > map.svg
  netdojo map --port 8080 --width 120`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch o.Output {
			case "plain", "svg", "json":
			default:
				return exit.Usagef("--output is plain, svg or json, not %q", o.Output)
			}
			if cmd.Flags().Changed("width") && (o.Width < leastWidth || o.Width > mostWidth) {
				return exit.Usagef("--width is %d to %d columns, not %d", leastWidth, mostWidth, o.Width)
			}
			return run(cmd.Context(), o)
		},
	}
	o.Source.Flags(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.Output, "output", "o", "plain", "plain, svg or json")
	f.IntVar(&o.Width, "width", 0, "columns of plain text (default: the terminal's)")
	f.BoolVar(&o.ASCII, "ascii", styles.WantsASCII(os.Getenv), "plain text of ASCII letters only (default: where the locale has no UTF-8)")
	f.Lookup("ascii").DefValue = "false" // as the help shows it, on any machine
	// It fails for a flag that is not there.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"plain", "svg", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// Bounds of --width: a tree's verdicts are whole in the least.
const (
	leastWidth = 40
	mostWidth  = 1000
)

// Run asks and draws.
func Run(ctx context.Context, o *Options) error {
	m, err := o.Ask(ctx, o.Env)
	if err != nil {
		return err
	}
	g := netmap.FromMatrix(m)
	switch o.Output {
	case "json":
		enc := json.NewEncoder(o.Env.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(g)
	case "svg":
		picture, err := netmap.SVG(g, "Who may connect to whom: "+m.Source)
		if err != nil {
			return err
		}
		_, err = io.WriteString(o.Env.Out, picture)
		return err
	}
	width := o.Width
	if width == 0 {
		width = o.Env.Width()
	}
	d := netmap.Draw(g, netmap.Options{Width: width, ASCII: o.ASCII})
	if o.Env.Color {
		d = d.Painted(paint)
	}
	_, err = io.WriteString(o.Env.Out, d.String())
	return err
}

// paint colours a verdict, which is told by its word and symbol too.
func paint(s netmap.Span, text string) string {
	colour := map[string]string{"allowed": "32", "denied": "31", "denied-l7": "31", "broken": "33"}[s.Verdict]
	if colour == "" || s.Stale {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
