// Package page is `netdojo page` with its sub-commands, for those who write and keep
// pages of training material.
package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs/page"
)

// Options are what the command line says.
type Options struct {
	Env    *env.Env
	Files  []string
	Output string // plain or json
}

// New makes the command. Explain may be replaced in tests.
func New(e *env.Env, explain func(context.Context, *Options) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "page",
		Short: "Look into pages of training material",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newExplain(e, explain))
	return cmd
}

func newExplain(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Explain
	}
	cmd := &cobra.Command{
		Use:   "explain PAGE|SCENARIO...",
		Short: "Show how a page is understood, without a cluster",
		Long: `Show how netdojo run understands a page, without a cluster: what each piece of code
is taken for and why, the commands that are run, those that are not, and what the
page promises of them. netdojo run PAGE judges these promises. A folder with an
index.json is a scenario of Killercoda's: its pages in their order.`,
		Example: `  netdojo page explain 04-cilium-network-policies.md
  netdojo page explain --output json *.md`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Output != "plain" && o.Output != "json" {
				return exit.Usagef("--output is plain or json, not %q", o.Output)
			}
			o.Files = args
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Output, "output", "o", "plain", "plain or json")
	return cmd
}

// Explain prints how the pages are understood.
func Explain(ctx context.Context, o *Options) error {
	pages := make([]page.Page, 0, len(o.Files))
	for _, file := range o.Files {
		if IsScenario(file) {
			s, err := Scenario(file)
			if err != nil {
				return err
			}
			pages = append(pages, s.Pages...)
			continue
		}
		p, _, err := Load(ctx, file)
		if err != nil {
			return err
		}
		pages = append(pages, p)
	}
	if o.Output == "json" {
		enc := json.NewEncoder(o.Env.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		for _, p := range pages {
			if err := enc.Encode(p); err != nil {
				return err
			}
		}
		return nil
	}
	out := printable.NewWriter(o.Env.Out)
	for i, p := range pages {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if err := page.Explain(out, p); err != nil {
			return err
		}
	}
	return nil
}

// IsScenario says whether a path is the folder of a scenario.
func IsScenario(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir() && page.IsScenario(hostfile.DirFS(name, page.MaxSize))
}

// Scenario reads a scenario's folder: regular files that lie in it, by no link.
func Scenario(name string) (page.Scenario, error) {
	s, err := page.ReadScenario(hostfile.DirFS(name, page.MaxSize), filepath.ToSlash(name))
	return s, exit.With(exit.Usage, err)
}

// Read reads a page's file. What is wrong with it is an error of use.
func Read(ctx context.Context, file string) (page.Page, error) {
	src, err := hostfile.ReadNamed(ctx, file, hostfile.Limits{Size: page.MaxSize})
	var size *hostfile.SizeError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return page.Page{}, exit.WithCure(exit.Usagef("page %s does not exist", file), "give the path of a Markdown file")
	case errors.As(err, &size):
		return page.Page{}, exit.With(exit.Usage, page.TooLarge(file))
	case err != nil:
		return page.Page{}, exit.With(exit.Usage, fmt.Errorf("read the page: %w", err))
	}
	p, err := page.Read(file, src, including(filepath.Dir(file)))
	if err != nil {
		return page.Page{}, exit.With(exit.Usage, err)
	}
	return p, nil
}

// including opens pages that a page includes: by a path from its own folder, or from
// one above it, which is its site's root. Only pages are read.
func including(folder string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if !page.Is(name) {
			return nil, fmt.Errorf("%s is no page", name)
		}
		root, err := os.OpenRoot(folder)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		if data, ok := regular(root.FS(), name); ok {
			return data, nil
		}
		for strings.HasPrefix(name, "../") {
			name = name[len("../"):]
		}
		if data, ok := above(folder, strings.TrimPrefix(name, "/")); ok {
			return data, nil
		}
		return nil, fmt.Errorf("%s is not in the page's tree", name)
	}
}
