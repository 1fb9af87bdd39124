package imported

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/internal/printable"
)

// plain are words that YAML reads as text, in a line and between brackets.
var plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_/.-]*(?:://[A-Za-z0-9_/.:-]*[A-Za-z0-9_/-])?(?::\d+)?$`)

// scalar is a text of YAML, in a line.
func scalar(text string) string {
	if plain.MatchString(text) && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(text)) {
		return text
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // of a string
	return strings.TrimRight(b.String(), "\n")
}

func scalars(words []string) string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = scalar(w)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// lines writes lab.yaml.
type lines struct{ strings.Builder }

func (l *lines) add(format string, args ...any) { fmt.Fprintf(l, format+"\n", args...) }

// todo tells the author what to do, in one line.
func (l *lines) todo(indent, text string) {
	l.add("%s# %s%s", indent, Unfinished, printable.Line(text))
}

// declare writes lab.yaml.
func (b *builder) declare() []byte {
	l := &lines{}
	p := b.source.Pages[0]
	title := printable.Line(strings.TrimSpace(p.Title))
	if title == "" {
		title = "Lab " + b.source.ID
	}
	l.add("# Made of %s.", printable.Line(path.Base(p.File)))
	l.add("id: %q", b.source.ID)
	l.add("title: %s", scalar(title))
	l.todo("", "say in a summary what a learner can do after the lab")
	if b.namespace == "default" {
		l.todo("", "give the lab a namespace of its own, which leaves others alone, and say so on its pages")
	}
	l.add("namespace: %s", scalar(b.namespace))
	if needs := b.needs(); len(needs) > 0 {
		l.add("needs: %s", scalars(needs))
	}
	if names := b.outside(); len(names) > 0 {
		l.add("world:\n  names: %s", scalars(names))
	}
	for _, text := range b.todo {
		l.todo("", text)
	}
	if len(b.workloads) > 0 {
		l.add("workloads:")
		for _, f := range b.workloads {
			l.add("  - %s", f)
		}
	}
	l.add("tasks:")
	for _, t := range b.tasks {
		b.task(l, t, title)
	}
	return []byte(l.String())
}

// needs are what the datapath must be able to judge.
func (b *builder) needs() []string {
	var needs []string
	for _, n := range []struct{ need, key string }{{"dns", "toFQDNs"}, {"dns", "dns"}, {"http", "http"}, {"tls", "serverNames"}} {
		if !slices.Contains(needs, n.need) && slices.ContainsFunc(b.docs, func(d document) bool { return d.policy() && has(d.Object.Object, n.key) }) {
			needs = append(needs, n.need)
		}
	}
	return needs
}

var dnsName = regexp.MustCompile(`^([a-z0-9_]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// outside are the names outside the cluster that checks dial.
func (b *builder) outside() []string {
	var names []string
	for _, t := range b.tasks {
		for _, c := range t.checks {
			if _, name := b.dialled(c.observation); dnsName.MatchString(name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

func (b *builder) task(l *lines, t task, title string) {
	if len(b.tasks) > 1 {
		title = fmt.Sprintf("%s, step %d", title, t.phase)
	}
	l.add("  - id: \"%d\"", t.phase)
	l.add("    title: %s", scalar(title))
	l.add("    page: %s", t.page)
	l.add("    checks:")
	for _, c := range t.checks {
		b.check(l, c)
	}
	pairs(l, t)
	l.add("    solution:")
	for _, f := range t.solution {
		l.add("      - %s", f)
	}
	b.hints(l, t)
	l.todo("    ", "add the mistakes that learners make, each with its hint; this one is anybody's")
	l.add("    wrong:")
	l.add("      - name: %s", t.wrong.name)
	l.add("        files: [%s]", t.wrong.file)
	l.add("        hint: %s", scalar(t.wrong.hint))
	l.add("        fails:")
	for _, f := range t.wrong.fails {
		l.add("          - %s", f)
	}
}

func (b *builder) check(l *lines, c check) {
	for _, text := range c.todo {
		l.todo("      ", text)
	}
	l.add("      - id: %s", c.id)
	l.add("        title: %s", scalar(c.title))
	if c.get != "" {
		probe := "get: " + scalar(c.get)
		if c.namespace != b.namespace {
			probe += ", namespace: " + scalar(c.namespace)
		}
		l.add("        probe: {kubectl: {%s}}", probe)
	} else {
		l.add("        from: %s", b.from(c.from))
		l.add("        to: %s", scalar(c.To))
		if p := probeText(c); p != "" {
			l.add("        probe: %s", p)
		}
	}
	if c.before != "" {
		l.add("        before: %s", c.before)
	}
	if c.after != "" {
		l.add("        after: %s", c.after)
	}
	if c.status != 0 {
		l.add("        status: %d", c.status)
	}
}

// from selects the pod that dials, by its label app where that is enough.
func (b *builder) from(p pod) string {
	labels := labelsOf(p.labels)
	var fields []string
	if p.namespace != b.namespace {
		fields = append(fields, "namespace: "+scalar(p.namespace))
	}
	rest := labels
	if app := labels["app"]; app != "" && b.alone(p.namespace, app) {
		fields = append(fields, "app: "+scalar(app))
		rest = nil
	}
	if len(rest) > 0 {
		var pairs []string
		for _, k := range sortedKeys(rest) {
			pairs = append(pairs, scalar(k)+": "+scalar(rest[k]))
		}
		fields = append(fields, "labels: {"+strings.Join(pairs, ", ")+"}")
	}
	if p.container != "" {
		fields = append(fields, "container: "+scalar(p.container))
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// alone says whether the label app selects the pods of one object only.
func (b *builder) alone(namespace, app string) bool {
	n := 0
	for _, d := range b.docs {
		if d.in() == namespace && podLabels(d)["app"] == app {
			n++
		}
	}
	return n == 1
}

// probeText is how a check is probed, in a line; "" for what needs no word.
func probeText(c check) string {
	switch p := c.probe().(type) {
	case checks.Curl:
		if p.Args == nil {
			return ""
		}
		return "{curl: " + scalars(p.Args) + "}"
	case checks.ICMP:
		return "{icmp: {}}"
	case checks.TCP:
		return "{tcp: {}}"
	case checks.UDP:
		return "{udp: {}}"
	}
	return "{command: " + scalars(c.Words) + "}"
}

// leastPairs is how many pairs a lab with points has at least.
const leastPairs = 4

// pairs writes what points are given for: an allow and a deny that share an end.
func pairs(l *lines, t task) {
	var all []string
	for _, allow := range t.checks {
		for _, deny := range t.checks {
			denied := deny.after == checks.ExpectDenied || deny.after == checks.ExpectDeniedL7
			if allow.get == "" && allow.after == checks.ExpectAllowed && denied && (allow.from == deny.from || allow.To == deny.To) {
				all = append(all, fmt.Sprintf("{allow: %s, deny: %s}", allow.id, deny.id))
			}
		}
	}
	comment := ""
	switch {
	case len(all) == 0:
		l.todo("    ", "no allow and deny of the pages share an end: nothing could be graded by points")
		return
	case len(all) < leastPairs:
		l.todo("    ", fmt.Sprintf("points say something from %d pairs on; the pages give these", leastPairs))
		comment = "# "
	}
	l.add("    %spairs:", comment)
	for _, p := range all {
		l.add("    %s  - %s", comment, p)
	}
}

// hints writes those that a solution gives away by itself.
func (b *builder) hints(l *lines, t task) {
	var allowed, denied []string
	for _, c := range t.checks {
		switch c.after {
		case checks.ExpectAllowed:
			allowed = append(allowed, c.podName()+" to "+c.To)
		case checks.ExpectDenied, checks.ExpectDeniedL7:
			denied = append(denied, c.podName()+" to "+c.To)
		}
	}
	question := "Which connections does the policy leave, and which does it end?"
	if len(denied) > 0 {
		question = "What tells apart what is to be denied (" + strings.Join(denied, ", ") + ")"
		if len(allowed) > 0 {
			question += " from what stays allowed (" + strings.Join(allowed, ", ") + ")"
		}
		question += "?"
	}
	var specs bytes.Buffer
	var fields []string
	for i, d := range t.docs {
		if i > 0 {
			specs.WriteString("---\n")
		}
		content := map[string]any{}
		for _, key := range []string{"spec", "specs"} {
			if v, ok := d.Object.Object[key]; ok {
				content[key] = v
				fields = fieldsOf(fields, key, v)
			}
		}
		specs.Write(encode(content))
	}
	l.add("    hints:")
	l.todo("      ", "ask what leads a learner to the concept, and say the concept in your words")
	l.add("      question: %s", scalar(printable.Line(question)))
	l.add("      concept: %s", scalar("Once a policy selects a pod for a direction, only what a rule of that direction allows is possible there."))
	l.add("      field: %s", scalar("The solution has "+strings.Join(fields, ", ")+"."))
	l.add("      diff: |")
	for line := range strings.Lines(specs.String()) {
		l.add("        %s", strings.TrimRight(line, "\n"))
	}
}

// fieldsOf adds the paths of an object's fields, as far as they are the API's and not
// labels.
func fieldsOf(to []string, at string, v any) []string {
	switch v := v.(type) {
	case map[string]any:
		if strings.HasSuffix(at, "matchLabels") || strings.HasSuffix(at, "matchExpressions") {
			break
		}
		for _, k := range sortedKeys(v) {
			to = fieldsOf(to, at+"."+k, v[k])
		}
		if len(v) > 0 {
			return to
		}
	case []any:
		for _, inner := range v {
			if _, ok := inner.(map[string]any); ok {
				to = fieldsOf(to, at, inner)
				continue
			}
			if !slices.Contains(to, at) {
				to = append(to, at)
			}
		}
		if len(v) > 0 {
			return to
		}
	}
	if !slices.Contains(to, at) {
		to = append(to, at)
	}
	return to
}
