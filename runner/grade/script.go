package grade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/pagerun"
	"github.com/netdojo/netdojo/runner/record"
)

// Starter starts a shell apart from the host for a submission's scripts.
type Starter func(pagerun.Room) (pagerun.Shell, error)

// scriptTime is what one script may take.
const scriptTime = time.Minute

// ScriptError is a machine on which no script can be run.
type ScriptError struct{ Err error }

func (e *ScriptError) Error() string { return "run a submission's scripts: " + e.Err.Error() }
func (e *ScriptError) Unwrap() error { return e.Err }

// Cure says what is left to do.
func (e *ScriptError) Cure() string {
	return "grade on Linux with user namespaces, or leave --allow-scripts out: manifests alone are judged then"
}

// scripted runs a submission's scripts and takes the policies that they leave, and what
// they change of the lab's workloads, as if they had been handed in as manifests. The
// cluster that they have run against goes then: nothing of it is judged. Problems cost
// themselves only; the error is ctx's, or the machine's.
func (j *judge) scripted(ctx context.Context, in *handed, c submission.Content) ([]result.Script, error) {
	if len(c.Scripts) == 0 || in.refusal != "" {
		return nil, nil
	}
	if !j.running {
		if err := j.up(ctx); err != nil {
			return nil, err
		}
	}
	limited, cancel := context.WithTimeout(ctx, j.o.TimeLimit)
	defer cancel()
	told := &refusals{}
	var pages record.Pages
	var state []map[string]any
	_, err := runner.Do(limited, runner.Target{
		Provider: j.provider, Spec: j.spec, Provision: true, Keep: true, Lab: in.lab, Log: j.o.Log, Listener: j.listener,
	}, func(s *runner.Session, ctx context.Context) error {
		err := s.Empty(ctx, slices.Concat(in.rules.known, j.seen))
		if err == nil {
			err = s.Reset(ctx)
		}
		if err == nil {
			pages, err = pagerun.Run(ctx, j.scriptsOf(in, c, told))
		}
		if err == nil {
			state, err = s.Snapshot(ctx)
		}
		return err
	})
	expired := limited.Err() != nil
	if derr := j.down(ctx); derr != nil {
		return nil, derr
	}
	var env *runner.EnvironmentError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case expired:
		in.problems = append(in.problems, submission.Problem{File: c.Scripts[0].Name, Message: fmt.Sprintf("the scripts did not end within %s: nothing that they made is judged", j.o.TimeLimit)})
		state = nil
	case errors.As(err, &env) && env.During == "Start the page's shell":
		return nil, &ScriptError{env.Err}
	case err != nil:
		return nil, err
	}
	ran := scriptsRan(c, pages)
	for _, s := range ran {
		if s.Why != "" {
			in.problems = append(in.problems, submission.Problem{File: s.File, Message: s.Why})
		}
	}
	for _, why := range told.all() {
		in.problems = append(in.problems, submission.Problem{File: c.Scripts[0].Name, Message: why})
	}
	return ran, in.take(state, c.Scripts[0].Name)
}

// take takes what scripts have left on a cluster; of an object that was handed in as a
// manifest too, it is the latest word.
func (h *handed) take(state []map[string]any, name string) error {
	left := handed{lab: h.lab}
	if err := h.rules.state(&left, h.lab, name, state); err != nil {
		return err
	}
	key := func(o object.Object) string {
		ns := o.GetNamespace()
		if ns == "" && !clusterwide(o.GetKind()) {
			ns = h.rules.home
		}
		return o.GetKind() + " " + ns + "/" + o.GetName()
	}
	for _, o := range left.objects {
		at := slices.IndexFunc(h.objects, func(was object.Object) bool { return key(was) == key(o) })
		if at < 0 {
			h.objects = append(h.objects, o)
			continue
		}
		o.File, o.Line = h.objects[at].File, h.objects[at].Line // its task goes by the file
		h.objects[at] = o
	}
	return nil
}

// scriptsOf is the page that a submission's scripts make: one command each.
func (j *judge) scriptsOf(in *handed, c submission.Content, told *refusals) pagerun.Target {
	p := page.Page{Schema: page.Schema, File: "the submission"}
	for i, s := range c.Scripts {
		given := c.Given[s.Name]
		p.Steps = append(p.Steps, page.Step{Kind: page.Run, Line: i + 1, Commands: []page.Command{{
			Number: i + 1, Line: i + 1, Text: fmt.Sprintf("(cd ~/%s && exec bash ./%s)", quoted(path.Dir(given)), quoted(path.Base(given))),
		}}})
	}
	t := pagerun.Target{
		Provider: j.provider, Spec: j.spec, Keep: true, Pages: []page.Page{p}, Start: j.o.Scripts,
		CommandTimeout: scriptTime, Listener: deaf{}, Log: j.o.Log, Guard: told.guard(in.rules, in.own()),
	}
	var files []pagerun.File
	for _, name := range slices.Sorted(maps.Keys(c.Work)) {
		if fs.ValidPath(name) && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			files = append(files, pagerun.File{Name: name, Mode: 0o644, Data: c.Work[name]})
		}
	}
	t.Files = [][]pagerun.File{files}
	return t
}

// quoted makes one word of the shell of a text.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// scriptsRan is what became of each script. What they showed is not kept: it may name
// people.
func scriptsRan(c submission.Content, pages record.Pages) []result.Script {
	var commands []record.PageCommand
	for _, p := range pages.Pages {
		commands = append(commands, p.Commands...)
	}
	ran := make([]result.Script, len(c.Scripts))
	for i, s := range c.Scripts {
		ran[i] = result.Script{File: s.Name, Why: "it was not run: the ones before it took too long"}
		if i >= len(commands) {
			continue
		}
		cmd := commands[i]
		ran[i].Exit, ran[i].Ms, ran[i].Why = cmd.Exit, int64(cmd.Ms), ""
		switch {
		case cmd.Exit == nil:
			ran[i].Why = "it was ended: " + cmd.Why
		case *cmd.Exit != 0:
			ran[i].Why = fmt.Sprintf("it ended with exit code %d", *cmd.Exit)
		}
	}
	return ran
}

// deaf is told of a run that nobody follows.
type deaf struct{}

func (deaf) Session(event.Event)                {}
func (deaf) Page(page.Page)                     {}
func (deaf) Command(string, record.PageCommand) {}
func (deaf) Later(string, record.PageCommand)   {}
func (deaf) Finished(record.Pages, error)       {}

// own are the lab's workloads, as KIND NAMESPACE/NAME.
func (h *handed) own() map[string]bool {
	own := map[string]bool{}
	for _, file := range h.lab.Workloads {
		data, err := fs.ReadFile(h.lab.FS, file)
		if err != nil {
			continue // deploying the lab tells
		}
		objects, err := object.Parse(file, data)
		if err != nil {
			continue
		}
		for _, o := range objects {
			ref := o.Ref(h.lab.Namespace)
			own[o.GetKind()+" "+ref.Namespace+"/"+ref.Name] = true
		}
	}
	return own
}

// refusals are what scripts asked of the API, and may not.
type refusals struct {
	mu   sync.Mutex // guards what follows
	told []string
}

// maxTold bounds what is told of one submission.
const maxTold = 20

func (r *refusals) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told
}

// guard lets scripts read all but Secrets, and write what a submission may hold: policies
// of kinds that the lab takes, and the lab's own workloads where it takes their kind.
func (r *refusals) guard(by rules, own map[string]bool) func(pagerun.Request) string {
	kinds := map[string]string{} // by the resource
	for _, kind := range by.kinds {
		if p, ok := policies.Find(kind); ok {
			kinds[p.Resource] = kind
			continue
		}
		plural, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Kind: kind})
		kinds[plural.Resource] = kind
	}
	return func(q pagerun.Request) string {
		why := forbidden(q, by, kinds, own)
		if why == "" {
			return ""
		}
		why = "netdojo lets no submission " + why
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.told) < maxTold && !slices.Contains(r.told, why) {
			r.told = append(r.told, why)
		}
		return why
	}
}

// forbidden says what of a request is not let through; "" for nothing.
func forbidden(q pagerun.Request, by rules, kinds map[string]string, own map[string]bool) string {
	kind, taken := kinds[q.Resource]
	switch {
	case q.Odd:
		return "spell a path of the API in another way"
	case q.Upgrade:
		return "enter a pod, or reach through it"
	case q.Method == http.MethodGet, q.Method == http.MethodHead, q.Method == http.MethodOptions:
		switch {
		case q.Resource == "secrets":
			return "read Secrets"
		case q.Resource == "" && !discovery(q.Path):
			return "ask for " + q.Path
		case q.Sub != "" && !slices.Contains([]string{"/log", "/status", "/scale"}, q.Sub):
			return "ask for " + q.Resource + q.Sub
		}
		return ""
	case strings.HasSuffix(q.Resource, "reviews") && q.Group == "authorization.k8s.io":
		return "" // questions
	case !taken || q.Sub != "" && q.Sub != "/scale":
		return fmt.Sprintf("change %s: the lab takes %s", strings.TrimSpace(q.Resource+q.Sub), strings.Join(by.kinds, ", "))
	case clusterwide(kind):
		return ""
	case !slices.Contains(by.namespaces, q.Namespace):
		return fmt.Sprintf("change anything in namespace %s, which is not the lab's", q.Namespace)
	}
	if _, ok := policies.Find(kind); !ok && !own[kind+" "+q.Namespace+"/"+q.Name] {
		return "make or change a " + kind + " that is not the lab's"
	}
	return ""
}

// discovery says whether a path of the API tells what it has.
func discovery(at string) bool {
	return at == "/version" || at == "/api" || at == "/apis" || strings.HasPrefix(at, "/openapi/") || apiRoot(at)
}

// apiRoot is /api/VERSION, /apis/GROUP or /apis/GROUP/VERSION.
func apiRoot(at string) bool {
	parts := strings.Split(strings.Trim(at, "/"), "/")
	return parts[0] == "api" && len(parts) == 2 || parts[0] == "apis" && len(parts) <= 3
}
