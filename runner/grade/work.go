package grade

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/record"
)

// WorkSchema names the shape of Work and Outcome.
const WorkSchema = "netdojo.dev/grade-work/v1"

// Work is all that judging one submission takes, for whoever judges it elsewhere. It tells
// neither whose the submission is nor what its files were called, and holds nothing of
// other submissions.
type Work struct {
	Schema  string `json:"schema"`
	Netdojo string `json:"netdojo"` // the version that is to judge it
	// Lab are the lab's files, by their names.
	Lab map[string][]byte `json:"lab"`
	// Answers are the objects that are applied, by the tasks that they answer.
	Answers map[string][]WorkObject `json:"answers"`
	// TimeLimit is what the submission may take, CheckTimeout what a check may.
	TimeLimit    time.Duration `json:"timeLimit"`
	CheckTimeout time.Duration `json:"checkTimeout,omitempty"`
	Record       bool          `json:"record,omitempty"` // the session is recorded
}

// WorkObject is an object with its place in what was handed in.
type WorkObject struct {
	File   string          `json:"file"`
	Line   int             `json:"line"`
	Object json.RawMessage `json:"object"`
}

// Outcome is what judging a submission found.
type Outcome struct {
	Schema  string        `json:"schema"`
	Netdojo string        `json:"netdojo"` // the version that judged
	Status  result.Status `json:"status"`
	Cause   string        `json:"cause,omitempty"`
	Run     record.Run    `json:"run"`
	Tape    []byte        `json:"tape,omitempty"` // the recording
}

// work is what is given away of a submission that admit has seen.
func (e *entered) work(o Options) (Work, error) {
	w := Work{
		Schema: WorkSchema, Netdojo: o.Version, Lab: map[string][]byte{}, Answers: map[string][]WorkObject{},
		TimeLimit: o.TimeLimit, CheckTimeout: o.CheckTimeout, Record: o.Record != nil,
	}
	err := fs.WalkDir(e.in.lab.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := fs.ReadFile(e.in.lab.FS, name)
		if err == nil && name == labs.FileName {
			data = withoutSeed(data)
		}
		w.Lab[name] = data
		return err
	})
	if err != nil {
		return w, fmt.Errorf("read the lab: %w", err)
	}
	for task, objects := range e.in.byTask(e.objects) {
		for _, o := range objects {
			data, err := o.MarshalJSON()
			if err != nil {
				return w, fmt.Errorf("encode an object of %s: %w", e.record.ID, err)
			}
			w.Answers[task] = append(w.Answers[task], WorkObject{o.File, o.Line, data})
		}
	}
	return w, nil
}

// withoutSeed is a lab.yaml without its seed, which may be somebody's login: the words
// that it chose stand in the files already.
func withoutSeed(text []byte) []byte {
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "seed:") {
			lines[i] = "\n"
		}
	}
	return []byte(strings.Join(lines, ""))
}

// Worker judges what it is given, on clusters of its own.
type Worker struct {
	Provider cluster.Provider
	Spec     cluster.Spec
	Version  string
	Record   func(w io.Writer) (listen event.Listener, end func() error)
	Report   step.Reporter // of bringing a cluster up
	Log      *slog.Logger
}

// Judge judges a work, and takes its cluster down. An error is a work that is not for this
// worker, ctx's, or that of a cluster that does not come up.
func (k Worker) Judge(ctx context.Context, w Work) (out Outcome, err error) {
	if w.Schema != WorkSchema || w.Netdojo != k.Version {
		return out, &Error{
			Message: fmt.Sprintf("the work is of netdojo %s, and this is netdojo %s", w.Netdojo, k.Version),
			Advice:  "make the workers' image with the netdojo that grades: netdojo grade worker-image",
		}
	}
	files := &txtar.Archive{}
	for _, name := range slices.Sorted(maps.Keys(w.Lab)) {
		files.Files = append(files.Files, txtar.File{Name: name, Data: w.Lab[name]})
	}
	folder, err := txtar.FS(files)
	if err != nil {
		return out, fmt.Errorf("read the lab of the work: %w", err)
	}
	lab, err := labs.Load(folder)
	if err != nil {
		return out, fmt.Errorf("read the lab of the work: %w", err)
	}
	by, err := rulesOf(lab)
	if err != nil {
		return out, err
	}
	answers := map[string][]object.Object{}
	for task, given := range w.Answers {
		for _, g := range given {
			u := &unstructured.Unstructured{}
			if err := u.UnmarshalJSON(g.Object); err != nil {
				return out, fmt.Errorf("read an object of the work: %w", err)
			}
			answers[task] = append(answers[task], object.Object{Unstructured: u, File: g.File, Line: g.Line})
		}
	}
	j := &judge{
		o:        Options{Version: k.Version, TimeLimit: w.TimeLimit, CheckTimeout: w.CheckTimeout, Log: k.Log},
		provider: k.Provider, spec: k.Spec, report: k.Report,
	}
	if w.Record {
		j.o.Record = k.Record
	}
	j.spec.Fresh = true
	defer func() {
		if derr := j.down(ctx); err == nil {
			err = derr
		}
	}()
	if out, err = j.try(ctx, "submission", lab, by.known, answers); err != nil {
		return out, err
	}
	out.Schema, out.Netdojo = WorkSchema, k.Version
	return out, nil
}

// Batch are submissions that are judged elsewhere.
type Batch struct {
	Size    int    // how many
	Jobs    int    // how many of them side by side
	Version string // netdojo's
	// TimeLimit is what each may take on a cluster, of which it may need two.
	TimeLimit time.Duration
	// Work gives what is to be judged, by its number from 0; again where it has to be begun
	// anew. It is nil for one that is done.
	Work func(ctx context.Context, i int) (*Work, error)
	// Done takes what was found, and has kept it when it returns nil. A *ForgedError is an
	// outcome that no judging brings. What comes of one that is done is passed over.
	Done func(ctx context.Context, i int, out Outcome) error
	// Notice tells the instructor something.
	Notice func(text string)
}

// Elsewhere judges a batch beyond this machine, and returns when each is done. Work and
// Done may be called concurrently. Outcomes are not believed.
type Elsewhere func(ctx context.Context, b Batch) error

// Failure is the outcome of a submission that the machine or the cluster failed.
func Failure(version, cause string) Outcome {
	cause = strings.ToValidUTF8(cause[:min(len(cause), maxCause)], "")
	return Outcome{Schema: WorkSchema, Netdojo: version, Status: result.Failed, Cause: cause}
}
