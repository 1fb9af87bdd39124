package imported

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Marks within the words of a command, of Unicode's private use, which no command has.
const (
	unknown = "\uE002" // stands for what is only known when the page is run
	podMark = "\uE003" // begins the name of a pod that is known by its labels: NAMESPACE/LABELS
)

// known says whether a word is known without running the page.
func known(words ...string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, unknown) || strings.Contains(w, podMark) })
}

// shell follows a bash without running it.
type shell struct {
	vars map[string]string
	// call is given each command with its words, whether "!" is before it, and what it
	// reads; pods and services answer what kubectl get prints, as far as files tell it.
	call func(words []string, negated bool, stdin string)
	get  func(words []string) string
	save func(name, text string)
	// beyond is given what is not followed: loops, conditions.
	beyond func(what string)
}

// run follows a script; false where bash would not parse it.
func (s *shell) run(text string) bool {
	f, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return false
	}
	for _, st := range f.Stmts {
		s.stmt(st, "")
	}
	return true
}

// stmt follows a statement, and gives what it prints, as far as a pipe needs it.
func (s *shell) stmt(st *syntax.Stmt, stdin string) string {
	target := ""
	for _, r := range st.Redirs {
		switch {
		case r.Hdoc != nil:
			stdin = s.document(r)
		case r.Op == syntax.WordHdoc:
			stdin = s.word(r.Word) + "\n"
		case r.Op == syntax.RdrOut || r.Op == syntax.AppOut:
			if r.N == nil || r.N.Value == "1" {
				target = s.word(r.Word)
			}
		}
	}
	out := ""
	switch c := st.Cmd.(type) {
	case *syntax.CallExpr:
		out = s.callExpr(c, st.Negated, stdin)
	case *syntax.BinaryCmd:
		if c.Op == syntax.Pipe || c.Op == syntax.PipeAll {
			out = s.stmt(c.Y, s.stmt(c.X, stdin))
			break
		}
		s.stmt(c.X, stdin)
		if c.Op == syntax.AndStmt || !escapes(c.Y) {
			out = s.stmt(c.Y, stdin)
		}
	case *syntax.DeclClause:
		for _, a := range c.Args {
			if a.Name != nil && a.Value != nil {
				s.vars[a.Name.Value] = s.word(a.Value)
			}
		}
	case *syntax.Subshell:
		for _, inner := range c.Stmts {
			out = s.stmt(inner, stdin)
		}
	case *syntax.Block:
		for _, inner := range c.Stmts {
			out = s.stmt(inner, stdin)
		}
	case *syntax.TimeClause:
		if c.Stmt != nil {
			out = s.stmt(c.Stmt, stdin)
		}
	case *syntax.IfClause:
		s.beyond("a condition")
	case *syntax.ForClause, *syntax.WhileClause:
		s.beyond("a loop")
	case nil:
	default:
		s.beyond("a construct of bash's")
	}
	if target != "" && known(target) && !strings.Contains(out, unknown) {
		s.save(target, out)
	}
	return out
}

// escapes says whether the other side of || only ends the script.
func escapes(st *syntax.Stmt) bool {
	c, ok := st.Cmd.(*syntax.CallExpr)
	return ok && len(c.Args) > 0 && slices.Contains([]string{"exit", "return", "true", ":", "echo"}, c.Args[0].Lit())
}

func (s *shell) callExpr(c *syntax.CallExpr, negated bool, stdin string) string {
	if len(c.Args) == 0 {
		for _, a := range c.Assigns {
			value := ""
			if a.Value != nil {
				value = s.word(a.Value)
			}
			s.vars[a.Name.Value] = value
		}
		return ""
	}
	var words []string
	for _, a := range c.Args {
		words = append(words, s.word(a))
	}
	for len(words) > 1 && words[0] == "sudo" {
		words = words[1:]
	}
	switch words[0] {
	case "cat":
		if len(words) == 1 || words[1] == "-" {
			return stdin
		}
	case "tee":
		if len(words) == 2 && known(words[1]) {
			s.save(words[1], stdin)
		}
		return stdin
	case "echo":
		return strings.Join(words[1:], " ") + "\n"
	}
	s.call(words, negated, stdin)
	return unknown
}

// word is what a word says: variables are put in, and what is only known when the page
// is run is marked.
func (s *shell) word(w *syntax.Word) string {
	var b strings.Builder
	if w != nil {
		s.parts(&b, w.Parts, false)
	}
	return b.String()
}

// document is what a here-document says: of one whose end is quoted nothing is put in.
func (s *shell) document(r *syntax.Redirect) string {
	var b strings.Builder
	for _, p := range r.Word.Parts {
		if _, plain := p.(*syntax.Lit); !plain {
			return r.Hdoc.Lit()
		}
	}
	s.parts(&b, r.Hdoc.Parts, true)
	return b.String()
}

func (s *shell) parts(b *strings.Builder, parts []syntax.WordPart, quoted bool) {
	for _, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(unescape(p.Value, quoted))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			s.parts(b, p.Parts, true)
		case *syntax.ParamExp:
			value, ok := s.vars[p.Param.Value]
			if !ok || p.Exp != nil || p.Slice != nil || p.Repl != nil || p.Length || p.Index != nil {
				value = unknown
			}
			b.WriteString(value)
		case *syntax.CmdSubst:
			b.WriteString(s.substitute(p))
		default:
			b.WriteString(unknown)
		}
	}
}

// unescape takes the backslashes of a literal away, as bash does.
func unescape(text string, quoted bool) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			switch next := text[i+1]; {
			case next == '\n':
				i++
				continue
			case !quoted || strings.IndexByte("$`\"\\", next) >= 0:
				i++
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// substitute is what $(kubectl get …) prints, where files tell it.
func (s *shell) substitute(c *syntax.CmdSubst) string {
	if len(c.Stmts) != 1 {
		return unknown
	}
	// What follows a pipe picks a word of what is found: head, awk, cut.
	st := c.Stmts[0]
	var filter []string
	for {
		pipe, ok := st.Cmd.(*syntax.BinaryCmd)
		if !ok || pipe.Op != syntax.Pipe {
			break
		}
		if last, ok := pipe.Y.Cmd.(*syntax.CallExpr); ok && len(last.Args) > 1 && last.Args[0].Lit() == "grep" {
			filter = append(filter, s.word(last.Args[len(last.Args)-1]))
		}
		st = pipe.X
	}
	call, ok := st.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return unknown
	}
	var words []string
	for _, a := range call.Args {
		words = append(words, s.word(a))
	}
	if len(filter) == 1 && known(filter...) {
		words = append(words, "-l", "app="+strings.TrimPrefix(filter[0], "^"))
	}
	if words[0] == "echo" {
		return strings.Join(words[1:], " ")
	}
	return s.get(words)
}

// kubectl is a command line of kubectl's.
type kubectl struct {
	verb  string
	args  []string            // without options
	flags map[string][]string // by the long name
	rest  []string            // after --, or after the pod of exec
}

// valuedFlags are options of kubectl that take the next word, by short and long name.
var valuedFlags = map[string]string{
	"-n": "--namespace", "-l": "--selector", "-f": "--filename", "-c": "--container", "-o": "--output", "-k": "--kustomize", "-p": "--patch",
	"--namespace": "--namespace", "--selector": "--selector", "--labels": "--labels", "--filename": "--filename", "--container": "--container",
	"--output": "--output", "--image": "--image", "--port": "--port", "--target-port": "--target-port", "--name": "--name", "--type": "--type",
	"--replicas": "--replicas", "--context": "--context", "--kubeconfig": "--kubeconfig", "--restart": "--restart", "--for": "--for",
	"--timeout": "--timeout", "--env": "--env", "--overrides": "--overrides", "--kustomize": "--kustomize", "--patch": "--patch",
	"--field-selector": "--field-selector", "--protocol": "--protocol", "--from-literal": "--from-literal", "--sort-by": "--sort-by",
	"--request-timeout": "--request-timeout", "--pod-running-timeout": "--pod-running-timeout",
}

// parseKubectl takes a command line apart; false where it is none of kubectl's.
func parseKubectl(words []string) (kubectl, bool) {
	if len(words) < 2 || words[0] != "kubectl" && words[0] != "k" {
		return kubectl{}, false
	}
	k := kubectl{flags: map[string][]string{}}
	dashes := slices.Contains(words, "--")
	for i := 1; i < len(words); i++ {
		w := words[i]
		name, value, joined := strings.Cut(w, "=")
		long := valuedFlags[name]
		switch {
		case w == "--":
			k.rest = words[i+1:]
			return k, true
		case k.verb == "exec" && len(k.args) == 1 && !dashes && !strings.HasPrefix(w, "-"):
			k.rest = words[i:]
			return k, true
		case w == "-" || !strings.HasPrefix(w, "-"):
			if k.verb == "" {
				k.verb = w
			} else {
				k.args = append(k.args, w)
			}
		case long != "" && joined:
			k.flags[long] = append(k.flags[long], value)
		case long != "" && i+1 < len(words):
			i++
			k.flags[long] = append(k.flags[long], words[i])
		case len(w) > 2 && w[1] != '-' && valuedFlags[w[:2]] != "":
			long = valuedFlags[w[:2]]
			k.flags[long] = append(k.flags[long], strings.TrimPrefix(w[2:], "="))
		default:
			k.flags[name] = append(k.flags[name], value)
		}
	}
	return k, true
}

func (k kubectl) flag(name string) string {
	if values := k.flags[name]; len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}
