// Package grade judges what a class handed in: each submission on a cluster that
// only submissions see, in a state of its own, with a record that proves its points.
// It prints nothing: it tells events, and leaves records in a results folder.
package grade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/trial"
)

// Options are what a grading run is about.
type Options struct {
	// Providers gives each job a provider, which makes its cluster as Spec says; the
	// clusters' names are made from that of the results folder.
	Providers func() (cluster.Provider, error)
	Spec      cluster.Spec
	Jobs      int // side by side; 0 is one
	// Elsewhere judges beyond this machine; nil judges here, on what Providers give.
	Elsewhere Elsewhere

	Lab     *labs.Lab
	Class   *submission.Class
	Roster  *roster.Roster // nil for none
	Weights result.Weights // Extensions are taken from the roster

	// Results is the folder of the results. One that has some of this very lab is
	// continued.
	Results string
	Signer  ssh.Signer
	Version string // netdojo's

	TimeLimit    time.Duration // of one submission; 0 is 3 minutes
	CheckTimeout time.Duration // of a check that has none of its own; 0 is the checks' default

	// RosterText is the roster as it was given, RosterFile its name. Both are kept in
	// the map of people, for gradebooks.
	RosterText []byte
	RosterFile string

	// Scripts starts the shell that submissions' scripts run in; nil runs none.
	Scripts Starter

	// Record records a session: what its listener is told until end is called is written to
	// w. nil records none.
	Record func(w io.Writer) (listen event.Listener, end func() error)

	// Engine is asked which field of a submission a single change could mend; nil
	// names none.
	Engine trial.Engine

	Listener Listener
	Log      *slog.Logger // nil discards

	lab result.Lab
}

// defaultLimit is more than any judging takes whose checks all run into their own
// time limits.
const defaultLimit = 3 * time.Minute

// Error is a run that cannot be made as it was asked for.
type Error struct {
	Message, Advice string
}

func (e *Error) Error() string { return e.Message }

// Cure says what to ask for instead.
func (e *Error) Cure() string { return e.Advice }

// begun is the data of the log's first entry.
type begun struct {
	Lab     result.Lab `json:"lab"`
	Max     int        `json:"max"`
	Netdojo string     `json:"netdojo"`
	Jobs    int        `json:"jobs"`
	World   string     `json:"world"`
	Level   string     `json:"podSecurity"`
	Scripts bool       `json:"scripts,omitempty"` // those of submissions were run
}

// LabOf is a lab as results name it. A lab without points is an error.
func LabOf(lab *labs.Lab) (result.Lab, int, error) {
	digest, err := lab.Digest()
	if err != nil {
		return result.Lab{}, 0, err
	}
	most := 0
	for _, t := range lab.Tasks {
		_, of := t.Graded().Score(func(string) bool { return true })
		most += of
	}
	if most == 0 {
		return result.Lab{}, 0, &Error{
			Message: "lab " + lab.ID + " gives no points", Advice: "give its tasks checks that are allowed and denied after the policy, or pairs: docs/labs-format.md",
		}
	}
	return result.Lab{ID: lab.ID, Title: lab.Title, Digest: digest}, most, nil
}

// Run grades the class, or what an earlier run left of it, and signs the results. On
// an error what is judged by then is kept, and a further run continues there.
func Run(ctx context.Context, o Options) (class result.Class, err error) {
	began := time.Now()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.TimeLimit <= 0 {
		o.TimeLimit = defaultLimit
	}
	o.Jobs = max(o.Jobs, 1)
	var most int
	if o.lab, most, err = LabOf(o.Lab); err != nil {
		return class, err
	}
	admitted, err := rulesOf(o.Lab)
	if err != nil {
		return class, err
	}
	folder, err := evidence.Open(o.Results, o.Signer)
	if err != nil {
		return class, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	if err := begin(folder, o, most); err != nil {
		return class, err
	}
	people, err := roster.Load(o.Results)
	if err != nil {
		return class, err
	}
	chosen, problems := people.Assign(o.Class, o.Roster)
	if o.Roster != nil {
		people.Roster, people.RosterFile = string(o.RosterText), filepath.Base(o.RosterFile)
	}
	if err := people.Save(o.Results); err != nil {
		return class, err
	}
	b := &bulletin{dir: o.Results, log: o.Log}
	defer b.keep(ctx)()
	t := &teller{listener: func(e Event) {
		b.take(e)
		if o.Listener != nil {
			o.Listener(e)
		}
	}}
	for _, p := range slices.Concat(o.Class.Problems, problems) {
		t.tell(Odd{p})
	}
	todo, err := undone(ctx, folder, people, chosen)
	if err != nil {
		return class, err
	}
	o.Jobs = max(min(o.Jobs, len(todo)), 1)
	t.tell(Started{Lab: o.lab, Total: len(chosen), Kept: len(chosen) - len(todo), Jobs: o.Jobs})
	if err := run(ctx, o, admitted, folder, people, chosen, todo, t); err != nil {
		return class, err
	}
	if err := weigh(folder, o.Weights, people); err != nil {
		return class, err
	}
	if err := folder.Sign(o.Signer); err != nil {
		return class, err
	}
	if class, err = classOf(folder.Entries(), intact(folder.Record), people); err != nil {
		return class, err
	}
	t.tell(Finished{Class: class, Elapsed: time.Since(began)})
	return class, nil
}

// teller hands events to the listener, one at a time.
type teller struct {
	mu       sync.Mutex
	listener Listener
}

func (t *teller) tell(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listener(e)
}

// begin writes the log's first entry, or compares what is to be graded with it.
func begin(folder *evidence.Folder, o Options, most int) error {
	now := begun{Lab: o.lab, Max: most, Netdojo: o.Version, Jobs: o.Jobs, World: string(o.Spec.World), Level: string(o.Spec.PodLevel()), Scripts: o.Scripts != nil}
	entries := folder.Entries()
	if len(entries) == 0 {
		return folder.Append(evidence.Begun, "", time.Now(), now)
	}
	was, err := beginning(entries)
	if err != nil {
		return err
	}
	switch {
	case was.Lab.Digest != now.Lab.Digest:
		return &Error{
			Message: fmt.Sprintf("the results in %s are of lab %s, %s, not of lab %s, %s", o.Results, was.Lab.ID, was.Lab.Digest, now.Lab.ID, now.Lab.Digest),
			Advice:  "give another --results, or the lab as it was",
		}
	case was.Scripts != now.Scripts:
		return &Error{
			Message: fmt.Sprintf("the results in %s are %s the scripts of submissions", o.Results, map[bool]string{true: "with", false: "without"}[was.Scripts]),
			Advice:  "continue them as they were begun, with or without --allow-scripts, or give another --results",
		}
	case was.Netdojo != now.Netdojo:
		return &Error{
			Message: fmt.Sprintf("the results in %s are by netdojo %s, and this is %s", o.Results, was.Netdojo, now.Netdojo),
			Advice:  "continue them with that version, or give another --results to grade everything anew",
		}
	}
	return nil
}

func beginning(entries []evidence.Entry) (begun, error) {
	var b begun
	if len(entries) == 0 || entries[0].Kind != evidence.Begun || json.Unmarshal(entries[0].Data, &b) != nil {
		return b, &evidence.BrokenError{File: evidence.LogFile, Line: 1, Message: "it does not say what was graded"}
	}
	return b, nil
}

// undone are the pseudonyms of the submissions that have no record of what they hold,
// or that the machine failed, in the order of their entries.
func undone(ctx context.Context, folder *evidence.Folder, people *roster.People, chosen map[string]submission.Submission) ([]string, error) {
	var todo []string
	for _, e := range people.Entries {
		s, ok := chosen[e.ID]
		if !ok || e.Forgotten {
			continue
		}
		if folder.Has(e.ID) {
			content, err := s.Load(ctx)
			if err != nil {
				return nil, err
			}
			data, err := folder.Record(e.ID)
			if err != nil {
				return nil, err
			}
			var r result.Record
			if err := json.Unmarshal(data, &r); err != nil {
				return nil, fmt.Errorf("read the record %s: %w", e.ID, err)
			}
			if r.Submission.Digest == content.Digest && r.Status != result.Failed {
				continue
			}
		}
		todo = append(todo, e.ID)
	}
	return todo, nil
}

// judged is a finished submission on its way to the results.
type judged struct {
	record result.Record
	files  map[string]string // the names that its files were handed in by
	tape   []byte            // the recording; none where there is none
}

// run judges what is to do, side by side, and writes each record when it is there.
func run(ctx context.Context, o Options, admitted rules, folder *evidence.Folder, people *roster.People, chosen map[string]submission.Submission, todo []string, t *teller) error {
	if len(todo) == 0 {
		return nil
	}
	collect := &collector{
		folder: folder, people: people, results: o.Results, t: t, began: time.Now(),
		done: len(chosen) - len(todo), total: len(chosen), todo: len(todo),
	}
	seeds := people.Seeds()
	advice := &adviser{known: map[string][]result.Suspect{}}
	if o.Elsewhere != nil {
		return runElsewhere(ctx, &afar{
			o: o, admitted: admitted, chosen: chosen, seeds: seeds, todo: todo, keep: collect.keep, t: t, advice: advice,
		})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan string)
	finished := make(chan judged)
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(queue)
		for _, id := range todo {
			select {
			case queue <- id:
			case <-gctx.Done():
				return gctx.Err()
			}
		}
		return nil
	})
	var workers sync.WaitGroup
	for n := range o.Jobs {
		workers.Add(1)
		group.Go(func() error {
			defer workers.Done()
			return work(gctx, o, admitted, n, seeds, chosen, queue, finished, advice, t)
		})
	}
	group.Go(func() error {
		workers.Wait()
		close(finished)
		return nil
	})
	var failed error
	for j := range finished { // also after a failure, so that no worker waits for it
		if failed != nil {
			continue
		}
		if failed = collect.keep(j); failed != nil {
			cancel()
		}
	}
	err := group.Wait()
	if failed != nil {
		return failed
	}
	return err
}

// keep writes a record, after the names of its files and its recording.
func keep(folder *evidence.Folder, people *roster.People, results string, j judged) error {
	e := people.Of(j.record.ID)
	e.Files = j.files
	if err := people.Save(results); err != nil {
		return err
	}
	if err := keepRecording(results, j.record.ID, j.tape); err != nil {
		return err
	}
	data, err := json.MarshalIndent(j.record, "", "  ")
	if err != nil {
		return err
	}
	return folder.Put(j.record.ID, append(data, '\n'), time.Now())
}

// work judges what the queue holds on a cluster of its own.
func work(ctx context.Context, o Options, admitted rules, n int, seeds map[string][]string, chosen map[string]submission.Submission, queue <-chan string, finished chan<- judged, advice *adviser, t *teller) (err error) {
	provider, err := o.Providers()
	if err != nil {
		return err
	}
	j := &judge{o: o, provider: provider, rules: admitted, spec: o.Spec, report: func(u step.Update) { t.tell(Preparing{n + 1, u}) }}
	j.spec.Name, j.spec.Fresh = clusterName(o.Results, n), true
	defer func() { err = errors.Join(err, j.down(ctx)) }()
	var advised sync.WaitGroup // of the one that was judged last
	defer func() { advised.Wait() }()
	for id := range queue {
		s := chosen[id]
		content, err := s.Load(ctx)
		if err != nil {
			return err
		}
		t.tell(Judging{id})
		r, err := j.judgeOne(ctx, id, seeds[id], s, content, o.Class.Earlier[s.Key])
		if err != nil {
			return err
		}
		advised.Wait()
		last, tape := j.last, j.tape
		advised.Go(func() {
			advice.advise(ctx, j, &r, last)
			if ctx.Err() != nil {
				return // it is judged again when the run continues
			}
			finished <- judged{r, content.Given, tape}
		})
	}
	return ctx.Err()
}

// clusterName is the name of a job's cluster, the same for a run that continues.
func clusterName(results string, n int) string { return fmt.Sprintf("%s-%d", NameOf(results), n+1) }

// NameOf is a name for what a run makes, by the folder of its results.
func NameOf(results string) string {
	if abs, err := filepath.Abs(results); err == nil {
		results = abs
	}
	sum := sha256.Sum256([]byte(results))
	return "grade-" + hex.EncodeToString(sum[:5])
}

// weigh logs the weights, where they are not those that count already.
func weigh(folder *evidence.Folder, w result.Weights, people *roster.People) error {
	w.Due, w.Extensions, w.ExtraMinutes = w.Due.UTC(), people.Extensions(), people.ExtraMinutes()
	if w.Due.IsZero() {
		w.Due = time.Time{}
	}
	if was, found := weights(folder.Entries()); found && reflect.DeepEqual(was, w) {
		return nil
	}
	return folder.Append(evidence.Weighed, "", time.Now(), w)
}

// weights are those that count.
func weights(entries []evidence.Entry) (w result.Weights, found bool) {
	for _, e := range slices.Backward(entries) {
		if e.Kind == evidence.Weighed && json.Unmarshal(e.Data, &w) == nil {
			return w, true
		}
	}
	return w, false
}
