package page

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// noClaim begins why an output promises nothing.
const noClaim = "no claim: "

var (
	// connects are commands that try a connection from a pod, or from the reader's shell.
	connects = regexp.MustCompile(`(?:^|[\s;|&('"])(?:/usr/bin/|/bin/)?(?:curl|wget|nc|ncat|netcat|ping|nslookup|dig|telnet|traceroute|redis-cli)\s`)
	// outcome is a line by which such a command's end is told.
	outcome    = regexp.MustCompile(`^(?:HTTP/[\d.]+ \d{3}|curl: \(\d+\)|wget: |command terminated with (?:non-zero )?exit code|\* connect to |nc: )`)
	httpStatus = regexp.MustCompile(`^(?:<\s*)?HTTP/[\d.]+ (\d{3})`)
	curlExit   = regexp.MustCompile(`curl: \((\d+)\)`)
	termExit   = regexp.MustCompile(`command terminated with (?:non-zero )?exit code:?\s*(?:Error executing in Docker Container:\s*)?(\d+)`)
	timeWords  = regexp.MustCompile(`(?i)timed?[ -]?out`)
	headerLine = regexp.MustCompile(`^(?:<\s*)?[A-Za-z][A-Za-z0-9-]*: \S`)
	meterLine  = regexp.MustCompile(`^\s*(?:% Total|Dload|--:--:--|\d+\s+\d+\s+\d+\s|\d+ +0 )`)
	silent     = regexp.MustCompile(`^(?:[A-Za-z_]\w*=|export\s|cd\s|source\s|alias\s|unset\s|sleep\s|mkdir\s|set\s)`)
	comment    = regexp.MustCompile(`^#+\s+(.*)$`)
	failure    = regexp.MustCompile(`^(?:error:|Error from server|Error:|The connection to the server|command terminated with)`)
)

// elsewhere is prose about another window than the commands': what follows it is shown
// there, by what runs there beside them.
var elsewhere = regexp.MustCompile(`(?i)\b(?:back (?:at|in|to|on)|other|another|first|second|original|monitor\S*|previous)\s(?:\S+\s){0,3}?(?:windows?|terminals?|tabs?|consoles?)\b`)

// onlyAnd is prose that joins two blocks of commands.
var onlyAnd = regexp.MustCompile(`(?i)^\s*(?:and|and then|then|or|as well as)[:,.]?\s*$`)

// pairOutputs gives each output to the commands before it.
func pairOutputs(p *Page) {
	last := -1           // the step of the commands that wait for an output
	joined := -1         // the step before it, where "and" is all that stands between them
	var beside []Command // the last command that runs beside others, where the output is its
	there := false       // the prose is about its window
	for i := range p.Steps {
		s := &p.Steps[i]
		switch s.Kind {
		case Run:
			if joined = -1; last >= 0 && last == i-2 && onlyAnd.MatchString(p.Steps[i-1].Text) {
				joined = last
			}
			last, there = i, false
			for j := range s.Commands {
				// What serves others shows nothing that a page speaks of, if another is there.
				if c := &s.Commands[j]; c.Background && (beside == nil || !c.Serves()) {
					beside = s.Commands[j : j+1]
				}
			}
		case Heading, File, Sample:
			last = -1
		case Prose:
			switch back := beside != nil && beside[0].sent && own.MatchString(s.Text); {
			case back:
				there = false
			case elsewhere.MatchString(s.Text):
				last, there = -1, true
			}
		case Output:
			if there && beside != nil {
				s.claimBeside(&beside[0])
				continue
			}
			if last < 0 {
				s.Why = noClaim + "no command stands before it (" + s.Why + ")"
				continue
			}
			var of []Command
			if joined >= 0 {
				of = slices.Clone(p.Steps[joined].Commands)
			}
			of = append(of, p.Steps[last].Commands...)
			why := claimOutput(of, strings.Split(strings.TrimRight(s.Text, "\n"), "\n"), s.Line)
			if joined >= 0 {
				n := copy(p.Steps[joined].Commands, of)
				of = of[n:]
			}
			copy(p.Steps[last].Commands, of)
			if why != "" {
				s.Why = noClaim + why + " (" + s.Why + ")"
			} else {
				s.Why += fmt.Sprintf("; what the commands on line %d show", p.Steps[last].Line)
			}
			last = -1
		}
	}
}

// claimBeside makes a claim of what is shown in another window.
func (s *Step) claimBeside(c *Command) {
	claim := shows(strings.Split(strings.TrimRight(s.Text, "\n"), "\n"), s.Line)
	if claim == nil {
		s.Why = noClaim + "nothing in it can be compared (" + s.Why + ")"
		return
	}
	c.Claims = append(c.Claims, *claim)
	s.Why += fmt.Sprintf("; what the command on line %d shows beside the others", c.Line)
}

// claimOutput makes claims of what commands are said to show. It says why there are
// none.
func claimOutput(commands []Command, lines []string, at int) (why string) {
	if len(strings.TrimSpace(strings.Join(lines, ""))) == 0 {
		return "it is empty"
	}
	var showing []int
	for i, c := range commands {
		if !silent.MatchString(c.Text) || strings.Contains(c.Text, "\n") && !assignment.MatchString(c.Text) {
			showing = append(showing, i)
		}
	}
	if len(showing) == 0 {
		return "the commands before it show nothing"
	}
	parts := segments(commands, showing, lines)
	made := 0
	for _, part := range parts {
		made += part.claim(commands, lines, at)
	}
	if made == 0 {
		return "nothing in it can be compared"
	}
	return ""
}

// segment is a run of lines that one command shows. Since is the first command's
// number where they are of several.
type segment struct {
	command, since int // places in the commands
	from, to       int // lines
}

func segments(commands []Command, showing []int, lines []string) []segment {
	whole := segment{command: showing[len(showing)-1], since: showing[0], to: len(lines)}
	if len(showing) == 1 {
		whole.since = whole.command
		return []segment{whole}
	}
	if parts := byComments(commands, showing, lines); parts != nil {
		return parts
	}
	if parts := byOutcomes(commands, showing, lines); parts != nil {
		return parts
	}
	return []segment{whole}
}

// byComments takes comments in an output for headings of what follows them: each names
// its command, or there are as many as commands.
func byComments(commands []Command, showing []int, lines []string) []segment {
	var heads []int
	for i, l := range lines {
		if comment.MatchString(l) {
			heads = append(heads, i)
		}
	}
	if len(heads) == 0 || heads[0] != 0 {
		return nil
	}
	var parts []segment
	next := 0
	for n, h := range heads {
		end := len(lines)
		if n+1 < len(heads) {
			end = heads[n+1]
		}
		at := named(commands, showing[next:], lines[h])
		if at < 0 && len(heads) == len(showing) {
			at = n - next
		}
		if at < 0 {
			return nil
		}
		i := showing[next+at]
		parts = append(parts, segment{command: i, since: i, from: h + 1, to: end})
		next += at + 1
		if next >= len(showing) && n+1 < len(heads) {
			return nil
		}
	}
	return parts
}

var target = regexp.MustCompile(`[\w-]+(?:\.[\w-]+)+|[\w-]{4,}`)

// named is the first command that has the most telling word of a comment.
func named(commands []Command, among []int, head string) int {
	best, longest := -1, 0
	for _, word := range target.FindAllString(head, -1) {
		for i, at := range among {
			if len(word) > longest && strings.Contains(word, ".") && strings.Contains(commands[at].Text, word) {
				best, longest = i, len(word)
				break
			}
		}
	}
	return best
}

// byOutcomes gives the commands that try connections, where they are the last, an outcome
// each, if there are as many. What is before the first is of the commands before them.
func byOutcomes(commands []Command, showing []int, lines []string) []segment {
	first := slices.IndexFunc(showing, func(i int) bool { return connects.MatchString(commands[i].Text) })
	if first < 0 || slices.ContainsFunc(showing[first:], func(i int) bool { return !connects.MatchString(commands[i].Text) }) {
		return nil
	}
	starts := outcomesIn(lines, true)
	if len(starts) != len(showing)-first {
		starts = outcomesIn(lines, false)
	}
	if len(starts) != len(showing)-first {
		return nil
	}
	var parts []segment
	switch {
	case first == 0:
		starts[0] = 0
	case len(nonEmpty(strings.Join(lines[:starts[0]], "\n"))) > 0:
		parts = append(parts, segment{command: showing[first-1], since: showing[0], to: starts[0]})
	}
	for n, i := range showing[first:] {
		to := len(lines)
		if n+1 < len(starts) {
			to = starts[n+1]
		}
		parts = append(parts, segment{command: i, since: i, from: starts[n], to: to})
	}
	return parts
}

// outcomesIn are the lines with which outcomes begin. A status right after another is of
// the same connection (100 Continue, a redirect), or, where each has but its status, of
// the next.
func outcomesIn(lines []string, joined bool) []int {
	var starts []int
	for i, l := range lines {
		again := joined && len(starts) > 0 && httpStatus.MatchString(l) && strings.HasPrefix(lines[i-1], "HTTP/")
		if outcome.MatchString(l) && !termExit.MatchString(l) && !again {
			starts = append(starts, i)
		}
	}
	return starts
}

// claim makes the claims of a segment, and says how many.
func (s segment) claim(commands []Command, lines []string, at int) int {
	c := &commands[s.command]
	before := len(c.Claims)
	if s.since == s.command && connects.MatchString(c.Text) && !c.Background {
		c.claimConnection(lines[s.from:s.to], at+s.from)
		return len(c.Claims) - before
	}
	claim := shows(lines[s.from:s.to], at+s.from)
	if claim == nil {
		return 0
	}
	if s.since != s.command {
		claim.Since = commands[s.since].Number
	}
	c.Claims = append(c.Claims, *claim)
	return 1
}

// shows is a claim of these lines; nil when all of them are passed over.
func shows(lines []string, at int) *Claim {
	claim := &Claim{Kind: Shows, From: Output}
	for i, l := range lines {
		l = strings.TrimRight(l, " \t\r")
		if l == "" || inPod.MatchString(strings.TrimSpace(l)) {
			continue // a prompt that waits promises nothing
		}
		if claim.Line == 0 {
			claim.Line, claim.Says = at+i, shorten(l)
		}
		claim.Want, claim.Lines = append(claim.Want, l), append(claim.Lines, at+i)
	}
	if len(claim.Want) == 0 || !comparable(claim.Want) {
		return nil
	}
	return claim
}

func comparable(want []string) bool {
	for _, l := range want {
		if !elision.MatchString(l) && !progress.MatchString(l) {
			return true
		}
	}
	return false
}

// claimConnection reads how a connection's program is said to have ended, and what it
// is said to print.
func (c *Command) claimConnection(lines []string, at int) {
	var verdict *Claim
	exits := map[int]bool{}
	document := !slices.ContainsFunc(lines, func(l string) bool { return strings.TrimSpace(l) != "" && !htmlLine.MatchString(l) })
	headers := false                   // a status was shown, so that headers may follow
	rest := make([]string, len(lines)) // the lines that are none of these
	set := func(i int, kind ClaimKind) *Claim {
		if verdict == nil {
			verdict = &Claim{Line: at + i, Says: shorten(lines[i]), From: Output}
		}
		verdict.Kind = kind
		return verdict
	}
	for i, l := range lines {
		l = strings.TrimRight(l, " \t\r")
		if m := httpStatus.FindStringSubmatch(l); m != nil {
			status, _ := strconv.Atoi(m[1])
			kind := Allowed
			if status == 403 {
				kind = Answered
			}
			set(i, kind).Status = status
			headers = true
			continue
		}
		code := -1
		for _, re := range []*regexp.Regexp{curlExit, termExit} {
			if m := re.FindStringSubmatch(l); m != nil {
				code, _ = strconv.Atoi(m[1])
			}
		}
		switch {
		case code >= 0:
			exits[code] = true
			switch {
			case code == curlTimeout, timeWords.MatchString(l), verdict != nil && verdict.Kind == Denied:
				set(i, Denied).Exit = &code
			case verdict != nil && verdict.Status == 0 || verdict == nil:
				set(i, Exits).Exit = &code
			}
		case timeWords.MatchString(l):
			set(i, Denied)
		case document && l != "":
			if verdict == nil {
				set(i, Allowed) // the beginning of any document, and no more
			}
		case strings.TrimSpace(l) == "Access denied":
			set(i, DeniedL7).Status = 403
		case l == "" || meterLine.MatchString(l) || headers && headerLine.MatchString(l) || comment.MatchString(l):
		default:
			rest[i] = l
		}
	}
	if len(exits) > 1 {
		verdict = nil // the page contradicts itself
	}
	if verdict != nil {
		c.Claims = append(c.Claims, *verdict)
	}
	if claim := shows(rest, at); claim != nil && len(exits) == 0 {
		c.Claims = append(c.Claims, *claim)
	}
}

// Fails says whether the lines say that the command itself fails.
func (c Claim) fails() bool {
	for _, l := range c.Want {
		if failure.MatchString(l) {
			return true
		}
	}
	return false
}

// MayFail says whether it is for the command's claims to judge that it does not succeed.
func (c Command) MayFail() bool {
	for _, claim := range c.Claims {
		switch claim.Kind {
		case Denied, DeniedL7, Exits, Fails, Succeeds, Answered:
			return true
		case Shows:
			if claim.fails() {
				return true
			}
		}
	}
	return false
}

// curlTimeout is curl's exit code for a timeout.
const curlTimeout = 28
