package imported

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/policies"
)

// put adds to a file of the lab; true where it is a new one.
func (b *builder) put(name string, text []byte, between string) bool {
	for i := range b.files {
		if b.files[i].Name == name {
			b.files[i].Data = append(append(b.files[i].Data, between...), text...)
			return false
		}
	}
	b.files = append(b.files, File{name, slices.Clone(text)})
	return true
}

// objects writes what is applied: namespaces first, workloads, and each task's solution.
func (b *builder) objects() {
	b.namespaces()
	for _, d := range b.docs {
		if !d.policy() {
			name := path.Join("manifests", fileOf(d))
			if b.put(name, b.text(d), "---\n") {
				b.workloads = append(b.workloads, name)
			}
		}
	}
	taken := map[string]int{} // the task of a solution's file
	for i := range b.tasks {
		t := &b.tasks[i]
		for _, d := range t.docs {
			base := fileOf(d)
			if other, ok := taken[base]; ok && other != t.phase {
				base = fmt.Sprintf("%d-%s", t.phase, base)
			}
			taken[base] = t.phase
			name := path.Join("solution", base)
			if b.put(name, b.text(d), "---\n") {
				t.solution = append(t.solution, name)
			}
		}
	}
}

// namespaces adds those that the pages use and do not make, and moves all of them to the
// front.
func (b *builder) namespaces() {
	used := map[string]bool{b.namespace: true}
	for _, d := range b.docs {
		used[d.in()] = true
	}
	for _, o := range b.seen {
		used[o.from.namespace] = true
	}
	for _, ns := range sortedKeys(used) {
		made := slices.ContainsFunc(b.docs, func(d document) bool { return d.GetKind() == "Namespace" && d.GetName() == ns })
		if ns != "" && ns != "default" && !strings.HasPrefix(ns, "kube-") && !made {
			b.apply("namespaces.yaml", []byte(fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n", quoted(ns))), "")
		}
	}
	slices.SortStableFunc(b.docs, func(x, y document) int {
		order := func(d document) int {
			if d.GetKind() == "Namespace" {
				return 0
			}
			return 1
		}
		return order(x) - order(y)
	})
}

// fileOf is what the file of an object is called in the lab.
func fileOf(d document) string {
	base := path.Base(d.file)
	if d.file == "" || base == "." || base == "/" {
		base = d.GetName()
	}
	base = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(base, ".json"), ".yml"), ".yaml")
	return slug(base) + ".yaml"
}

// text is the object as the lab has it: with the namespace that kubectl was told, where
// that is not the lab's.
func (b *builder) text(d document) []byte {
	text := normalize(d.text)
	var doc yaml.Node
	json := bytes.HasPrefix(bytes.TrimSpace(text), []byte("{"))
	moved := d.in() != "" && d.GetNamespace() == "" && d.namespace != b.namespace
	if (json || moved) && yaml.Unmarshal(text, &doc) == nil && len(doc.Content) == 1 {
		if moved {
			setNamespace(doc.Content[0], d.namespace)
		}
		if json {
			blockStyle(&doc)
		}
		text = encode(&doc)
	}
	if d.todo != "" {
		text = append([]byte("# "+Unfinished+d.todo+"\n"), text...)
	}
	return text
}

func setNamespace(root *yaml.Node, namespace string) {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if meta := root.Content[i+1]; root.Content[i].Value == "metadata" && meta.Kind == yaml.MappingNode {
			meta.Content = append(meta.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "namespace"}, &yaml.Node{Kind: yaml.ScalarNode, Value: namespace})
		}
	}
}

// blockStyle makes of JSON what is read as YAML.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// pages writes the text that each task shows: the pages, cut at the heading above a
// task's first policy where there is one.
func (b *builder) pages() {
	starts := make([]cut, len(b.tasks))
	for i := 1; i < len(b.tasks); i++ {
		starts[i] = b.cutOf(b.tasks[i])
	}
	for i := range b.tasks {
		t := &b.tasks[i]
		if i > 0 && starts[i] == (cut{}) {
			t.page = b.tasks[i-1].page
			starts[i] = starts[i-1]
			continue
		}
		end := cut{page: len(b.source.Pages)}
		for _, s := range starts[i+1:] {
			if s != (cut{}) {
				end = s
				break
			}
		}
		t.page = "page.md"
		if len(b.tasks) > 1 {
			t.page = fmt.Sprintf("page-%d.md", t.phase)
		}
		b.put(t.page, b.between(starts[i], end), "")
	}
}

// cut is where one task's text ends and the next one's begins: before a step of a page.
// The zero value is the beginning.
type cut struct{ page, step int }

// cutOf is the last heading above a task's first policy that is below what is promised
// before; the zero value where there is none.
func (b *builder) cutOf(t task) cut {
	if len(t.docs) == 0 {
		return cut{}
	}
	from, found := t.docs[0].at, cut{}
	for _, o := range b.seen {
		if o.phase >= t.phase || o.at.page > from.page {
			continue
		}
		if o.at.page == from.page && o.at.line >= from.line {
			return cut{}
		}
	}
	lastSeen := place{}
	for _, o := range b.seen {
		if o.phase < t.phase && (o.at.page > lastSeen.page || o.at.page == lastSeen.page && o.at.line > lastSeen.line) {
			lastSeen = o.at
		}
	}
	for p := lastSeen.page; p <= from.page; p++ {
		for i, st := range b.source.Pages[p].Steps {
			after := p > lastSeen.page || st.Line > lastSeen.line
			before := p < from.page || st.Line <= from.line
			if st.Kind == page.Heading && after && before || p > lastSeen.page && p <= from.page && i == 0 {
				found = cut{p, i}
			}
		}
	}
	return found
}

// between is the text of the pages between two cuts.
func (b *builder) between(from, to cut) []byte {
	var out []byte
	for p := from.page; p <= to.page && p < len(b.source.Pages); p++ {
		first, last := 0, len(b.source.Pages[p].Steps)
		if p == from.page {
			first = from.step
		}
		if p == to.page {
			last = to.step
		}
		if p == to.page && last == 0 {
			break
		}
		if len(out) > 0 {
			out = append(out, '\n')
		}
		out = append(out, b.source.Pages[p].part(first, last)...)
	}
	return out
}

// part is the text of some of a page's steps, as Markdown.
func (p Page) part(first, last int) []byte {
	if p.Dialect == page.RST {
		return markdown(p.Steps[first:last])
	}
	text := normalize(p.Text)
	if first == 0 && last == len(p.Steps) {
		return text
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	from, to := 0, len(lines)
	if first > 0 {
		from = p.Steps[first].Line - 1
	}
	if last < len(p.Steps) {
		to = p.Steps[last].Line - 1
	}
	return bytes.Join(lines[min(from, to):to], nil)
}

// markdown writes steps as Markdown, for pages that are written in another language.
func markdown(steps []page.Step) []byte {
	var b bytes.Buffer
	for i, st := range steps {
		if i > 0 {
			b.WriteByte('\n')
		}
		switch st.Kind {
		case page.Heading:
			fmt.Fprintf(&b, "## %s\n", strings.TrimSpace(st.Text))
		case page.Prose:
			fmt.Fprintf(&b, "%s\n", strings.TrimSpace(unindent(st.Text)))
		case page.Hidden:
		default:
			fence, lang := "```", ""
			for strings.Contains(st.Text, fence) {
				fence += "`"
			}
			switch st.Kind {
			case page.Run:
				lang = "bash"
			case page.File:
				lang = "yaml"
			}
			fmt.Fprintf(&b, "%s%s\n%s\n%s\n", fence, lang, strings.TrimRight(st.Text, "\n"), fence)
		}
	}
	return b.Bytes()
}

func unindent(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

// wrong is a wrong answer that a lab can be made with.
type wrong struct {
	name, hint, file string
	fails            []string // lines of lab.yaml
}

// answers makes a task's wrong answer: the solution for pods that are nobody's, or,
// where that changes no check, a policy that lets nothing leave the pods that dial.
func (b *builder) answers(t *task) {
	none := ""
	if t.phase == 1 {
		none = ", by: none"
	}
	for _, c := range t.checks {
		if c.get == "" && c.before != "" && c.after != "" && c.before != c.after {
			t.wrong.fails = append(t.wrong.fails, fmt.Sprintf("{check: %s, verdict: %s%s}", c.id, c.before, none))
		}
	}
	if len(t.wrong.fails) > 0 {
		t.wrong.name, t.wrong.hint = "nobodys-pods", "Nothing changed: the policy selects pods with a label that none has."
		t.wrong.file = path.Join("wrong", t.wrong.name, fmt.Sprintf("task-%d.yaml", t.phase))
		var texts [][]byte
		for _, d := range t.docs {
			texts = append(texts, b.nobodys(d, t.phase))
		}
		b.put(t.wrong.file, bytes.Join(texts, []byte("---\n")), "---\n")
		return
	}
	t.wrong.name, t.wrong.hint = "nothing-leaves", "Nothing leaves the pods any more, not even what has to: a rule of egressDeny goes before all that allow."
	t.wrong.file = path.Join("wrong", t.wrong.name, fmt.Sprintf("task-%d.yaml", t.phase))
	told := map[string]bool{}
	for _, c := range t.checks {
		switch {
		case c.get != "":
			if c.before == checks.ExpectUnmet && c.after == checks.ExpectMet {
				t.wrong.fails = append(t.wrong.fails, fmt.Sprintf("{check: %s, verdict: unmet}", c.id))
			}
			continue
		case c.after != checks.ExpectAllowed:
			continue
		}
		verdict := "{check: %s, verdict: broken, cause: dns-failure, by: policy}"
		if d, err := checks.ParseDestination(c.To); err == nil && d.IsIP() {
			verdict = "{check: %s, verdict: denied}"
		}
		t.wrong.fails = append(t.wrong.fails, fmt.Sprintf(verdict, c.id))
		if told[c.from.String()] {
			continue
		}
		told[c.from.String()] = true
		text := fmt.Sprintf("apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata:\n  name: nothing-leaves-%d\n  namespace: %s\nspec:\n  endpointSelector:\n    matchLabels:%s\n  egressDeny:\n    - toEntities: [all]\n",
			len(told), quoted(c.from.namespace), labelLines(labelsOf(c.from.labels), "      "))
		b.put(t.wrong.file, []byte(text), "---\n")
	}
	if len(told) == 0 { // a task about objects alone
		var texts [][]byte
		for _, d := range t.docs {
			o := d.DeepCopy()
			o.SetName(o.GetName() + "-elsewhere")
			texts = append(texts, encode(o.Object))
		}
		t.wrong.name, t.wrong.hint = "another-name", "The policy has another name than the page's."
		t.wrong.file = path.Join("wrong", t.wrong.name, fmt.Sprintf("task-%d.yaml", t.phase))
		b.put(t.wrong.file, bytes.Join(texts, []byte("---\n")), "---\n")
	}
}

// nobodys is a policy that selects no pod. One that an earlier task has made stays as it
// is, so that the wrong answer changes nothing.
func (b *builder) nobodys(d document, phase int) []byte {
	o := d.DeepCopy()
	if slices.ContainsFunc(b.docs, func(e document) bool { return e.ref() == d.ref() && e.phase < phase }) {
		o.SetName(o.GetName() + "-elsewhere")
	}
	if d.in() != "" && d.in() != b.namespace {
		o.SetNamespace(d.in())
	}
	nobody := map[string]any{"matchLabels": map[string]any{"app": "nobody"}}
	specs := []any{o.Object["spec"]}
	if many, ok := o.Object["specs"].([]any); ok {
		specs = append(specs, many...)
	}
	for _, s := range specs {
		spec, ok := s.(map[string]any)
		if !ok {
			continue
		}
		switch o.GetKind() {
		case policies.NetworkPolicy:
			spec["podSelector"] = nobody
		case policies.ClusterNetworkPolicy:
			spec["subject"] = map[string]any{"pods": map[string]any{"namespaceSelector": map[string]any{}, "podSelector": nobody}}
		default:
			delete(spec, "nodeSelector")
			spec["endpointSelector"] = nobody
		}
	}
	return encode(o.Object)
}
