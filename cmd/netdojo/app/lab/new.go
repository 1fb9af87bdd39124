package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs/scaffold"
)

// NewOptions are what the command line says.
type NewOptions struct {
	Env *env.Env
	Dir string
	Lab scaffold.Lab
}

func newNew(e *env.Env, run func(context.Context, *NewOptions) error) *cobra.Command {
	o := &NewOptions{Env: e}
	if run == nil {
		run = Scaffold
	}
	cmd := &cobra.Command{
		Use:   "new FOLDER",
		Short: "Write the folder of a new lab, one that works",
		Long: `Write the folder of a new lab: a page, pods, checks, hints, a solution and wrong
answers, which pass netdojo lab lint and netdojo lab test, to be rewritten step by
step. Its id is the folder's name. On a terminal it asks for the title and the
namespace that the flags do not give.`,
		Example: `  netdojo lab new labs/egress
  netdojo lab new 22 --title "Who may leave" --namespace harbour`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Lab.Title, "title", "", "what the lab is called")
	cmd.Flags().StringVar(&o.Lab.Namespace, "namespace", "", "where its objects live")
	return cmd
}

// Scaffold writes the lab.
func Scaffold(ctx context.Context, o *NewOptions) error {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return fmt.Errorf("find the folder: %w", err)
	}
	l := o.Lab
	l.ID = filepath.Base(dir)
	defaults := l.Defaults()
	if err := defaults.Check(); err != nil {
		return exit.With(exit.Usage, err)
	}
	if o.Env.InTTY && o.Env.ErrTTY {
		in := bufio.NewReader(o.Env.In)
		for _, q := range []struct {
			ask       string
			given     *string
			otherwise string
		}{{"Title", &l.Title, defaults.Title}, {"Namespace", &l.Namespace, defaults.Namespace}} {
			if *q.given == "" {
				if *q.given, err = ask(ctx, o.Env, in, q.ask, q.otherwise); err != nil {
					return err
				}
			}
		}
	}
	if err := scaffold.Write(dir, l.Defaults()); err != nil {
		var wrong *scaffold.NameError
		switch {
		case errors.As(err, &wrong):
			return exit.With(exit.Usage, err)
		case errors.Is(err, fs.ErrExist):
			return exit.WithCure(exit.With(exit.Usage, err), "name a folder that is not there yet")
		}
		return err
	}
	shown := printable.Line(o.Dir)
	fmt.Fprintf(o.Env.Out, "wrote %s\nread %s first; then: netdojo lab watch %s\n", shown, printable.Line(filepath.Join(o.Dir, "lab.yaml")), shown)
	return nil
}

// ask reads one line; an empty one is what there is otherwise.
func ask(ctx context.Context, e *env.Env, in *bufio.Reader, what, otherwise string) (string, error) {
	fmt.Fprintf(e.Err, "%s [%s]: ", what, printable.Line(otherwise))
	lines := make(chan string, 1)
	go func() {
		line, _ := in.ReadString('\n') // its end is an empty answer
		lines <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case line := <-lines:
		if line == "" {
			line = otherwise
		}
		return line, nil
	}
}
