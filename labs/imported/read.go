package imported

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/policies"
)

// place is where on the pages the reader is.
type place struct {
	file string
	page int // of the source's
	line int
}

// observation is what a page promises of a connection or of an object.
type observation struct {
	at    place
	phase int // how many steps of policies were applied before
	from  pod
	page.Connection
	claim page.Claim
	// get and namespace are set for an object that is to be there.
	get, namespace string
}

// key is equal for the same experiment.
func (o observation) key() string {
	if o.get != "" {
		return "get " + o.namespace + " " + o.get
	}
	return strings.Join(append([]string{o.from.String()}, o.experiment()...), " ")
}

// experiment is a connection's command line without what only says how long to wait
// and what to print.
func (o observation) experiment() []string {
	words := []string{o.Program, o.method(), o.To}
	return words
}

var methodWord = regexp.MustCompile(`^(?:-X|--request=)([A-Za-z]+)$`)

// method is the HTTP method that curl's command line names; "" where it names none.
func (o observation) method() string {
	for i, w := range o.Words {
		if m := methodWord.FindStringSubmatch(w); m != nil {
			return strings.ToUpper(m[1])
		}
		if (w == "-X" || w == "--request" || strings.HasPrefix(w, "-") && !strings.HasPrefix(w, "--") && strings.HasSuffix(w, "X")) && i+1 < len(o.Words) {
			return strings.ToUpper(o.Words[i+1])
		}
	}
	return ""
}

// pod is a pod as a page names it. One of namespace, target and labels tells which.
type pod struct {
	namespace string
	target    string // as kubectl exec takes it; "" where labels are known
	labels    string // a selector
	container string
	image     string // what kubectl run starts it with; "" for others
}

func (p pod) String() string {
	return p.namespace + "/" + p.target + "{" + p.labels + "}" + p.container
}

// reader follows the pages.
type reader struct {
	source Source
	shell  *shell
	at     place
	files  map[string][]byte // of the work folder
	// namespace is the one that kubectl means.
	namespace string

	docs     []document
	phase    int
	observed bool // something was observed since policies were applied last
	removed  string
	seen     []observation
	dial     *observation // by the command that is read
	object   *kubectl     // the last kubectl get of it
	inPod    *pod         // whose shell is open
	claims   int
	leftOut  []Remark
}

func newReader(s Source) *reader {
	r := &reader{source: s, files: map[string][]byte{}, namespace: "default"}
	for _, f := range s.Beside {
		r.files[f.Name] = f.Data
	}
	r.shell = &shell{
		vars: map[string]string{"HOME": "~", "PWD": "."},
		call: r.call, get: r.get,
		save:   func(name, text string) { r.files[clean(name)] = []byte(text) },
		beyond: func(what string) { r.leave("%s is not followed", what) },
	}
	return r
}

// clean is a file's path in the work folder.
func clean(name string) string {
	name = path.Clean(strings.TrimPrefix(strings.TrimPrefix(name, "~/"), "/root/"))
	return strings.TrimPrefix(name, "/")
}

// leave notes what the lab will not have, once a line.
func (r *reader) leave(format string, args ...any) {
	remark := Remark{r.at.file, r.at.line, fmt.Sprintf(format, args...)}
	if !slices.Contains(r.leftOut, remark) {
		r.leftOut = append(r.leftOut, remark)
	}
}

// read follows one page.
func (r *reader) read(i int) {
	p := &r.source.Pages[i]
	for _, st := range p.Steps {
		r.at = place{p.File, i, st.Line}
		if name := clean(st.Name); st.Kind == page.File && st.Name != "" && st.Text != "" && r.files[name] == nil {
			r.files[name] = []byte(st.Text)
		}
		for _, c := range st.Commands {
			r.at.line = c.Line
			if st.Kind == page.Hidden {
				r.script(st, c)
				continue
			}
			r.command(c)
		}
	}
}

// command follows a command of the page.
func (r *reader) command(c page.Command) {
	r.dial, r.object = nil, nil
	switch {
	case c.Skip != "":
		if c.Remote != "" || len(c.Claims) > 0 {
			r.leave("%s", c.Skip)
		}
		return
	case len(c.Blanks) > 0:
		r.leave("%s is to be filled in", c.Blanks[0])
		return
	case c.Where != "":
		if r.inPod == nil {
			break
		}
		s := &shell{vars: map[string]string{}, get: func([]string) string { return unknown }, save: func(string, string) {}, beyond: r.shell.beyond}
		s.call = func(words []string, _ bool, _ string) { r.dials(*r.inPod, words) }
		s.run(c.Text)
	default:
		if !r.shell.run(c.Text) {
			r.leave("bash does not parse the command")
		}
	}
	r.claims += len(c.Claims)
	for _, claim := range c.Claims {
		r.claim(claim)
	}
}

// script follows a scenario's script: what it applies, and what the success of one that
// verifies promises.
func (r *reader) script(st page.Step, c page.Command) {
	r.dial, r.object = nil, nil
	verifies := len(c.Claims) > 0
	if !verifies {
		r.shell.run(st.Text)
		return
	}
	r.claims++
	name := clean(st.Name)
	var made []observation
	whole := true
	s := *r.shell
	s.beyond = func(string) { whole = false }
	s.save = func(string, string) {}
	s.call = func(words []string, negated bool, _ string) {
		claim := page.Claim{Line: c.Line, Kind: page.Allowed, Says: c.Claims[0].Says, From: page.Hidden}
		k, ok := parseKubectl(words)
		switch {
		case ok && k.verb == "get" && len(k.args) == 2 && known(k.args...) && !negated:
			o := observation{at: r.at, phase: r.phase, claim: claim, get: k.args[0] + "/" + k.args[1], namespace: r.namespaceOf(k)}
			made = append(made, o)
		case ok && k.verb == "exec":
			r.exec(k)
			if r.dial == nil {
				whole = false
				return
			}
			if r.dial.claim = claim; negated {
				r.dial.claim.Kind = page.Denied
			}
			made = append(made, *r.dial)
		case words[0] == "exit" || words[0] == "true" || words[0] == "set":
		default:
			whole = false
		}
	}
	if !s.run(st.Text) || !whole || len(made) == 0 {
		r.leave("%s: a lab runs no script on the machine; write a check that verifies the same", name)
		return
	}
	for _, o := range made {
		r.observe(o)
	}
}

// call follows one command of the reader's shell.
func (r *reader) call(words []string, _ bool, stdin string) {
	if words[0] == "cd" && len(words) == 2 && known(words[1]) {
		return // files are found by their names alone
	}
	k, ok := parseKubectl(words)
	if !ok {
		return
	}
	switch k.verb {
	case "apply", "create", "replace":
		if len(k.flags["--filename"]) == 0 {
			r.create(k)
			return
		}
		r.applied(k, stdin)
	case "run":
		r.runPod(k)
	case "expose":
		r.expose(k)
	case "delete":
		r.deleted(k, stdin)
	case "label", "annotate", "patch", "set", "scale":
		r.leave("kubectl %s changes what is there: write it into the lab's manifests", k.verb)
	case "config":
		if ns := k.flag("--namespace"); ns != "" && known(ns) && slices.Contains(k.args, "set-context") {
			r.namespace = ns
		}
	case "exec":
		r.exec(k)
	case "get":
		r.object = &k
	}
}

func (r *reader) namespaceOf(k kubectl) string {
	if ns := k.flag("--namespace"); ns != "" {
		return ns
	}
	return r.namespace
}

// get is what $(kubectl get …) stands for.
func (r *reader) get(words []string) string {
	k, ok := parseKubectl(words)
	if !ok || k.verb != "get" || len(k.args) == 0 {
		return unknown
	}
	out := k.flag("--output")
	switch kind := kindOf(k.args[0]); {
	case kind == "pod" && strings.Contains(out, "IP"):
	case kind == "pod" && k.flag("--selector") != "" && known(k.flag("--selector"), r.namespaceOf(k)):
		return podMark + r.namespaceOf(k) + "/" + k.flag("--selector")
	case kind == "service" && len(k.args) == 2 && strings.Contains(out, "clusterIP") && known(k.args[1], r.namespaceOf(k)):
		return k.args[1] + "." + r.namespaceOf(k)
	}
	return unknown
}

// kinds are short and plural names of the kinds that are asked for most.
var kinds = map[string]string{
	"po": "pod", "pods": "pod", "svc": "service", "services": "service", "deploy": "deployment", "deployments": "deployment",
	"ds": "daemonset", "daemonsets": "daemonset", "sts": "statefulset", "statefulsets": "statefulset", "ns": "namespace", "namespaces": "namespace",
}

func kindOf(word string) string {
	word, _, _ = strings.Cut(strings.ToLower(word), ".")
	if k, ok := kinds[word]; ok {
		return k
	}
	return word
}

// exec is a command in a pod.
func (r *reader) exec(k kubectl) {
	if len(k.args) == 0 {
		return
	}
	p, ok := r.podOf(k.args[0], k)
	if !ok {
		return
	}
	if len(k.rest) == 0 || isShell(k.rest) {
		r.inPod = &p
		return
	}
	r.dials(p, k.rest)
}

// podOf is the pod that exec names; false where only running the page tells.
func (r *reader) podOf(target string, k kubectl) (pod, bool) {
	p := pod{namespace: r.namespaceOf(k), container: k.flag("--container")}
	if !known(p.namespace, p.container) {
		return p, false
	}
	if _, mark, ok := strings.Cut(target, podMark); ok {
		ns, labels, _ := strings.Cut(mark, "/")
		if k.flag("--namespace") == "" && ns != "" {
			p.namespace = ns
		}
		p.labels = labels
		return p, known(ns, labels)
	}
	p.target = target
	return p, known(target)
}

func isShell(words []string) bool {
	name := words[0][strings.LastIndex(words[0], "/")+1:]
	return len(words) == 1 && (name == "sh" || name == "bash" || name == "ash" || name == "zsh")
}

// dials notes the connection that a command in a pod tries.
func (r *reader) dials(p pod, words []string) {
	if c, ok := page.ConnectionOf(words); ok {
		r.dial = &observation{at: r.at, from: p, Connection: c}
	}
}

// claim notes what a page promises of the command that was read.
func (r *reader) claim(claim page.Claim) {
	at := r.at
	at.line = claim.Line
	switch {
	case claim.Kind == page.Shows && r.dial == nil && r.object != nil:
		r.shown(*r.object, claim)
		return
	case claim.Since != 0:
		r.at.line = claim.Line
		r.leave("%q: several commands show it, and which of them is not known", claim.Says)
		return
	case r.dial == nil:
		r.at.line = claim.Line
		r.leave("%q: no check of a lab says what it shows", claim.Says)
		return
	case claim.Kind == page.Fails, claim.Kind == page.Exits, claim.Kind == page.Shows && tellsFailure(claim):
		r.at.line = claim.Line
		r.leave("%q is neither an allow nor a deny", claim.Says)
		return
	}
	o := *r.dial
	o.at, o.claim = at, claim
	if !known(append([]string{o.To}, o.Words...)...) {
		r.at.line = claim.Line
		r.leave("%q: whom it dials is known only when the page is run", claim.Says)
		return
	}
	r.observe(o)
}

var failureWords = regexp.MustCompile(`(?i)\b(?:refused|unreachable|fail(?:ed|s|ure)?|error|denied|forbidden|bad address|could not|unable|not known|timed out)\b`)

func tellsFailure(c page.Claim) bool {
	return slices.ContainsFunc(c.Want, failureWords.MatchString)
}

// observe keeps an observation.
func (r *reader) observe(o observation) {
	if r.removed != "" {
		r.at.line = o.at.line
		r.leave("%q: the page has removed policies before it (%s), and a lab's tasks build on each other: make a lab of its own of it", o.claim.Says, r.removed)
		return
	}
	o.phase = r.phase
	if o.get == "" {
		r.observed = true
	}
	r.seen = append(r.seen, o)
}

// maxRows bounds the rows of a table that become checks.
const maxRows = 20

// shown makes observations of the rows of what kubectl get is said to show.
func (r *reader) shown(k kubectl, claim page.Claim) {
	r.at.line = claim.Line
	if len(k.args) == 0 || !known(append(k.args, r.namespaceOf(k))...) || strings.Contains(k.args[0], ",") || k.args[0] == "all" || !strings.HasPrefix(claim.Want[0], "NAME ") || k.flag("--output") != "" && k.flag("--output") != "wide" {
		r.leave("%q: no check of a lab says what it shows", claim.Says)
		return
	}
	kind, _, _ := strings.Cut(k.args[0], "/")
	for i, row := range claim.Want[1:] {
		fields := strings.Fields(row)
		if len(fields) == 0 || i >= maxRows {
			continue
		}
		name := fields[0][strings.LastIndex(fields[0], "/")+1:]
		r.at.line = claim.Lines[i+1]
		if end := name[strings.LastIndex(name, "-")+1:]; !objectName.MatchString(name) || end != name && page.Generated(end) {
			r.leave("%s: its name is another each time", name)
			continue
		}
		o := observation{at: r.at, claim: claim, get: kind + "/" + name, namespace: r.namespaceOf(k)}
		o.claim.Kind = page.Allowed
		r.observe(o)
	}
}

var objectName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.:-]*[a-z0-9])?$`)

// deleted notes the removal of policies.
func (r *reader) deleted(k kubectl, stdin string) {
	if r.phase == 0 {
		return
	}
	removes := len(k.args) > 0 && isPolicyKind(k.args[0])
	for _, name := range k.flags["--filename"] {
		found := r.named(name, stdin)
		for _, f := range sortedKeys(found) {
			for _, d := range split(found[f]) {
				if kind := kindLine.FindSubmatch(d); kind != nil {
					_, policy := policies.Find(string(kind[1]))
					removes = removes || policy
				}
			}
		}
	}
	if removes && r.removed == "" {
		r.removed = fmt.Sprintf("line %d", r.at.line)
	}
}

var kindLine = regexp.MustCompile(`(?m)^kind:\s*["']?(\w+)`)

// isPolicyKind says whether a word of kubectl names a kind of policies.
func isPolicyKind(word string) bool {
	word, _, _ = strings.Cut(word, "/")
	word, _, _ = strings.Cut(strings.ToLower(word), ".")
	return slices.Contains([]string{"netpol", "cnp", "ccnp", "cnps", "ciliumnp"}, word) ||
		slices.ContainsFunc(policies.Kinds, func(k policies.Kind) bool { return word == strings.ToLower(k.Name) || word == k.Resource })
}
