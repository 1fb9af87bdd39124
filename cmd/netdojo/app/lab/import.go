package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	pagecmd "github.com/netdojo/netdojo/cmd/netdojo/app/page"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/imported"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/labs/scaffold"
)

// ImportOptions are what the command line says.
type ImportOptions struct {
	Env   *env.Env
	Page  string // a page's file, or a scenario's folder
	Dir   string // "" for one called as the page
	Setup []string
}

func newImport(e *env.Env, run func(context.Context, *ImportOptions) error) *cobra.Command {
	o := &ImportOptions{Env: e}
	if run == nil {
		run = Import
	}
	cmd := &cobra.Command{
		Use:   "import PAGE|SCENARIO [FOLDER]",
		Short: "Make a lab of a page of training material, or of a scenario",
		Long: `Make the folder of a lab of a page that nobody wrote for netdojo, or of a scenario
of Killercoda's: what its commands apply becomes workloads and solutions, and what it
promises of connections, as netdojo page explain shows it, becomes checks. What had
to be guessed, and what a lab has beside that, is listed, and stands in the lab's
files as comments that begin with "To finish". Without FOLDER it is one called as
the page, here. Nothing is run, and nothing that is there is written over.`,
		Example: `  netdojo lab import 04-cilium-network-policies.md --setup backend.yaml
  netdojo lab import ./killercoda/deny labs/deny`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Page = args[0]
			if len(args) > 1 {
				o.Dir = args[1]
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringArrayVar(&o.Setup, "setup", nil, "a manifest, or a folder of them, that the page needs (may be repeated)")
	return cmd
}

// Import makes the lab.
func Import(ctx context.Context, o *ImportOptions) error {
	s, err := source(ctx, o)
	if err != nil {
		return err
	}
	dir := o.Dir
	if dir == "" {
		dir = folderOf(o.Page)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find the folder: %w", err)
	}
	s.ID = filepath.Base(abs)
	l, err := imported.Make(s)
	var empty *imported.EmptyError
	var name *scaffold.NameError
	switch {
	case errors.As(err, &empty):
		tell(o.Env, "left out:", empty.LeftOut)
		return exit.With(exit.Differs, err)
	case errors.As(err, &name):
		return exit.With(exit.Usage, err)
	case err != nil:
		return err
	}
	if err := imported.Write(dir, l); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return exit.WithCure(exit.With(exit.Usage, err), "name a folder that is not there yet")
		}
		return err
	}
	shown := printable.Line(dir)
	fmt.Fprintf(o.Env.Out, "wrote %s: %s, %s (%d of %d claims)\n", shown, number(l.Tasks, "task"), number(l.Checks, "check"), l.Kept, l.Claims)
	for i := range l.Unfinished {
		l.Unfinished[i].File = filepath.Join(dir, filepath.FromSlash(l.Unfinished[i].File))
	}
	tell(o.Env, "to finish:", l.Unfinished)
	tell(o.Env, "left out:", l.LeftOut)
	problems := labs.LintFolder(labs.FolderFS(dir))
	for _, p := range problems {
		p.File = filepath.Join(dir, filepath.FromSlash(p.File))
		fmt.Fprintf(o.Env.Out, "lint: %s\n", printable.Line(p.String()))
	}
	if len(problems) > 0 {
		fmt.Fprintf(o.Env.Out, "then: netdojo lab lint %s\n", shown)
		return nil
	}
	fmt.Fprintf(o.Env.Out, "then: netdojo lab test %s, which names the mistakes that no check notices yet\n", shown)
	return nil
}

func tell(e *env.Env, head string, remarks []imported.Remark) {
	if len(remarks) > 0 {
		fmt.Fprintln(e.Out, head)
	}
	for _, r := range remarks {
		fmt.Fprintf(e.Out, "  %s\n", printable.Line(r.String()))
	}
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// source reads the pages.
func source(ctx context.Context, o *ImportOptions) (imported.Source, error) {
	var s imported.Source
	for _, name := range o.Setup {
		files, err := pagecmd.Setup(ctx, name)
		if err != nil {
			return s, exit.With(exit.Usage, err)
		}
		for _, f := range files {
			s.Setup = append(s.Setup, imported.File{Name: filepath.Base(f.Name), Data: f.Data})
		}
	}
	if pagecmd.IsScenario(o.Page) {
		scenario, err := pagecmd.Scenario(o.Page)
		if err != nil {
			return s, err
		}
		s.Beside = scenario.Files
		for i, p := range scenario.Pages {
			s.Pages = append(s.Pages, imported.Page{Page: p, Text: scenario.Texts[i]})
		}
		if scenario.Title != "" {
			s.Pages[0].Title = scenario.Title
		}
		return s, nil
	}
	if info, err := os.Stat(o.Page); err == nil && info.IsDir() {
		return s, exit.WithCure(exit.Usagef("%s is a folder", o.Page), "give a page, or a scenario's folder, which has an %s", page.ScenarioFile)
	}
	p, beside, err := pagecmd.Load(ctx, o.Page)
	if err != nil {
		return s, err
	}
	text, err := hostfile.ReadNamed(ctx, o.Page, hostfile.Limits{Size: page.MaxSize})
	if err != nil {
		return s, exit.With(exit.Usage, fmt.Errorf("read the page once more: %w", err))
	}
	s.Pages, s.Beside = []imported.Page{{Page: p, Text: text}}, beside
	return s, nil
}

var notInName = regexp.MustCompile(`[^a-z0-9.]+`)

// folderOf is the folder of a lab that is called as its page.
func folderOf(name string) string {
	abs, err := filepath.Abs(name)
	if err != nil {
		abs = name
	}
	base := strings.ToLower(strings.TrimSuffix(filepath.Base(abs), filepath.Ext(abs)))
	if base == "index" || base == "_index" || base == "readme" {
		base = strings.ToLower(filepath.Base(filepath.Dir(abs)))
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		base = strings.ToLower(filepath.Base(abs)) + "-lab"
	}
	return strings.Trim(notInName.ReplaceAllString(base, "-"), "-.")
}
