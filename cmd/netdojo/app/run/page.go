package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	pagecmd "github.com/netdojo/netdojo/cmd/netdojo/app/page"
	"github.com/netdojo/netdojo/cmd/netdojo/app/progress"
	"github.com/netdojo/netdojo/cmd/netdojo/app/session"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/pagerun"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report"
)

// PageOptions are what the command line says of pages.
type PageOptions struct {
	Setup          []string
	Fill           []string // NAME=VALUE
	From           int
	HostShell      bool
	Annotate       bool
	CommandTimeout time.Duration
}

// pageFlags are the names of the flags that are for pages only.
var pageFlags = []string{"setup", "fill", "from", "host-shell", "command-timeout", "annotate"}

func (o *PageOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.Setup, "setup", nil, "a manifest, or a folder of them, that a page needs (may be repeated)")
	f.StringArrayVar(&o.Fill, "fill", nil, "what to put for what a page leaves to its reader, as POD_NAME=web for <pod-name> (may be repeated)")
	f.IntVar(&o.From, "from", 0, "of a page, the number of the first command to run, as netdojo page explain numbers them")
	f.BoolVar(&o.HostShell, "host-shell", false, "run a page's commands on this machine itself: they can do there whatever you can")
	f.BoolVar(&o.Annotate, "annotate", false, "print the page with what was found below its blocks, in place of a report")
	f.DurationVar(&o.CommandTimeout, "command-timeout", time.Minute, "what a command of a page may take")
}

func (o *PageOptions) check(cmd *cobra.Command, isPage bool) error {
	if !isPage {
		for _, name := range pageFlags {
			if cmd.Flags().Changed(name) {
				return exit.WithCure(exit.Usagef("--%s is for pages", name), "give a Markdown file")
			}
		}
		return nil
	}
	for _, name := range []string{"task", "solve"} {
		if cmd.Flags().Changed(name) {
			return exit.WithCure(exit.Usagef("--%s is for labs", name), "leave it out for a page")
		}
	}
	if o.Annotate && cmd.Flags().Changed("output") {
		return exit.WithCure(exit.Usagef("--annotate and --output exclude each other"), "leave one of them out")
	}
	if _, err := o.filled(); err != nil {
		return err
	}
	if o.From < 0 {
		return exit.Usagef("--from is the number of a command, not %d", o.From)
	}
	if o.CommandTimeout < time.Second {
		return exit.Usagef("--command-timeout is a second or more, not %s", o.CommandTimeout)
	}
	return nil
}

// filled is what to put for what pages leave to their readers.
func (o *PageOptions) filled() (map[string]string, error) {
	all := map[string]string{}
	for _, f := range o.Fill {
		name, value, ok := strings.Cut(f, "=")
		if key := page.BlankKey(name); ok && key != "" && value != "" {
			all[key] = value
			continue
		}
		return nil, exit.WithCure(exit.Usagef("--fill %s has no name or no value", f), "give it as POD_NAME=web")
	}
	return all, nil
}

// checkOutput says whether there is such a form.
func checkOutput(output string, isPage bool) error {
	if !isPage {
		return verdicts.CheckOutput(output)
	}
	names := []string{"plain"}
	for _, f := range report.PageFormats {
		names = append(names, f.Name)
	}
	if !slices.Contains(names, output) {
		return exit.WithCure(exit.Usagef("no output of a page is called %q", output), "choose one of: %s", strings.Join(names, ", "))
	}
	return nil
}

// IsPage says whether a lab's id or path is a page, or a folder of them.
func IsPage(name string) bool {
	if page.Is(name) {
		return true
	}
	if info, err := os.Stat(name); err != nil || !info.IsDir() {
		return false
	}
	if _, err := os.Stat(filepath.Join(name, labs.FileName)); err == nil {
		return false
	}
	if pagecmd.IsScenario(name) {
		return true
	}
	files, err := pagesOf(name)
	return err == nil && len(files) > 0
}

// pagesOf are the pages of a file's or folder's name, sorted.
func pagesOf(name string) ([]string, error) {
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		return []string{name}, nil // reading it tells what is wrong
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && page.Is(e.Name()) {
			files = append(files, filepath.Join(name, e.Name()))
		}
	}
	return files, nil
}

// runPages runs pages.
func runPages(ctx context.Context, o *Options) error {
	t := pagerun.Target{
		Keep: o.Keep, From: o.Page.From, Wait: o.WaitTimeout, CommandTimeout: o.Page.CommandTimeout, Log: o.Env.Log,
		Start: starter(o),
	}
	if err := addPages(ctx, &t, o.Lab); err != nil {
		return err
	}
	var err error
	if t.Fill, err = o.Page.filled(); err != nil {
		return err
	}
	for _, name := range o.Page.Setup {
		if t.Setup, err = addSetup(ctx, t.Setup, name); err != nil {
			return exit.With(exit.Usage, err)
		}
	}
	target, err := session.Find(ctx, o.Env, session.Wanted{Spec: o.Spec, Insists: o.GivenProvider})
	if err != nil {
		return err
	}
	t.Provider, t.Spec = target.Provider, target.Spec
	return target.Ended(ctx, o.Env, show(ctx, o, t))
}

// addPages reads a page, the pages of a folder, or a scenario.
func addPages(ctx context.Context, t *pagerun.Target, name string) error {
	add := func(p page.Page, beside []page.Beside) {
		var files []pagerun.File
		for _, f := range beside {
			files = append(files, pagerun.File(f))
		}
		t.Pages, t.Files = append(t.Pages, p), append(t.Files, files)
	}
	if pagecmd.IsScenario(name) {
		s, err := pagecmd.Scenario(name)
		if err != nil {
			return err
		}
		t.Together = true
		for _, p := range s.Pages {
			add(p, s.Files)
		}
		return nil
	}
	names, err := pagesOf(name)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	for _, name := range names {
		p, beside, err := pagecmd.Load(ctx, name)
		if err != nil {
			return err
		}
		add(p, beside)
	}
	return nil
}

// addSetup reads a manifest's file, or those of a folder.
func addSetup(ctx context.Context, to []object.Object, name string) ([]object.Object, error) {
	files, err := pagecmd.Setup(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		objects, err := object.Parse(f.Name, f.Data)
		if err != nil {
			return nil, err
		}
		to = append(to, objects...)
	}
	return to, nil
}

// show runs the pages and shows what was found.
func show(ctx context.Context, o *Options, t pagerun.Target) error {
	if o.Output == "plain" && !o.Page.Annotate {
		p := report.NewPlain(o.Env.Out, report.PlainOptions{TTY: o.Env.OutTTY, Color: o.Env.Color, Width: o.Env.Width()})
		t.Listener = report.PagePlain{Plain: p}
		run, err := pagerun.Run(ctx, t)
		if err := errors.Join(p.Close(), classify(err)); err != nil {
			return err
		}
		return verdict(run)
	}
	line := progress.New(o.Env.Streams)
	t.Listener = steps{line}
	run, err := pagerun.Run(ctx, t)
	line.Stop()
	if err != nil && len(run.Pages) == 0 {
		return classify(err)
	}
	if o.Page.Annotate {
		if err := errors.Join(classify(err), annotate(ctx, o, t.Pages, run)); err != nil {
			return err
		}
		return verdict(run)
	}
	i := slices.IndexFunc(report.PageFormats, func(f report.PageFormat) bool { return f.Name == o.Output })
	if err := errors.Join(classify(err), report.PageFormats[i].Write(o.Env.Out, run)); err != nil {
		return err
	}
	return verdict(run)
}

// annotate prints the pages that were run.
func annotate(ctx context.Context, o *Options, pages []page.Page, run record.Pages) error {
	for i, r := range run.Pages {
		src, err := hostfile.ReadNamed(ctx, r.File, hostfile.Limits{Size: page.MaxSize})
		if err != nil {
			return fmt.Errorf("read the page once more: %w", err)
		}
		if err := report.Annotate(o.Env.Out, pages[i], src, r); err != nil {
			return err
		}
	}
	return nil
}

func verdict(run record.Pages) error {
	if !run.OK() {
		return exit.Silent(exit.Differs)
	}
	return nil
}

func classify(err error) error {
	if err != nil {
		return fmt.Errorf("run the page: %w", err)
	}
	return nil
}

// steps shows the steps of a session whose result is a program's to read.
type steps struct{ line *progress.Line }

func (s steps) Session(e event.Event) {
	if u, ok := e.(event.StepUpdate); ok && u.Depth == 0 {
		s.line.Report(u.Update)
	}
}
func (s steps) Page(page.Page)                     {}
func (s steps) Command(string, record.PageCommand) {}
func (s steps) Later(string, record.PageCommand)   {}
func (s steps) Finished(record.Pages, error)       {}
