package pagerun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/checks/kube"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/apply"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// session is a run of pages.
type session struct {
	t         Target
	log       *slog.Logger
	started   time.Time
	handle    cluster.Handle
	booted    bool // the session brought the cluster up
	fresh     bool // and there was no state of it before
	namespace string
	only      string // the one namespace that pages may write to; "" is all

	objects   *manifests.Client
	execer    *kube.Execer
	inspector *kube.Inspector
	applier   *apply.Applier
	flows     *checks.FlowLog
	// dnsTrouble says what is wrong with cluster DNS.
	dnsTrouble func() string

	run      record.Pages
	made     []manifests.Ref    // by the page that runs
	owners   owners             // among what it made
	controls map[string]control // by a check's id
	epoch    int                // counts changes of policies
}

// Run runs the pages, and returns what was found. The error is why that did not come to
// its end: an *runner.EnvironmentError, or ctx's. What a page gets wrong is in the
// record.
func Run(ctx context.Context, t Target) (record.Pages, error) {
	if t.CommandTimeout <= 0 {
		t.CommandTimeout = defaultTimeout
	}
	if t.Log == nil {
		t.Log = slog.New(slog.DiscardHandler)
	}
	s := &session{t: t, log: t.Log, started: time.Now(), controls: map[string]control{}}
	s.run = record.Pages{Schema: record.PagesSchema, Provider: t.Spec.Provider, Datapath: string(t.Spec.Datapath), Started: s.started.UTC(), Pages: []record.Page{}}
	err := s.pages(ctx)
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = errors.Join(ctx.Err(), err)
	}
	err = errors.Join(err, s.release(ctx))
	s.run.TotalMs = time.Since(s.started).Milliseconds()
	if err != nil {
		s.run.Error = err.Error()
	}
	t.Listener.Finished(s.run, err)
	return s.run, err
}

// pages opens the cluster and does every page.
func (s *session) pages(ctx context.Context) error {
	if err := s.steps(ctx, s.open()); err != nil {
		return err
	}
	if s.t.Together {
		return s.piece(ctx, s.t.Pages, s.t.filesOf(0), true)
	}
	for i, p := range s.t.Pages {
		if err := s.piece(ctx, []page.Page{p}, s.t.filesOf(i), len(s.t.Pages) == 1); err != nil {
			return err
		}
	}
	return nil
}

// piece does pages in one shell: what they need, their commands, and the removal of what
// they made, which the only piece may keep.
func (s *session) piece(ctx context.Context, pages []page.Page, files []File, alone bool) (err error) {
	defer func() {
		if !s.t.Keep && !s.booted || !alone {
			err = errors.Join(err, s.clean(ctx))
		}
	}()
	clear(s.controls)
	if len(s.t.Setup) > 0 {
		if err := s.steps(ctx, s.setup()); err != nil {
			return err
		}
	}
	shell, err := s.t.Start(Room{Files: files, Kubeconfig: s.kubeconfig})
	if err != nil {
		return &runner.EnvironmentError{During: "Start the page's shell", Err: err, Advice: cure.Of(err)}
	}
	var flows http.Handler
	if s.t.Guard == nil { // else what may be asked is the guard's to say
		flows = newObserver(s.handle)
	}
	r := &reader{session: s, shell: shell, files: files, shown: map[int]string{}, filled: map[string]string{}}
	defer func() {
		s.run.Pages = append(s.run.Pages, r.found()...)
		err = errors.Join(err, r.close())
	}()
	if r.api, err = newAPI(s.handle.RESTConfig(), shell.Prefix(), s.only, s.t.Guard, r.began(ctx), flows); err != nil {
		return &runner.EnvironmentError{During: "Relay the cluster's API", Err: err}
	}
	go r.api.serve(shell.API())
	go r.screen.read(shell.Terminal())
	for _, p := range pages {
		if err = r.do(ctx, p); err != nil {
			return err
		}
	}
	return r.end(ctx)
}

func (s *session) steps(ctx context.Context, steps ...step.Step) error {
	err := step.Run(ctx, func(u step.Update) { s.t.Listener.Session(event.StepUpdate{Update: u}) }, steps...)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &runner.EnvironmentError{Err: err, Advice: cure.Of(err)}
}

// release gives back what the session holds, and takes down a cluster that it brought
// up.
func (s *session) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	err := s.flows.Close()
	if s.handle != nil {
		err = errors.Join(err, s.handle.Close())
	}
	if s.booted && !s.t.Keep {
		err = errors.Join(err, s.steps(ctx, step.Step{Name: "Take the cluster down", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
			return nil, s.t.Provider.Down(ctx, s.t.Spec.Name, s.fresh, func(u step.Update) {
				s.t.Listener.Session(event.StepUpdate{Update: u, Depth: 1})
			})
		}}))
	}
	return err
}

// reader does pages in one shell.
type reader struct {
	*session
	page    page.Page
	shell   Shell
	api     *api
	files   []File
	screen  screen
	shown   map[int]string // what each command showed, by its number
	record  *record.Page   // of the page, the last of records
	records []*record.Page // of all pages
	waiting []waiting
	filled  map[string]string // what was put for blanks, by their keys
	besides []*beside
	pod     *pod   // the shell in a pod that is open; nil for none
	gone    string // why the shell is no more; "" while it is

	mark    int       // of the flow log, when the command that runs began; guarded by screen.mu
	beganAt time.Time // the same
}

func (r *reader) close() error {
	err := r.shell.Close()
	if r.api == nil {
		return err
	}
	// The shell has closed the listener.
	if cerr := r.api.server.Close(); !errors.Is(cerr, net.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	return err
}

// do runs a page's commands in their order.
func (r *reader) do(ctx context.Context, p page.Page) error {
	r.page = p
	r.record = &record.Page{File: p.File, Title: p.Title, Commands: []record.PageCommand{}, Unclaimed: p.Count().Unclaimed}
	r.records = append(r.records, r.record)
	for _, n := range p.Notes {
		r.record.Notes = append(r.record.Notes, fmt.Sprintf("%s:%d: %s", p.File, n.Line, n.Text))
	}
	r.t.Listener.Page(p)
	for name, value := range p.Given {
		r.run(ctx, "export "+name+"="+quote(value), r.t.CommandTimeout)
	}
	for _, st := range p.Steps {
		if st.Kind == page.File {
			r.save(ctx, st)
		}
		for _, c := range st.Commands {
			if c.Number < r.t.From {
				continue
			}
			entry := r.command(ctx, c)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.record.Commands = append(r.record.Commands, entry)
			r.t.Listener.Command(p.File, entry)
			r.review()
		}
	}
	return nil
}

// end ends what waits for the end of the pages.
func (r *reader) end(ctx context.Context) error {
	r.endBesides(ctx)
	if !r.t.Keep {
		r.tryAgain(ctx)
	}
	r.giveUp()
	return ctx.Err()
}

// found are the records of the pages, counted.
func (r *reader) found() []record.Page {
	all := make([]record.Page, 0, len(r.records))
	for _, p := range r.records {
		for _, c := range p.Commands {
			count(p, c)
		}
		all = append(all, *p)
	}
	return all
}

func count(p *record.Page, c record.PageCommand) {
	switch c.State {
	case record.CommandSkipped:
		p.Skipped++
	case record.CommandFailed, record.CommandNotRun:
		p.Broken++
	}
	for _, claim := range c.Claims {
		if claim.Passed {
			p.Passed++
		} else {
			p.Failed++
		}
	}
}

// save writes a file that the page shows into the work folder, unless it is beside the
// page: that one is the author's last word.
func (r *reader) save(ctx context.Context, st page.Step) {
	name := strings.TrimPrefix(st.Name, "./")
	if st.Name == "" || st.Text == "" || r.gone != "" || strings.HasPrefix(name, "/") || strings.Contains(name, "..") {
		return
	}
	for _, f := range r.files {
		if f.Name == name {
			return
		}
	}
	folder := ""
	if i := strings.LastIndex(name, "/"); i > 0 {
		folder = "mkdir -p ~/" + quote(name[:i]) + " && "
	}
	r.run(ctx, folder+"printf %s "+quote(st.Text)+" >~/"+quote(name), r.t.CommandTimeout)
}

// quote makes one word of the shell of a text.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
