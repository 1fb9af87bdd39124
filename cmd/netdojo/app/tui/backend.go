package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/kept"
	"github.com/netdojo/netdojo/cmd/netdojo/app/preflight"
	"github.com/netdojo/netdojo/cmd/netdojo/app/room"
	"github.com/netdojo/netdojo/cmd/netdojo/app/session"
	"github.com/netdojo/netdojo/cmd/netdojo/app/shell"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/editor"
	"github.com/netdojo/netdojo/tui/flow"
)

// world is backend.Backend over the runner and the provider of one cluster.
type world struct {
	e      *env.Env
	name   string
	seed   string // of labs that differ from person to person; "" for none
	judges judges

	mu sync.Mutex // guards what follows
	// given is what the command line describes; nil where it describes nothing.
	given *cluster.Spec
	// chosen is the ID of the choice that was made, "" for none.
	chosen string
	yes    map[string]bool // the choices that the learner agreed to
	// forgot is why it is not known what was chosen before.
	forgot error
	// lost is why a lab is not as it was begun.
	lost error
}

// Labs implements backend.Backend.
func (b *world) Labs() ([]*labs.Lab, error) {
	all, err := labs.Catalogue()
	var lost []error
	for i := range all {
		own, err := b.own(all[i])
		all[i], lost = own, append(lost, err)
	}
	b.mu.Lock()
	b.lost = errors.Join(lost...)
	b.mu.Unlock()
	return all, err
}

// Course implements backend.Backend.
func (b *world) Course() (*labs.Course, error) { return labs.CatalogueCourse() }

// Cluster implements backend.Backend.
func (b *world) Cluster(ctx context.Context) (backend.ClusterState, error) {
	st, provider, found, err := b.e.Status(ctx, b.name)
	if err != nil {
		return backend.ClusterState{Name: b.name}, err
	}
	now, err := b.standing(ctx, st, provider, found)
	out := backend.ClusterState{Name: b.name, What: title(now.id)}
	if err != nil || !found {
		return out, err
	}
	out.Running, out.Ready, out.Provider, out.Detail, out.Far = st.Running, st.Ready, st.Provider, st.Detail, st.Provider != embedded.Name
	out.Down = env.Command("down", b.name)
	return out, nil
}

// Missing implements backend.Backend.
func (b *world) Missing(ctx context.Context) []backend.Missing {
	var out []backend.Missing
	b.mu.Lock()
	for _, err := range []error{b.forgot, b.lost} {
		if err != nil {
			out = append(out, backend.Missing{Cause: err.Error(), Cure: cure.Of(err)})
		}
	}
	b.mu.Unlock()
	return append(out, bounded(ctx, examineWithin, "a look at this machine", func(ctx context.Context) backend.Findings {
		spec, err := b.spec(ctx)
		if err != nil {
			return backend.Findings{Missing: []backend.Missing{{Cause: err.Error(), Cure: strings.Join(cure.All(err), "; "), Fatal: true}}}
		}
		return backend.Findings{Missing: missing(preflight.Examine(ctx, b.e, spec))}
	}).Missing...)
}

// maxLog is how much of a log's end is looked at.
const maxLog = 1 << 20

// Log implements backend.Backend.
func (b *world) Log(lines int) []string {
	data, err := hostfile.ReadTail(filepath.Join(b.e.StateDir, "clusters", b.name, embedded.LogFile), maxLog)
	if err != nil {
		return nil
	}
	all := strings.Split(strings.TrimSpace(string(data)), "\n")
	return all[max(0, len(all)-lines):]
}

// target is the cluster that runs, or that is to.
func (b *world) target(ctx context.Context) (session.Target, error) {
	spec, err := b.spec(ctx)
	if err != nil {
		return session.Target{}, err
	}
	// Warnings would be written over the screen, and Missing has them; nor can
	// anything be asked on a terminal that is the screen's.
	streams := *b.e.Streams
	streams.Err, streams.InTTY = io.Discard, false
	silent := *b.e
	silent.Streams = &streams
	b.mu.Lock()
	insists := b.given != nil && b.chosen == ""
	b.mu.Unlock()
	return session.Find(ctx, &silent, session.Wanted{Spec: spec, Insists: insists})
}

// session opens one on the cluster, has verbs use it and closes it. With provision
// it brings the cluster up where that does not run.
func (b *world) session(ctx context.Context, lab *labs.Lab, task string, provision bool, listen event.Listener,
	verbs func(*runner.Session, context.Context) error,
) (record.Run, error) {
	if err := b.closed(); err != nil {
		return record.Run{}, err
	}
	target, err := b.target(ctx)
	if err != nil {
		return record.Run{}, err
	}
	result, err := runner.Do(ctx, runner.Target{
		Provider: target.Provider, Spec: target.Spec, Provision: provision, Keep: true, Lab: lab, Task: task,
		StateDir: b.e.StateDir, Listener: listen, Log: b.e.Log,
	}, verbs)
	if provision && !target.Running && err == nil {
		b.came(ctx)
	}
	return result, target.Ended(ctx, b.e, err)
}

// closed is an error while an exam goes on that was begun after the screen was opened:
// nothing is judged then.
func (b *world) closed() error { return room.Closed(b.e, "netdojo") }

// Enter implements backend.Backend.
func (b *world) Enter(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	run, err := b.session(ctx, lab, task, true, listen, func(s *runner.Session, ctx context.Context) error {
		if err := s.Reset(ctx); err != nil {
			return err
		}
		return s.Baseline(ctx)
	})
	if err == nil {
		if err := kept.Begin(b.e, lab); err != nil {
			b.e.Log.Warn("an update of netdojo will change the lab", "err", err)
		}
	}
	return run, err
}

// Resume implements backend.Backend.
func (b *world) Resume(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return b.session(ctx, lab, task, true, listen, func(s *runner.Session, ctx context.Context) error {
		if err := s.Deploy(ctx); err != nil {
			return err
		}
		return s.Check(ctx)
	})
}

// Baseline implements backend.Backend.
func (b *world) Baseline(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return b.session(ctx, lab, task, false, listen, (*runner.Session).Baseline)
}

// Check implements backend.Backend.
func (b *world) Check(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return b.session(ctx, lab, task, false, listen, (*runner.Session).Check)
}

// Solve implements backend.Backend.
func (b *world) Solve(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return b.session(ctx, lab, task, false, listen, func(s *runner.Session, ctx context.Context) error {
		return s.Apply(ctx, runner.Solution(lab))
	})
}

// Compare implements backend.Backend.
func (b *world) Compare(ctx context.Context, lab *labs.Lab, task string) (found []record.Difference, err error) {
	_, err = b.session(ctx, lab, task, false, nil, func(s *runner.Session, ctx context.Context) error {
		found, err = s.Compare(ctx, runner.Solution(lab))
		return err
	})
	return found, err
}

// Watch implements backend.Backend.
func (b *world) Watch(ctx context.Context, lab *labs.Lab, changed func(string)) error {
	h, err := b.e.Open(ctx, b.name)
	if err != nil {
		return err
	}
	lab, err = runner.At(ctx, h, lab)
	if err == nil {
		err = runner.Watch(ctx, h, lab, changed)
	}
	return errors.Join(err, h.Close())
}

// ailments are the words for what does not work.
var ailments = map[runner.Part]backend.Ailment{
	runner.PartNode: {Word: "node not ready", Anew: true},
	runner.PartDNS:  {Word: "without DNS"},
	runner.PartPods: {Word: "without the lab's pods"},
}

// Health implements backend.Backend.
func (b *world) Health(ctx context.Context, lab *labs.Lab, told func([]backend.Ailment)) error {
	h, err := b.e.Open(ctx, b.name)
	if err != nil {
		return err
	}
	lab, err = runner.At(ctx, h, lab)
	if err == nil {
		err = runner.Health(ctx, h, lab, func(found []runner.Ailment) {
			var out []backend.Ailment
			for _, f := range found {
				a := ailments[f.Part]
				a.Why = f.Why
				out = append(out, a)
			}
			told(out)
		})
	}
	return errors.Join(err, h.Close())
}

// Flows implements backend.Backend.
func (b *world) Flows(ctx context.Context, each func(flow.Flow)) error {
	if err := b.closed(); err != nil {
		return err
	}
	h, err := b.e.Open(ctx, b.name)
	if err != nil {
		return err
	}
	defer h.Close()
	stream, err := h.Flows(ctx, 0)
	if errors.Is(err, cluster.ErrNoFlows) {
		return backend.ErrNoFlows
	}
	if err != nil {
		return fmt.Errorf("read flows: %w", err)
	}
	// Recv knows no context: closing ends it.
	stop := context.AfterFunc(ctx, func() { stream.Close() })
	defer stop()
	looked := time.Now()
	for {
		f, err := stream.Recv()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(err, stream.Close())
		}
		if time.Since(looked) > time.Second {
			if looked, err = time.Now(), b.closed(); err != nil {
				return errors.Join(err, stream.Close())
			}
		}
		each(row(f))
	}
}

// Namespace implements backend.Backend.
func (b *world) Namespace(ctx context.Context, lab *labs.Lab) (string, error) {
	h, err := b.e.Open(ctx, b.name)
	if err != nil {
		return "", err
	}
	here, err := runner.At(ctx, h, lab)
	if err != nil {
		return "", errors.Join(err, h.Close())
	}
	return here.Namespace, h.Close()
}

// KeepCopy implements backend.Backend.
func (b *world) KeepCopy(text string) (string, error) {
	file := filepath.Join(b.e.StateDir, "copied.txt")
	if err := hostfile.Write(file, []byte(text), 0o600); err != nil {
		return "", exit.WithCure(fmt.Errorf("keep the copy: %w", err), "make room in %s", b.e.StateDir)
	}
	return file, nil
}

// Shell implements backend.Backend.
func (b *world) Shell(ctx context.Context, lab *labs.Lab) (*exec.Cmd, func() error, error) {
	return shell.Command(ctx, b.e, b.name, lab, true)
}

// Command implements backend.Backend.
func (b *world) Command(ctx context.Context, lab *labs.Lab, line string) (*exec.Cmd, func() error, error) {
	cmd, cleanup, err := shell.Command(ctx, b.e, b.name, lab, false)
	if err == nil {
		cmd.Args = append(cmd.Args, "-c", line)
	}
	return cmd, cleanup, err
}

// Answer implements backend.Backend.
func (b *world) Answer(lab *labs.Lab, task string) (backend.Answer, error) {
	dir, file, err := shell.Answer(b.e, b.name, lab, task)
	return backend.Answer{Dir: dir, File: file, Editor: editor.Choose(os.Getenv, exec.LookPath)}, err
}
