package page

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// understand decides what each piece of code is, numbers the commands, and gives them
// their claims.
func understand(p *Page) {
	number := 0
	var last *Step // of commands
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Kind == Heading && p.Title == "" {
			p.Title = strings.TrimSpace(s.Text)
		}
		if name, ok := included(*s); ok {
			s.Kind, s.Name, s.Text, s.Why = File, name, "", "a shortcode shows this file"
			continue
		}
		if s.Kind != Sample {
			continue
		}
		why, listed := s.Why, false
		classify(s)
		if why != "" {
			s.Why = why + "; " + s.Why
		}
		if s.Kind == Run {
			if text, ok := withoutRemarks(s.Text); ok {
				whole := s.Text
				s.Text, listed = text, true
				s.Commands = split(s)
				s.Text = whole
				s.Why += "; what it says beside each is not typed"
			} else {
				s.Commands = split(s)
			}
			if last != nil && repeats(s, last) {
				s.Kind, s.Commands, s.Why = Output, nil, "it repeats the commands before it, with what they show"
			}
		}
		if s.Kind == Run {
			last = s
		}
		if s.Kind == File {
			s.Name = nameOf(p.Steps, i)
		}
		reason := reasonBefore(p.Steps, i)
		for j := range s.Commands {
			c := &s.Commands[j]
			c.flatten(s)
			number++
			c.Number = number
			if c.judgeForm(); reason != "" {
				c.Skip = reason
			}
			if m := inList.FindStringSubmatch(c.Text); listed && m != nil && c.Skip == "" {
				c.Skip = m[1] + " is to be filled in"
			}
		}
	}
	p.giveVariables()
	enterPods(p)
	openTerminals(p)
	nameFiles(p)
	pairOutputs(p)
	claimComments(p)
	claimProse(p)
}

// given are variables that material for readers of its other pages leaves to these.
var given = map[string]string{"CILIUM_NAMESPACE": "kube-system"}

// giveVariables finds variables that are known, and that no command of the page sets.
func (p *Page) giveVariables() {
	for name, value := range given {
		if !slices.ContainsFunc(p.Steps, func(s Step) bool { return strings.Contains(s.Text, name) }) {
			continue
		}
		use := regexp.MustCompile(`\$\{?` + name + `\b`)
		set := regexp.MustCompile(`(?m)(?:^|[\s;&|])` + name + `=`)
		line := 0
		for _, c := range p.Commands() {
			if set.MatchString(c.Text) {
				line = 0
				break
			}
			if line == 0 && use.MatchString(c.Text) {
				line = c.Line
			}
		}
		if line == 0 {
			continue
		}
		if p.Given == nil {
			p.Given = map[string]string{}
		}
		p.Given[name] = value
		p.Notes = append(p.Notes, Note{Line: line, Text: fmt.Sprintf("no command sets $%s: it is %s here", name, value)})
	}
}

// flatten gives what is of an included page the line of the directive.
func (c *Command) flatten(s *Step) {
	if !s.flat {
		return
	}
	c.Line = s.Line
	for i := range c.Claims {
		c.Claims[i].Line = s.Line
		for j := range c.Claims[i].Lines {
			c.Claims[i].Lines[j] = s.Line
		}
	}
}

// repeats says whether a fence's "#" lines are the commands of the one before: then
// they are headings of what these show.
func repeats(s, before *Step) bool {
	if !strings.HasPrefix(strings.TrimSpace(s.Text), "#") {
		return false
	}
	for _, c := range s.Commands {
		if !slices.ContainsFunc(before.Commands, func(b Command) bool { return b.Text == c.Text }) {
			return false
		}
	}
	return len(s.Commands) > 0
}

var (
	shellLangs  = []string{"bash", "sh", "shell", "zsh", "console", "terminal", "shell-session", "shellsession", "sh-session", "session", "cli", "cmd"}
	outputLangs = []string{"output", "text", "txt", "plaintext", "plain", "none", "log", "nohighlight", "no-highlight"}
	fileLangs   = []string{"yaml", "yml", "json", "toml"}
)

// classify says what a piece of code is: by its language, unless its content says
// otherwise.
func classify(s *Step) {
	looks, why := looksLike(s.Text)
	switch {
	case slices.Contains(fileLangs, s.Lang):
		if looks == Run {
			s.Kind, s.Why = Run, "labelled "+s.Lang+", but "+why
			return
		}
		s.fileOrSample("labelled " + s.Lang)
	case slices.Contains(shellLangs, s.Lang):
		first := ""
		if lines := nonEmpty(s.Text); len(lines) > 0 {
			first = lines[0]
		}
		switch {
		case looks == Output && (outcome.MatchString(first) || tableHead.MatchString(first) || flowLine.MatchString(first)):
			s.Kind, s.Why = Output, "labelled "+s.Lang+", but "+why
		case looks == File:
			s.fileOrSample("labelled " + s.Lang + ", but " + why)
		default:
			s.Kind, s.Why = Run, "labelled "+s.Lang
		}
	case s.Lang == "", slices.Contains(outputLangs, s.Lang):
		label := "no language"
		if s.Lang != "" {
			label = "labelled " + s.Lang
		}
		switch looks {
		case Run:
			s.Kind, s.Why = Run, label+", but "+why
		case File:
			s.fileOrSample(label + ", but " + why)
		default:
			s.Kind, s.Why = Output, label+", and "+why
		}
	default:
		s.Kind, s.Why = Sample, "labelled "+s.Lang+", which is neither a shell's nor a manifest's"
	}
}

// stored is what only the API server writes into an object.
var stored = regexp.MustCompile(`(?m)^ +(?:uid|resourceVersion|creationTimestamp): *["']?[0-9a-f]`)

// fileOrSample tells whole manifests from fragments, and from what kubectl get -o yaml
// shows.
func (s *Step) fileOrSample(why string) {
	if hasManifest(s.Text) && stored.MatchString(s.Text) {
		s.Kind, s.Why = Output, why+": a manifest as the cluster shows it"
		return
	}
	if s.Lang == "toml" || hasManifest(s.Text) {
		s.Kind, s.Why = File, why+": a whole manifest"
		return
	}
	s.Kind, s.Why = Sample, why+": a fragment, without apiVersion and kind"
}

var (
	apiVersion = regexp.MustCompile(`(?m)^(?:apiVersion:|\s*"apiVersion"\s*:)`)
	kindLine   = regexp.MustCompile(`(?m)^(?:kind:|\s*"kind"\s*:)`)
)

func hasManifest(text string) bool { return apiVersion.MatchString(text) && kindLine.MatchString(text) }

// looksLike guesses by content alone.
func looksLike(text string) (Kind, string) {
	lines := nonEmpty(text)
	if len(lines) == 0 {
		return Output, "it is empty"
	}
	if hasManifest(text) && apiVersion.MatchString(lines[0]+"\n") || strings.HasPrefix(lines[0], "apiVersion:") {
		return File, "it begins as a manifest"
	}
	for _, line := range lines {
		if prompt, command := cutPrompt(line); prompt != "" && knownProgram(command) {
			return Run, fmt.Sprintf("it has the prompt %q", strings.TrimSpace(prompt))
		}
	}
	if _, command := cutHashPrompt(lines[0]); command != "" && !slices.ContainsFunc(lines, knownProgram) {
		return Run, `it has the prompt "#"`
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if outcome.MatchString(line) || tableHead.MatchString(line) {
			return Output, fmt.Sprintf("%q is no command", shorten(line))
		}
		if knownProgram(line) {
			return Run, fmt.Sprintf("%s is a command", firstWord(line))
		}
		return Output, fmt.Sprintf("%q is no command", shorten(line))
	}
	return Output, "it has comments only"
}

// flowLine is a flow as hubble observe prints it.
var flowLine = regexp.MustCompile(`^[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d\.\d+: `)

// tableHead is the head of what kubectl get prints.
var tableHead = regexp.MustCompile(`^(?:NAME|NAMESPACE|LAST SEEN|CLASS|ENDPOINT)\s{2,}[A-Z]`)

// nameOf is the name that a file has by its fence, its first line, or the prose
// around it.
func nameOf(steps []Step, i int) string {
	s := &steps[i]
	if m := titled.FindStringSubmatch(s.info); m != nil {
		return say(s, m[1], "its fence")
	}
	if lines := nonEmpty(s.Text); len(lines) > 0 {
		if m := commentName.FindStringSubmatch(lines[0]); m != nil {
			return say(s, m[1], "its first line")
		}
	}
	for _, j := range []int{i - 1, i + 1} {
		if j < 0 || j >= len(steps) || steps[j].Kind != Prose {
			continue
		}
		names := fileName.FindAllStringSubmatch(steps[j].Text, -1)
		if len(names) == 0 {
			continue
		}
		name := names[len(names)-1][1]
		if j > i {
			name = names[0][1]
		}
		return say(s, name, "the prose on line "+fmt.Sprint(steps[j].Line))
	}
	return ""
}

func say(s *Step, name, by string) string {
	s.Why += fmt.Sprintf(", called %s by %s", name, by)
	return name
}

var (
	titled      = regexp.MustCompile(`(?:title|filename|file|name)\s*[=:]\s*["']?([\w./-]+\.(?:ya?ml|json|toml))`)
	commentName = regexp.MustCompile(`^(?:#|//)\s*(?:file(?:name)?:\s*)?([\w./-]+\.(?:ya?ml|json|toml))\s*$`)
	fileName    = regexp.MustCompile("[`*\"'(\\[ ]([\\w./-]+\\.(?:ya?ml|json|toml))[`*\"')\\] ,.:]")
	appliedFile = regexp.MustCompile(`(?:-f|--filename)[= ]([\w./-]+\.(?:ya?ml|json))\b`)
)

// nameFiles gives manifests without a name that of the file which a later command
// applies, where no other has it.
func nameFiles(p *Page) {
	has := map[string]bool{}
	for _, s := range p.Steps {
		if s.Kind == File && s.Name != "" {
			has[path.Base(s.Name)] = true
		}
	}
	last := -1
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Kind == File && s.Name == "" {
			last = i
		}
		for _, c := range s.Commands {
			for _, m := range appliedFile.FindAllStringSubmatch(c.Text, -1) {
				if base := path.Base(m[1]); last >= 0 && !has[base] {
					f := &p.Steps[last]
					f.Name, last, has[base] = m[1], -1, true
					f.Why += fmt.Sprintf(", called %s by the command on line %d", m[1], c.Line)
				}
			}
		}
	}
}

func nonEmpty(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// shorten makes one short line of a text.
func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 60 {
		text = string(r[:59]) + "…"
	}
	return text
}
