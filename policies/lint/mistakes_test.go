package lint_test

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/policies/lint"
)

// mistake is a solution with one mistake in it.
type mistake struct {
	operator string
	what     string // from and to
	lab      string
	file     lint.File
	// first and last are the lines of which one has to be told.
	first, last int
}

func (m mistake) String() string {
	return fmt.Sprintf("%s: %s:%d: %s", m.operator, m.file.Name, m.first, m.what)
}

// maker makes the mistakes of one file.
type maker struct {
	rng   *rand.Rand
	lab   string
	file  lint.File
	lines []string
	// labels, spaces and ports are what the lab's workloads have: a typo that makes
	// another one of them makes a policy about something else, which is no mistake
	// that a file shows.
	labels map[string]map[string]bool
	spaces map[string]bool
	ports  map[int]bool
	// services are Services' ports that are not the pods', by the pods'; protocols is
	// the one protocol of each port.
	services, protocols map[string]string
	namespace           string // the lab's
	emptySpace          string // a namespace without pods
	populated           map[string]bool
	out                 []mistake
}

func (m *maker) add(operator, what string, first, last int, lines []string) {
	m.out = append(m.out, mistake{
		operator: operator, what: what, lab: m.lab, first: first, last: last,
		file: lint.File{Name: m.file.Name, Data: []byte(strings.Join(lines, "\n"))},
	})
}

// replace makes a mistake of one word for another at a node.
func (m *maker) replace(operator string, n *yaml.Node, from, to string, shift int) {
	i := n.Line - 1 + shift
	line := m.lines[i]
	at := strings.Index(line[n.Column-1:], from)
	if at < 0 || from == to {
		return
	}
	at += n.Column - 1
	lines := slices.Clone(m.lines)
	lines[i] = line[:at] + to + line[at+len(from):]
	m.add(operator, from+" becomes "+to, i+1, i+1, lines)
}

const letters = "abcdefghijklmnopqrstuvwxyz"

// typo drops, doubles, swaps or replaces one letter of a word.
func (m *maker) typo(word string) string {
	for range 20 {
		i := m.rng.IntN(len(word))
		var out string
		switch m.rng.IntN(4) {
		case 0:
			out = word[:i] + word[i+1:]
		case 1:
			out = word[:i] + word[i:i+1] + word[i:]
		case 2:
			if i == 0 {
				continue
			}
			out = word[:i-1] + word[i:i+1] + word[i-1:i] + word[i+1:]
		default:
			out = word[:i] + string(letters[m.rng.IntN(len(letters))]) + word[i+1:]
		}
		if out != word && out != "" && !strings.HasPrefix(out, "-") && !strings.HasSuffix(out, "-") {
			return out
		}
	}
	return word + "x"
}

// digits mistypes a number.
func (m *maker) digits(number string) string {
	for range 20 {
		i := m.rng.IntN(len(number))
		out := number[:i] + string("123456789"[m.rng.IntN(9)]) + number[i+1:]
		if m.rng.IntN(2) == 0 && i > 0 {
			out = number[:i-1] + number[i:i+1] + number[i-1:i] + number[i+1:]
		}
		if out != number && out[0] != '0' {
			return out
		}
	}
	return "1" + number
}

// make makes all mistakes of the file.
func (m *maker) make() []mistake {
	m.lines = strings.Split(string(m.file.Data), "\n")
	dec := yaml.NewDecoder(bytes.NewReader(m.file.Data))
	for {
		var doc yaml.Node
		if dec.Decode(&doc) != nil {
			break
		}
		last := lastLine(&doc)
		m.walk(doc.Content[0], nil, doc.Content[0])
		m.document(doc.Content[0], last)
		for line := doc.Content[0].Line; line <= last; line++ {
			m.indent(line)
		}
	}
	return m.out
}

func lastLine(n *yaml.Node) int {
	last := n.Line
	for _, c := range n.Content {
		last = max(last, lastLine(c))
	}
	return last
}

func child(n *yaml.Node, path ...string) *yaml.Node {
	for _, step := range path {
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		var found *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				found = n.Content[i+1]
			}
		}
		n = found
	}
	return n
}

// walk makes mistakes of words, wherever they stand.
func (m *maker) walk(n *yaml.Node, path []string, rule *yaml.Node) {
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if item.Kind == yaml.MappingNode && slices.Contains([]string{"ingress", "egress", "ingressDeny", "egressDeny"}, path[len(path)-1]) {
				rule = item
			}
			m.walk(item, append(slices.Clone(path), "-"), rule)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, v := n.Content[i], n.Content[i+1]
			at := append(slices.Clone(path), key.Value)
			if path != nil && path[len(path)-1] == "matchLabels" {
				m.label(key, v, slices.Contains(path, "namespaceSelector") || slices.Contains(path, "namespaces"))
				continue
			}
			m.replace("field", key, key.Value, m.typo(key.Value), 0)
			if upper := strings.ToUpper(key.Value[:1]) + key.Value[1:]; m.rng.IntN(4) == 0 {
				m.replace("case", key, key.Value, upper, 0)
			}
			m.walk(v, at, rule)
		}
	case yaml.ScalarNode:
		m.scalar(n, path, rule)
	}
}

// label makes mistakes of a label of a selector.
func (m *maker) label(key, v *yaml.Node, ofSpaces bool) {
	source, bare := "", key.Value
	if s, rest, ok := strings.Cut(key.Value, ":"); ok {
		source, bare = s+":", rest
	}
	if to := m.typo(bare); m.labels[to] == nil {
		m.replace("label key", key, key.Value, source+to, 0)
	}
	operator := "label value"
	isSpace := bare == "kubernetes.io/metadata.name" || bare == "io.kubernetes.pod.namespace"
	if isSpace {
		operator = "namespace"
	}
	to := m.typo(v.Value)
	if isSpace && m.spaces[to] || !isSpace && m.labels[bare[strings.LastIndex(bare, ".")+1:]][to] || !isSpace && m.labels[bare][to] {
		return
	}
	m.replace(operator, v, v.Value, to, 0)
}

func (m *maker) scalar(n *yaml.Node, path []string, rule *yaml.Node) {
	field := path[len(path)-1]
	if field == "-" {
		field = path[len(path)-2] + "[]"
	}
	switch field {
	case "namespace":
		if to := m.typo(n.Value); !m.spaces[to] {
			m.replace("namespace", n, n.Value, to, 0)
		}
	case "values[]":
		if to := m.typo(n.Value); !slices.ContainsFunc(slices.Collect(maps.Values(m.labels)), func(v map[string]bool) bool { return v[to] }) {
			m.replace("label value", n, n.Value, to, 0)
		}
	case "apiVersion":
		group, version, _ := strings.Cut(n.Value, "/")
		m.replace("apiVersion", n, n.Value, m.typo(group)+"/"+version, 0)
		m.replace("apiVersion", n, n.Value, group+"/v3", 0)
		m.replace("apiVersion", n, n.Value, version, 0)
	case "kind":
		m.replace("kind", n, n.Value, m.typo(n.Value), 0)
	case "operator", "tier", "action", "policyTypes[]", "fromEntities[]", "toEntities[]", "method":
		m.replace("word", n, n.Value, m.typo(n.Value), 0)
		if lower := strings.ToLower(n.Value); m.rng.IntN(2) == 0 {
			m.replace("case", n, n.Value, lower, 0)
		}
	case "protocol":
		m.replace("word", n, n.Value, m.typo(n.Value), 0)
		m.protocol(n, path, rule)
	case "port", "number", "endPort":
		m.port(n, path, rule)
	case "cidr", "except[]":
		address, _, _ := strings.Cut(n.Value, "/")
		m.replace("range", n, n.Value, address+"/40", 0)
		m.replace("range", n, n.Value, "1"+n.Value+"0", 0)
	}
}

// port makes mistakes of a port to pods.
func (m *maker) port(n *yaml.Node, path []string, rule *yaml.Node) {
	if n.Style == yaml.DoubleQuotedStyle {
		m.replace("quotes", n, `"`+n.Value+`"`, n.Value, 0)
	} else {
		m.replace("quotes", n, n.Value, `"`+n.Value+`"`, 0)
	}
	if slices.Contains(path, "egress") && !toPods(rule) {
		return // what listens outside no manifest tells
	}
	if service := m.services[n.Value]; service != "" {
		m.replace("Service's port", n, n.Value, service, 0)
	}
	to := m.digits(n.Value)
	number, _ := strconv.Atoi(to)
	entry := entryAt(rule, n)
	if end := child(entry, "endPort"); end != nil {
		first, _ := strconv.Atoi(child(entry, "port").Value)
		last, _ := strconv.Atoi(end.Value)
		if n == end {
			last = number
		} else {
			first = number
		}
		for p := range m.ports {
			if first <= p && p <= last {
				return // it holds what it is to
			}
		}
	}
	if !m.ports[number] {
		m.replace("port", n, n.Value, to, 0)
	}
}

// protocol writes UDP for TCP and the reverse, for a port that has the one alone.
func (m *maker) protocol(n *yaml.Node, path []string, rule *yaml.Node) {
	entry := entryAt(rule, n)
	port := child(entry, "port")
	if port == nil || child(entry, "endPort") != nil || port.Value == "53" || slices.Contains(path, "egress") && !toPods(rule) {
		return
	}
	other := map[string]string{"TCP": "UDP", "UDP": "TCP"}[n.Value]
	if other != "" && m.protocols[port.Value] == n.Value {
		m.replace("protocol", n, n.Value, other, 0)
	}
}

// entryAt is the mapping that holds a node.
func entryAt(root, n *yaml.Node) *yaml.Node {
	for _, c := range root.Content {
		if c == n {
			return root
		}
		if found := entryAt(c, n); found != nil {
			return found
		}
	}
	return nil
}

// toPods says whether a rule of egress is about pods alone.
func toPods(rule *yaml.Node) bool {
	if child(rule, "toEndpoints") != nil {
		return true
	}
	to := child(rule, "to")
	return to != nil && !slices.ContainsFunc(to.Content, func(peer *yaml.Node) bool {
		return child(peer, "podSelector") == nil
	})
}

// document makes mistakes of directions and of DNS.
func (m *maker) document(doc *yaml.Node, last int) {
	spec := child(doc, "spec")
	if ns := child(doc, "metadata", "namespace"); ns != nil {
		if ns.Value != m.namespace && !m.populated[m.namespace] {
			lines := slices.Delete(slices.Clone(m.lines), ns.Line-1, ns.Line)
			m.add("namespace left away", "namespace: "+ns.Value, doc.Line, last, lines)
		}
		for _, other := range []string{"default", m.emptySpace} {
			if other != ns.Value && other != "" && !m.populated[other] {
				m.replace("another namespace", ns, ns.Value, other, 0)
				m.out[len(m.out)-1].first, m.out[len(m.out)-1].last = doc.Line, last
			}
		}
	}
	for i := 0; i+1 < len(spec.Content); i += 2 {
		key, v := spec.Content[i], spec.Content[i+1]
		other := map[string]string{"ingress": "egress", "egress": "ingress", "ingressDeny": "egressDeny", "egressDeny": "ingressDeny"}[key.Value]
		if other == "" || len(v.Content) == 0 || len(v.Content[0].Content) == 0 {
			continue
		}
		m.replace("direction", key, key.Value, other, 0)
		m.out[len(m.out)-1].last = last // told at the rules, which are of the other direction
		m.rules(key, v)
		// A direction with rules that policyTypes does not name.
		types := child(spec, "policyTypes")
		if types == nil {
			continue
		}
		for _, item := range types.Content {
			if strings.EqualFold(item.Value, key.Value) {
				to := map[string]string{"Ingress": "Egress", "Egress": "Ingress"}[item.Value]
				m.replace("direction", item, item.Value, to, 0)
			}
		}
	}
}

func (m *maker) rules(section, list *yaml.Node) {
	for _, rule := range list.Content {
		for j := 0; j+1 < len(rule.Content); j += 2 {
			key := rule.Content[j]
			to := ""
			if bare, ok := strings.CutPrefix(key.Value, "from"); ok {
				to = "to" + bare
			} else if bare, ok := strings.CutPrefix(key.Value, "to"); ok && bare != "Ports" {
				to = "from" + bare
			}
			if to != "" {
				m.replace("direction", key, key.Value, to, 0)
			}
		}
		text := strings.Join(m.lines[rule.Line-1:lastLine(rule)], "\n")
		if !strings.Contains(text, "kube-dns") {
			continue
		}
		end := lastLine(rule)
		start := rule.Line
		if len(list.Content) == 1 {
			start = section.Line
		}
		lines := append(slices.Clone(m.lines[:start-1]), m.lines[end:]...)
		m.add("DNS", "the rule to kube-dns is removed", 1, len(lines), lines)
		for k := rule.Line; k <= end; k++ {
			line := m.lines[k-1]
			switch {
			case strings.TrimSpace(line) == "rules:" && strings.Contains(strings.Join(m.lines, "\n"), "toFQDNs"):
				lines := append(slices.Clone(m.lines[:k-1]), m.lines[end:]...)
				m.add("DNS", "rules.dns is removed", 1, len(lines), lines)
			case strings.Contains(line, "io.kubernetes.pod.namespace"):
				rest := strings.TrimLeft(line, " ")
				if strings.HasPrefix(rest, "- ") {
					continue
				}
				lines := slices.Delete(slices.Clone(m.lines), k-1, k)
				m.add("DNS", "the namespace of kube-dns is removed", k-1, k+1, lines)
			case strings.Contains(line, "namespaceSelector:"):
				lines := slices.Clone(m.lines)
				lines[k+2] = strings.Replace(lines[k+2], "podSelector", "- podSelector", 1)
				lines[k+2] = strings.Replace(lines[k+2], "  - podS", "- podS", 1)
				lines = slices.Delete(lines, k-1, k+2)
				m.add("DNS", "the namespace of kube-dns is removed", k-1, k+3, lines)
			}
		}
	}
}

// indent moves a line by one or two columns.
func (m *maker) indent(line int) {
	text := m.lines[line-1]
	if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "---") {
		return
	}
	by := []int{-2, -1, 1, 2}[m.rng.IntN(4)]
	moved := strings.Repeat(" ", max(by, 0)) + text
	if by < 0 {
		if !strings.HasPrefix(text, strings.Repeat(" ", -by)) {
			return
		}
		moved = text[-by:]
	}
	if item := strings.Index(text, "- "); item >= 0 && strings.TrimSpace(text[:item]) == "" {
		lines := slices.Clone(m.lines)
		lines[line-1] = text[:item] + "  " + text[item+2:]
		m.add("dash", fmt.Sprintf("%q without it", strings.TrimSpace(text)), max(1, line-1), line+1, lines)
	}
	lines := slices.Clone(m.lines)
	lines[line-1] = moved
	m.add("indentation", fmt.Sprintf("%q by %d", strings.TrimSpace(text), by), max(1, line-1), line+1, lines)
}

// sameObjects says whether two files hold the same objects.
func sameObjects(a, b []byte) bool {
	read := func(data []byte) []string {
		var out []string
		dec := yaml.NewDecoder(bytes.NewReader(data))
		for {
			var v map[string]any
			if err := dec.Decode(&v); err != nil {
				return append(out, cmp.Or(err.Error(), ""))
			}
			out = append(out, fmt.Sprintf("%#v", v))
		}
	}
	return slices.Equal(read(a), read(b))
}
