package imported

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs/page"
)

// builder makes a lab of what a reader found.
type builder struct {
	*reader
	namespace string // the lab's
	files     []File
	workloads []string
	tasks     []task
	todo      []string // about the workloads
	kept      map[string]bool
}

// task is a step of policies, with the checks before and after it.
type task struct {
	phase    int
	page     string
	solution []string
	docs     []document
	checks   []check
	wrong    wrong
}

// check is a check with what is to be told of it.
type check struct {
	observation
	id, title     string
	before, after checks.Expect
	status        int
	todo          []string
}

func (b *builder) build() (Lab, error) {
	if err := b.phases(); err != nil {
		return Lab{}, err
	}
	b.kept = map[string]bool{}
	b.chooseNamespace()
	b.pods()
	ids := b.ids()
	for phase := 1; phase <= b.phase; phase++ {
		t := task{phase: phase}
		for _, d := range b.docs {
			if d.policy() && d.phase == phase {
				t.docs = append(t.docs, d)
			}
		}
		t.checks = b.checks(phase, ids)
		b.tasks = append(b.tasks, t)
	}
	b.servers()
	b.objects()
	b.pages()
	for i := range b.tasks {
		b.answers(&b.tasks[i])
	}
	b.files = append([]File{{"lab.yaml", b.declare()}}, b.files...)
	l := Lab{Files: b.files, Tasks: len(b.tasks), Claims: b.claims, Kept: len(b.kept), Unfinished: unfinished(b.files), LeftOut: b.leftOut}
	for _, t := range b.tasks {
		l.Checks += len(t.checks)
	}
	return l, nil
}

// phases drops a last step of policies of which nothing is promised.
func (b *builder) phases() error {
	first := b.source.Pages[0].File
	if b.phase > 0 && !slices.ContainsFunc(b.seen, func(o observation) bool { return o.phase == b.phase }) {
		for _, d := range b.docs {
			if d.policy() && d.phase == b.phase {
				b.at = d.at
				b.leave("nothing is promised after %s is applied: no task checks it", d.ref())
			}
		}
		b.docs = slices.DeleteFunc(b.docs, func(d document) bool { return d.policy() && d.phase == b.phase })
		if b.phase--; b.phase == 0 {
			return &EmptyError{
				File: first, Message: "promises nothing that a check could say after it applies its policies", LeftOut: b.leftOut,
				Advice: "netdojo page explain shows how it is understood; netdojo lab new writes a lab to begin with",
			}
		}
	}
	if b.phase == 0 {
		return &EmptyError{
			File: first, Message: "applies no policy, so that nothing could be a task's solution", LeftOut: b.leftOut,
			Advice: "put the files that its commands apply beside it; netdojo page explain shows how it is understood",
		}
	}
	return nil
}

// chooseNamespace makes that of most objects the lab's.
func (b *builder) chooseNamespace() {
	counts := map[string]int{}
	for _, d := range b.docs {
		if d.in() != "" {
			counts[d.in()]++
		}
	}
	for _, o := range b.seen {
		if o.from.namespace != "" {
			counts[o.from.namespace]++
		}
	}
	b.namespace = "default"
	for _, ns := range sortedKeys(counts) {
		if counts[ns] > counts[b.namespace] {
			b.namespace = ns
		}
	}
}

// ids names the experiments, in the order in which they are seen.
func (b *builder) ids() map[string]string {
	sources := map[string]bool{}
	for _, o := range b.seen {
		if o.get == "" {
			sources[o.from.String()] = true
		}
	}
	ids, taken := map[string]string{}, map[string]bool{}
	for _, o := range b.seen {
		if ids[o.key()] != "" {
			continue
		}
		base := slug(o.get)
		if o.get == "" {
			parts := []string{o.method(), o.To}
			if u, err := url.Parse(o.To); err == nil && u.Host != "" {
				parts = []string{o.method(), u.Host, u.Path}
			}
			if len(sources) > 1 {
				parts = append([]string{o.podName()}, parts...)
			}
			base = slug(strings.Join(parts, "-"))
		}
		id := base
		for n := 2; taken[id]; n++ {
			id = fmt.Sprintf("%s-%d", base, n)
		}
		ids[o.key()], taken[id] = id, true
	}
	return ids
}

var notInID = regexp.MustCompile(`[^a-z0-9]+`)

func slug(text string) string {
	text = strings.Trim(notInID.ReplaceAllString(strings.ToLower(text), "-"), "-")
	if len(text) > 50 {
		text = strings.Trim(text[:50], "-")
	}
	if text == "" {
		return "check"
	}
	return text
}

// podName is what a pod that dials is called in titles.
func (o observation) podName() string {
	labels := labelsOf(o.from.labels)
	for _, key := range append([]string{"app", "app.kubernetes.io/name", "name", "run"}, sortedKeys(labels)...) {
		if labels[key] != "" {
			return labels[key]
		}
	}
	return "the pod"
}

// checks are those of a step of policies: what is promised after it, and before it where
// the pages say that.
func (b *builder) checks(phase int, ids map[string]string) []check {
	var all []check
	done := map[string]bool{}
	for _, o := range b.seen {
		key := o.key()
		if done[key] || o.phase != phase && (phase != 1 || o.phase != 0) {
			continue
		}
		before, after := b.last(key, phase-1), b.last(key, phase)
		done[key] = true
		c := check{id: ids[key]}
		if after == nil {
			after, before = before, nil
			c.observation = *after
			c.before, c.status = b.expect(after)
			if c.get == "" {
				c.todo = append(c.todo, "no page says what becomes of it under the policy: add after")
			}
		} else {
			c.observation = *after
			c.after, c.status = b.expect(after)
		}
		if before != nil {
			expect, status := b.expect(before)
			c.before = expect
			if expect == checks.ExpectAllowed && c.status == 0 {
				c.status = status
			}
		}
		if c.get == "" && !b.valid(&c) {
			continue
		}
		c.complete(phase, b.makes(c.observation, phase))
		b.remark(&c, key, phase)
		all = append(all, c)
	}
	return all
}

// last is what is promised last of an experiment in a phase; nil for nothing.
func (b *builder) last(key string, phase int) *observation {
	for i := len(b.seen) - 1; i >= 0; i-- {
		if o := &b.seen[i]; o.phase == phase && o.key() == key {
			b.kept[fmt.Sprint(o.at.page, " ", o.claim.Line)] = true
			return o
		}
	}
	return nil
}

// expect is what an observation means as a check's expectation.
func (b *builder) expect(o *observation) (expect checks.Expect, status int) {
	if o.get != "" {
		return checks.ExpectMet, 0
	}
	switch o.claim.Kind {
	case page.Denied:
		return checks.ExpectDenied, 0
	case page.DeniedL7:
		return checks.ExpectDeniedL7, 0
	case page.Answered:
		if b.judgesHTTP(o.phase) {
			return checks.ExpectDeniedL7, 0
		}
	}
	return checks.ExpectAllowed, o.claim.Status
}

// judgesHTTP says whether a policy up to a phase has rules about requests.
func (b *builder) judgesHTTP(phase int) bool {
	return slices.ContainsFunc(b.docs, func(d document) bool { return d.policy() && d.phase <= phase && has(d.Object.Object, "http") })
}

// has says whether a value of an object has a key.
func has(v any, key string) bool {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			if k == key || has(inner, key) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(inner any) bool { return has(inner, key) })
	}
	return false
}

// valid says whether a check can be declared, and leaves it out where not.
func (b *builder) valid(c *check) bool {
	b.at = c.at
	declared := checks.Check{To: c.To, Probe: checks.Spec{Probe: c.probe()}}
	if problems := declared.Problems(); len(problems) > 0 {
		b.leave("%q: %s", c.claim.Says, problems[0].Message)
		return false
	}
	for _, e := range []checks.Expect{c.before, c.after} {
		if e != "" && !slices.Contains(declared.Expects(), e) {
			b.leave("%q: a probe by %s is never %s", c.claim.Says, c.Program, e)
			return false
		}
	}
	return true
}

// probe is how the check is probed.
func (c *check) probe() checks.Probe {
	switch c.Program {
	case "curl":
		return checks.Curl{Args: c.curlArgs()}
	case "ping":
		return checks.ICMP{}
	case "nc":
		if slices.ContainsFunc(c.Words, func(w string) bool {
			return strings.HasPrefix(w, "-") && !strings.HasPrefix(w, "--") && strings.Contains(w, "u")
		}) {
			return checks.UDP{}
		}
		return checks.TCP{}
	}
	return checks.Command{Run: c.Words}
}

// curlArgs are curl's without the address.
func (c *check) curlArgs() []string {
	args := []string{}
	for i := 1; i < len(c.Words); i++ {
		switch w := c.Words[i]; {
		case w == "--url" && i+1 < len(c.Words):
			i++
		case w == c.To, "http://"+w == c.To:
		default:
			args = append(args, w)
		}
	}
	if slices.Equal(args, checks.DefaultCurl) {
		return nil
	}
	return args
}

// makes says whether a step of policies makes the object that is looked for, and none
// before it.
func (b *builder) makes(o observation, phase int) bool {
	kind, name, _ := strings.Cut(o.get, "/")
	first := 0
	for _, d := range b.docs {
		if d.policy() && isPolicyKind(kind) && d.GetName() == name && (d.in() == "" || d.in() == o.namespace) && (first == 0 || d.phase < first) {
			first = d.phase
		}
	}
	return first == phase
}

// complete adds what lab.yaml asks for and no page says.
func (c *check) complete(phase int, made bool) {
	if c.get != "" {
		if made && c.before == "" && c.after == checks.ExpectMet {
			c.before = checks.ExpectUnmet
		}
		c.title = fmt.Sprintf("There is %s", strings.Replace(c.get, "/", " ", 1))
		return
	}
	denied := c.after == checks.ExpectDenied || c.after == checks.ExpectDeniedL7
	if denied && c.before == "" {
		c.before = checks.ExpectAllowed
		c.todo = append(c.todo, "no page shows the control of this deny: that it is allowed before is assumed")
	}
	if phase == 1 && c.before == checks.ExpectDenied {
		c.todo = append(c.todo, "it is denied before the lab's first policy: by which?")
	}
	what := c.To
	if m := c.method(); m != "" {
		what = m + " " + what
	}
	c.title = fmt.Sprintf("%s reaches %s", c.podName(), what)
	switch {
	case denied && c.before == checks.ExpectAllowed:
		c.title += " only without the policy"
	case denied:
		c.title += " not"
	}
	if c.status != 0 && c.before != checks.ExpectAllowed && c.after != checks.ExpectAllowed {
		c.status = 0
	}
}

// remark tells what of the pages a check does not say.
func (b *builder) remark(c *check, key string, phase int) {
	for i := range b.seen {
		o := &b.seen[i]
		if o.key() != key || o.phase != phase && o.phase != phase-1 || o.get != "" {
			continue
		}
		if o.claim.Kind == page.Shows {
			c.todo = append(c.todo, fmt.Sprintf("line %d of %s shows %q; the check says only that it gets through", o.claim.Line, path.Base(o.at.file), printable.Line(o.claim.Says)))
			continue
		}
		last := b.last(key, o.phase)
		if was, _ := b.expect(o); last != o {
			if is, _ := b.expect(last); is != was {
				c.todo = append(c.todo, fmt.Sprintf("line %d of %s says %s, and line %d %s: what changed between them was no policy", o.claim.Line, path.Base(o.at.file), was, last.claim.Line, is))
			}
		}
	}
	slices.Sort(c.todo)
	c.todo = slices.Compact(c.todo)
}
