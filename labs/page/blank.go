package page

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Blank is what a command leaves to its reader to fill in, as <pod-name> or POD_NAME.
type Blank struct {
	Text string `json:"text"` // as the page writes it
	// Of is what it wants, BlankOther where that is not known; Address tells that it wants
	// that object's address, and not its name.
	Of      BlankOf `json:"of,omitempty"`
	Address bool    `json:"address,omitempty"`
	// Hints are its other words, in lower case: frontend of <frontend-pod>.
	Hints []string `json:"hints,omitempty"`
}

// BlankOf is what a blank wants.
type BlankOf string

// What blanks want.
const (
	BlankOther      BlankOf = ""
	BlankPod        BlankOf = "pod"
	BlankService    BlankOf = "service"
	BlankNode       BlankOf = "node"
	BlankNamespace  BlankOf = "namespace"
	BlankDeployment BlankOf = "deployment"
)

// String says what is to be filled in.
func (b Blank) String() string {
	switch {
	case b.Of == BlankOther:
		return b.Text
	case b.Address:
		return b.Text + ", a " + string(b.Of) + "'s address"
	}
	return b.Text + ", a " + string(b.Of) + "'s name"
}

var (
	// marked are blanks that cannot be anything else.
	marked = regexp.MustCompile(`<[A-Za-z][\w .-]*>|\[[A-Z][A-Z_-]{3,}\]|\{[A-Z][A-Z_-]{3,}\}|\bYOUR[_-][A-Z_-]+\b`)
	// capitals are words that may be blanks: all in capitals, with parts.
	capitals = regexp.MustCompile(`\b[A-Z][A-Z0-9]*(?:[_-][A-Z0-9]+)*\b`)
	// element is a tag of HTML that a page looks for in an answer.
	element   = regexp.MustCompile(`(?i)^<(?:html|head|title|body|h[1-6]|p|br|div|span|a|pre|em|hr|ul|li|table|script|meta)>$`)
	wordEnds  = regexp.MustCompile(`[^A-Za-z0-9]+`)
	camelCase = regexp.MustCompile(`([a-z0-9])([A-Z])`)
)

// blankNouns are the words that say what a blank wants.
var blankNouns = map[string]BlankOf{
	"pod": BlankPod, "podname": BlankPod, "podip": BlankPod, "pods": BlankPod,
	"service": BlankService, "svc": BlankService, "servicename": BlankService, "serviceip": BlankService, "clusterip": BlankService,
	"node": BlankNode, "nodename": BlankNode, "nodeip": BlankNode,
	"namespace": BlankNamespace, "ns": BlankNamespace,
	"deployment": BlankDeployment, "deploy": BlankDeployment,
}

// blankFillers are words of a blank that say nothing.
var blankFillers = []string{"your", "my", "the", "a", "an", "of", "some", "name", "actual", "replace", "with", "full", "here", "id", "internal", "ip", "address", "addr"}

// blankOf reads a blank's words. Before is what stands before it in its command.
func blankOf(text, before string) Blank {
	b := Blank{Text: text}
	ofCluster := false
	for _, word := range wordEnds.Split(strings.ToLower(camelCase.ReplaceAllString(text, "$1-$2")), -1) {
		of, noun := blankNouns[word]
		switch {
		case noun && (b.Of == BlankOther || b.Of == BlankNamespace):
			b.Of = of
		case word == "cluster":
			ofCluster = true
		case noun, word == "", slices.Contains(blankFillers, word):
		default:
			b.Hints = append(b.Hints, word)
		}
		b.Address = b.Address || slices.Contains([]string{"ip", "podip", "serviceip", "clusterip", "nodeip", "address", "addr"}, word)
	}
	switch {
	case b.Of == BlankOther && b.Address && ofCluster:
		b.Of = BlankService
	case b.Of == BlankOther && !b.Address:
		b.Of = blankPlace(before)
	}
	return b
}

var (
	inNamespace = regexp.MustCompile(`(?:\s-n|\s--namespace)[= ]?$`)
	ofKind      = regexp.MustCompile(`\b(?:(pods?|po)|(svc|services?)|(nodes?|no)|(ns|namespaces?)|(deploy|deployments?)(?:\.apps)?)[ /]$`)
	ofPod       = regexp.MustCompile(`\b(?:kubectl|k)\s(?:.*\s)?(?:exec|logs|attach|port-forward|debug)\s(?:\s*-[a-z]+\s)*$`)
)

// blankPlace is what a command wants at a place.
func blankPlace(before string) BlankOf {
	if inNamespace.MatchString(before) {
		return BlankNamespace
	}
	if m := ofKind.FindStringSubmatch(before); m != nil {
		kinds := []BlankOf{BlankPod, BlankService, BlankNode, BlankNamespace, BlankDeployment}
		return kinds[slices.IndexFunc(m[1:], func(s string) bool { return s != "" })]
	}
	if ofPod.MatchString(before) {
		return BlankPod
	}
	return BlankOther
}

// blanks finds what a command leaves to its reader.
func blanks(text string) []Blank {
	if strings.Contains(text, "<<") {
		return nil // what looks like one may be the document's
	}
	var all []Blank
	add := func(word string, at int) {
		if !slices.ContainsFunc(all, func(b Blank) bool { return b.Text == word }) {
			all = append(all, blankOf(word, text[:at]))
		}
	}
	rest := []byte(text) // with a plain word for each that is marked, which bash may not parse
	for _, m := range marked.FindAllStringIndex(text, -1) {
		braces := text[m[0]] == '{' && m[0] > 0 && text[m[0]-1] == '$'
		if word := text[m[0]:m[1]]; !braces && !element.MatchString(word) {
			add(word, m[0])
			copy(rest[m[0]:], strings.Repeat("x", m[1]-m[0]))
		}
	}
	f, err := syntax.NewParser().Parse(bytes.NewReader(rest), "")
	if err != nil {
		return all
	}
	syntax.Walk(f, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || len(call.Args) < 2 || !takesBlanks(literal(call.Args[0])) {
			return true
		}
		for _, arg := range call.Args[1:] {
			for _, part := range arg.Parts {
				lit, ok := part.(*syntax.Lit)
				if !ok {
					continue
				}
				from := int(lit.Pos().Offset())
				for _, m := range capitals.FindAllStringIndex(lit.Value, -1) {
					if wanted(lit.Value, m[0], m[1]) && from+m[1] <= len(text) && text[from+m[0]:from+m[1]] == lit.Value[m[0]:m[1]] {
						add(lit.Value[m[0]:m[1]], from+m[0])
					}
				}
			}
		}
		return true
	})
	return all
}

// takesBlanks says whether words in capitals among a program's arguments may be blanks:
// others search, print or set what is so called.
func takesBlanks(program string) bool {
	return slices.Contains([]string{"kubectl", "k", "curl", "wget", "nc", "ncat", "ping", "nslookup", "dig", "telnet", "hubble", "cilium"}, base(program))
}

// wanted says whether a word in capitals of an argument is a blank: one of its parts is
// an object's kind, and it is no name of a variable or a column that the argument sets.
func wanted(arg string, from, to int) bool {
	if to < len(arg) && (arg[to] == '=' || strings.HasPrefix(arg[to:], ":.") || strings.HasPrefix(arg[to:], ":{")) {
		return false
	}
	return blankOf(arg[from:to], "").Of != BlankOther
}

// Fill puts a value for a blank of its text.
func (c *Command) Fill(blank, value string) {
	var b strings.Builder
	for rest := c.Text; ; {
		i := strings.Index(rest, blank)
		if i < 0 {
			c.Text = b.String() + rest
			break
		}
		b.WriteString(rest[:i])
		end := i + len(blank)
		inWord := isWordByte(blank[0]) && (i > 0 && isWordByte(rest[i-1]) || end < len(rest) && isWordByte(rest[end]))
		if inWord {
			b.WriteString(blank)
		} else {
			b.WriteString(value)
		}
		rest = rest[end:]
	}
	c.Blanks = slices.DeleteFunc(slices.Clone(c.Blanks), func(b Blank) bool { return b.Text == blank })
}

func isWordByte(c byte) bool {
	return c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// BlankKey is a blank without what only marks it: <pod-name> and POD_NAME have the same.
func BlankKey(text string) string {
	words := wordEnds.Split(camelCase.ReplaceAllString(text, "$1-$2"), -1)
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	return strings.ToUpper(strings.Join(words, "_"))
}
