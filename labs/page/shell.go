package page

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// programs are what pages type. A line that begins with another word is not taken
// for a command unless its fence says that it is a shell's.
var programs = []string{
	"kubectl", "k", "curl", "wget", "echo", "cat", "helm", "cilium", "hubble", "export", "cd", "mkdir", "git", "docker",
	"kind", "minikube", "k3d", "k3s", "grep", "sed", "awk", "jq", "yq", "nc", "ncat", "ping", "dig", "nslookup", "host",
	"for", "while", "until", "if", "source", "alias", "ls", "watch", "sleep", "sudo", "apt", "apt-get", "apk", "brew", "vi",
	"vim", "nano", "cp", "mv", "rm", "tee", "head", "tail", "seq", "openssl", "ssh", "scp", "eksctl", "gcloud", "az",
	"aws", "openstack", "systemctl", "kubectx", "kubens", "calicoctl", "istioctl", "bash", "sh", "chmod", "tar", "unset", "kubeadm", "make",
	"telnet", "redis-cli", "netdojo", "popeye", "stern", "time", "timeout", "exit", "pwd", "env", "printf", "touch", "diff",
	"limactl", "wsl", "ssh-keygen",
}

// installs is why what installs programs is not run.
const installs = "it installs programs"

// opaque are programs that change the machine or make a cluster: netdojo has one.
var opaque = map[string]string{
	"vi": "an editor", "vim": "an editor", "nano": "an editor", "emacs": "an editor", "code": "an editor",
	"kind": "it makes a cluster, and there is one", "minikube": "it makes a cluster, and there is one",
	"k3d": "it makes a cluster, and there is one", "k3s": "it makes a cluster, and there is one",
	"kubeadm": "it makes a cluster, and there is one", "eksctl": "it makes a cluster, and there is one",
	"gcloud": "it works on a cloud", "az": "it works on a cloud", "openstack": "it works on a cloud", "aws": "it works on a cloud",
	"docker": "it works on the machine's containers", "podman": "it works on the machine's containers",
	"apt": installs, "apk": installs, "apt-get": installs, "brew": installs, "snap": installs,
	"yum": installs, "dnf": installs, "pip": installs, "npm": installs,
	"systemctl": "it works on the machine's services", "make": "it builds what no page brings", "limactl": "it makes a machine", "wsl": "it makes a machine",
	"ssh": "it leaves the machine", "scp": "it leaves the machine", "open": "it opens a browser", "xdg-open": "it opens a browser",
}

var assignment = regexp.MustCompile(`^[A-Za-z_]\w*\+?=`)

func firstWord(line string) string {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}

// knownProgram says whether a line begins as one that pages type.
func knownProgram(line string) bool {
	word := firstWord(line)
	return slices.Contains(programs, word) || assignment.MatchString(word) || strings.HasPrefix(word, "./")
}

// Prompts: "$ ", "user@host:~$ ", "/ # ", "root@pod:/# ", "% ", "> " is a continuation.
var prompts = regexp.MustCompile(`^\s*((?:[\w.-]+@[\w.-]+(?::\s*[~/][\w./~-]*)?\s?|\[(?:[\w.-]+@)?[\w.-]+ [\w./~-]+\]\s?|[~/][\w./~-]*\s|bash-[\d.]+|sh-[\d.]+)?[$#%❯➜])\s+(\S.*)$`)

// inPod are the prompts of shells in containers.
var inPod = regexp.MustCompile(`^(?:/[\w./-]* ?#|~ ?#|root@[\w.-]+:\s*/[\w./-]* ?#|bash-[\d.]+[$#]|sh-[\d.]+[$#]|/[\w./-]* ?\$)$`)

// cutPrompt splits a line into its prompt and what is typed after it. A lone "#" is
// a comment; see cutHashPrompt.
func cutPrompt(line string) (prompt, command string) {
	m := prompts.FindStringSubmatch(line)
	if m == nil || m[1] == "#" {
		return "", ""
	}
	return m[1], m[2]
}

// cutHashPrompt takes a lone "#" before a command for root's prompt.
func cutHashPrompt(line string) (prompt, command string) {
	m := prompts.FindStringSubmatch(line)
	if m == nil || m[1] != "#" || !slices.Contains(programs, firstWord(m[2])) || len(strings.Fields(m[2])) < 2 {
		return "", ""
	}
	return m[1], m[2]
}

// split makes commands of a step: a session with prompts, or lines of a script.
func split(s *Step) []Command {
	lines := strings.Split(strings.TrimRight(s.Text, "\n"), "\n")
	cut := cutPrompt
	prompted := slices.ContainsFunc(lines, func(l string) bool { p, _ := cutPrompt(l); return p != "" })
	if !prompted && !slices.ContainsFunc(lines, knownProgram) {
		cut = cutHashPrompt
		prompted = slices.ContainsFunc(lines, func(l string) bool { p, _ := cutHashPrompt(l); return p != "" })
	}
	if prompted {
		return session(s, lines, cut)
	}
	text, shown := s.Text, []string(nil)
	if at := slices.IndexFunc(lines, htmlLine.MatchString); at > 0 {
		text, shown = strings.Join(lines[:at], "\n"), lines[at:]
	}
	commands, why := script(text, s.Line)
	if why != "" {
		s.Why += "; " + why
	}
	if len(commands) > 0 && shown != nil {
		claimOutput(commands, shown, s.Line+len(lines)-len(shown))
	}
	return commands
}

// htmlLine begins a document that a page shows right below the command that gets it.
var htmlLine = regexp.MustCompile(`(?i)^<(?:!doctype\s|html\b)`)

// session reads prompts, what is typed after them, and what was shown.
func session(s *Step, lines []string, cut func(string) (string, string)) []Command {
	var all []Command
	shown := map[int][]string{} // by the command's place in all
	from := map[int]int{}
	for i := 0; i < len(lines); i++ {
		prompt, text := cut(lines[i])
		if prompt == "" {
			if len(all) == 0 && knownProgram(lines[i]) { // typed before the prompt that it opens
				all = append(all, Command{Line: s.Line + i, Text: strings.TrimSpace(lines[i])})
			} else if len(all) > 0 {
				at := len(all) - 1
				if len(shown[at]) == 0 {
					from[at] = s.Line + i
				}
				shown[at] = append(shown[at], lines[i])
			}
			continue
		}
		c := Command{Line: s.Line + i, Text: text}
		if inPod.MatchString(strings.TrimSpace(prompt)) {
			c.Where = strings.TrimSpace(prompt)
		}
		for i+1 < len(lines) && unfinished(c.Text) {
			i++
			c.Text += "\n" + strings.TrimPrefix(lines[i], "> ")
		}
		all = append(all, c)
	}
	for at := range all {
		claimOutput(all[at:at+1], shown[at], from[at])
	}
	return all
}

// unfinished says whether the shell would ask for more lines.
func unfinished(text string) bool {
	if strings.HasSuffix(text, "\\") {
		return true
	}
	_, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	return syntax.IsIncomplete(err) || err != nil && strings.Contains(err.Error(), "unclosed here-document")
}

// leftOpen is where a page leaves out what nobody can know.
const leftOpen = "…"

// toFillIn is what in a script keeps bash from parsing it as the reader will type it.
func toFillIn(text string) string {
	if all := blanks(text); len(all) > 0 && marked.MatchString(all[0].Text) {
		return all[0].Text
	}
	if strings.Contains(text, leftOpen) && !strings.Contains(text, "<<") {
		return leftOpen
	}
	return ""
}

// script cuts a script into commands: what bash reads in one go, lines that begin
// together as one.
func script(text string, line int) (commands []Command, why string) {
	if m := toFillIn(text); m != "" {
		return byLine(text, line), "it is cut by lines: " + m + " is to be filled in"
	}
	file, err := syntax.NewParser(syntax.KeepComments(true)).Parse(strings.NewReader(text), "")
	var parse syntax.ParseError
	if errors.As(err, &parse) && strings.Contains(parse.Text, "unclosed here-document") {
		return unclosed(text, line, int(parse.Pos.Line()))
	}
	if err != nil {
		return byLine(text, line), fmt.Sprintf("it is cut by lines: bash does not parse it (%v)", err)
	}
	for i, stmt := range file.Stmts {
		end := len(text)
		if i+1 < len(file.Stmts) {
			end = int(file.Stmts[i+1].Pos().Offset())
		}
		body := strings.TrimRight(text[stmt.Pos().Offset():end], " \t\n")
		at := line + int(stmt.Pos().Line()) - 1
		if n := len(commands); n > 0 && commands[n-1].Line == at {
			commands[n-1].Text += " " + body
			continue
		}
		commands = append(commands, Command{Line: at, Text: trimComments(body)})
	}
	return commands, ""
}

// unclosed makes one command of a here-document that has no end, and of what it swallows.
func unclosed(text string, line, at int) (commands []Command, why string) {
	lines := strings.SplitAfter(strings.TrimRight(text, "\n"), "\n")
	at = min(max(at, 1), len(lines))
	if at > 1 {
		commands, why = script(strings.Join(lines[:at-1], ""), line)
	}
	return append(commands, Command{
		Line: line + at - 1, Text: strings.Join(lines[at-1:], ""), Skip: "its here-document has no end: no line is its end word alone",
	}), why
}

// withoutDocuments is a command without the here-documents in it, which are not run.
func withoutDocuments(text string) string {
	if !strings.Contains(text, "<<") {
		return text
	}
	f, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return text
	}
	var b strings.Builder
	from := 0
	syntax.Walk(f, func(n syntax.Node) bool {
		if r, ok := n.(*syntax.Redirect); ok && r.Hdoc != nil {
			b.WriteString(text[from:max(from, int(r.Hdoc.Pos().Offset()))])
			from = max(from, int(r.Hdoc.End().Offset()))
		}
		return true
	})
	return b.String() + text[from:]
}

// trimComments takes away the comments after a command, which belong to the next.
func trimComments(body string) string {
	lines := strings.Split(body, "\n")
	if strings.Contains(body, "<<") {
		return body
	}
	for len(lines) > 1 {
		last := strings.TrimSpace(lines[len(lines)-1])
		if last != "" && !strings.HasPrefix(last, "#") {
			break
		}
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines, "\n")
}

func byLine(text string, line int) []Command {
	var commands []Command
	for i, l := range strings.Split(text, "\n") {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		if n := len(commands); n > 0 && strings.HasSuffix(commands[n-1].Text, "\\") {
			commands[n-1].Text += "\n" + l
			continue
		}
		commands = append(commands, Command{Line: line + i, Text: l})
	}
	return commands
}

var (
	kubectlWatch = regexp.MustCompile(`\b(?:kubectl|k)\b.*\s(?:-w|--watch)(?:=true)?(?:\s|$)`)
	follow       = regexp.MustCompile(`\b(?:kubectl|k)\s+(?:\S+\s+)*logs\b.*\s(?:-f|--follow)(?:\s|$)|\btail\b.*\s-f\b|\bhubble\s+observe\b.*\s(?:-f|--follow)(?:\s|$)|\bcilium(?:-dbg)?\s+monitor\b|\btcpdump\b(?:[^-]|-[^c])*$`)
	forward      = regexp.MustCompile(`\b(?:kubectl|k)\s+(?:-\S+\s+(?:[^-\s]\S*\s+)?)*?(?:port-forward|proxy)\b`)
	endlessLoop  = regexp.MustCompile(`\bwhile\s+(?:true|:|sleep\b)|\bfor\s*\(\(\s*;\s*;\s*\)\)|\buntil\s+false\b`)
	kubectlEdit  = regexp.MustCompile(`\b(?:kubectl|k)\s+(?:-\S+\s+(?:[^-\s]\S*\s+)?)*?edit\b`)
	remoteShell  = regexp.MustCompile(`\b(?:kubectl|k)\b.*\s(?:exec|run|debug|attach)\b.*\s(?:-\w*i\w*|--stdin)\b.*\s(?:/bin/)?(?:ba|a|z)?sh\s*$`)
	tooWide      = regexp.MustCompile(`\b(?:cilium)\s+(?:install|upgrade|uninstall|hubble enable|status|connectivity|clustermesh|version)\b|\bhelm\s+(?:repo|install|upgrade)\b.*\bcilium\b`)
	remoteFile   = regexp.MustCompile(`(?:-f|--filename)[= ]+["']?(https?://[^\s"']+)`)
	hubbleServes = regexp.MustCompile(`\bcilium\s+hubble\s+port-forward\b|\bport-forward\b.*\bhubble-relay\b`)
	hubbleRuns   = regexp.MustCompile(`^hubble\s+(?:status|list|config|watch)\b`)
	cloned       = regexp.MustCompile(`^git\s+(?:clone|pull|fetch)\b`)
	piped        = regexp.MustCompile(`\b(?:curl|wget)\b.*\|\s*(?:sudo\s+)?(?:ba)?sh\b`)
)

// judgeForm says what a command's form alone tells: that it is not run, or does not
// end by itself.
func (c *Command) judgeForm() {
	words := strings.Fields(c.Text)
	for len(words) > 1 && (words[0] == "sudo" || assignment.MatchString(words[0])) {
		words = words[1:]
	}
	first := ""
	if len(words) > 0 {
		first = words[0]
	}
	c.Blanks = blanks(c.Text)
	switch {
	case c.Skip != "":
	case c.Where != "":
		c.Skip = "no command opens the shell in a pod that it is typed into"
	case strings.Contains(c.Text, leftOpen) && !strings.Contains(c.Text, "<<"):
		c.Skip = leftOpen + " is to be filled in"
	case ownReason(words) != "":
		c.Skip = ownReason(words)
	case opaque[first] != "":
		c.Skip = opaque[first]
	case kubectlEdit.MatchString(c.Text):
		c.Skip = "it opens an editor"
	case remoteShell.MatchString(c.Text):
		c.Skip, c.Opens = "it opens a shell in a pod, and nothing is typed there", true
	case tooWide.MatchString(c.Text):
		c.Skip = "it installs or asks Cilium, which the cluster is made with"
	case hubbleServes.MatchString(c.Text):
		c.Skip = "the page's hubble finds its flows without it"
	case hubbleRuns.MatchString(strings.Join(words, " ")):
		c.Skip = "it asks how Hubble runs, which is netdojo's own here"
	case cloned.MatchString(c.Text):
		c.Skip = "it downloads, and a page's shell has no network"
	case piped.MatchString(c.Text):
		c.Skip = "it runs what it downloads"
	case remoteFile.MatchString(c.Text):
		c.Remote = remoteFile.FindStringSubmatch(c.Text)[1]
		c.Skip = "its file is elsewhere: " + c.Remote
	case strings.HasSuffix(strings.TrimSpace(c.Text), "&"):
	case first == "watch":
		c.Endless = "watch never ends"
	case kubectlWatch.MatchString(c.Text):
		c.Endless = "it watches"
	case follow.MatchString(c.Text):
		c.Endless = "it follows a log"
	case forward.MatchString(c.Text):
		c.Endless, c.Background = "it forwards until it is ended", true
	case endlessLoop.MatchString(withoutDocuments(c.Text)) && !strings.Contains(c.Text, "break"):
		c.Endless = "its loop never ends"
	}
}

// Have tells that the file at an address is in the work folder, by its path below the
// home: commands that apply it are run with that.
func (p *Page) Have(address, name string) {
	for i := range p.Steps {
		for j := range p.Steps[i].Commands {
			c := &p.Steps[i].Commands[j]
			if c.Remote == address && c.Skip != "" {
				c.Text = strings.ReplaceAll(c.Text, address, `"$HOME"/`+name)
				c.Skip = ""
				p.Notes = append(p.Notes, Note{Line: c.Line, Text: address + " is the file " + name + " beside the page or in its tree"})
			}
		}
	}
}

var callsKubectl = regexp.MustCompile(`\b(?:kubectl|k|helm|cilium|hubble)\s`)

// enterPods finds what is typed into the shells in pods that commands open: what has
// such a prompt, and what dials without one, until the reader is back.
func enterPods(p *Page) {
	var open *Command
	for i := range p.Steps {
		for j := range p.Steps[i].Commands {
			c := &p.Steps[i].Commands[j]
			switch {
			case c.Opens:
				open = c
			case open == nil, c.Skip == installs: // in the pod too, where what is installed is there or not
			case c.Where != "", connects.MatchString(c.Text+" ") && !callsKubectl.MatchString(c.Text), firstWord(c.Text) == "exit":
				if c.Where == "" {
					c.Where = InPod
				}
				c.Skip, c.Endless, c.Background, open.Skip = "", "", false, ""
				if firstWord(c.Text) == "exit" {
					open = nil
				}
			default:
				open = nil
			}
		}
	}
}

var (
	urlHost  = regexp.MustCompile(`https?://([A-Za-z0-9][A-Za-z0-9.-]*[A-Za-z0-9])`)
	bareName = regexp.MustCompile(`(?:^|\s)((?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,})(?::\d+|/\S*)?(?:\s|$)`)
)

// Hosts are the names outside of the cluster that the page's commands dial: what a
// simulated world has to serve.
func (p Page) Hosts() []string {
	var hosts []string
	add := func(name string) {
		name = strings.ToLower(name)
		last := name[strings.LastIndex(name, ".")+1:]
		if !strings.Contains(name, ".") || strings.HasSuffix(name, ".svc") || strings.HasSuffix(name, ".cluster.local") ||
			strings.Trim(last, "0123456789") == "" || slices.Contains([]string{"yaml", "yml", "json", "sh", "txt", "md", "io/v1", "local"}, last) {
			return
		}
		hosts = append(hosts, name)
	}
	for _, c := range p.Commands() {
		if c.Skip != "" && c.Where == "" {
			continue
		}
		for _, m := range urlHost.FindAllStringSubmatch(c.Text, -1) {
			add(m[1])
		}
		if connects.MatchString(c.Text) {
			for _, m := range bareName.FindAllStringSubmatch(c.Text, -1) {
				add(m[1])
			}
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
