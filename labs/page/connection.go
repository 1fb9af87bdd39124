package page

import (
	"net"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Connection is what a command that runs in a pod dials.
type Connection struct {
	Program string
	Words   []string // of the program's command line, without the shell around it
	To      string   // an URL, HOST:PORT, or a HOST for ping
	// Limited tells that the program gives up by itself after a time that its command
	// line says.
	Limited bool
}

// valued are options whose value is the next word, by program.
var valued = map[string][]string{
	"curl": {
		"-o", "-w", "-H", "-X", "-d", "-m", "-u", "-A", "-e", "-b", "-c", "-F", "-T", "-x", "-E", "-K", "-D", "-r", "-y", "-Y", "-z", "-C", "-U",
		"--output", "--write-out", "--header", "--request", "--data", "--data-raw", "--data-binary", "--data-urlencode", "--max-time",
		"--connect-timeout", "--user", "--user-agent", "--resolve", "--retry", "--retry-delay", "--retry-max-time", "--cacert", "--cert",
		"--key", "--interface", "--proxy", "--json", "--form", "--cookie", "--connect-to", "--limit-rate", "--max-redirs", "--dump-header",
	},
	"wget": {"-O", "-o", "-T", "-t", "-U", "-P", "--output-document", "--timeout", "--tries", "--header", "--user-agent", "--post-data"},
	"nc":   {"-w", "-p", "-s", "-i", "-x", "-X", "-q"},
	"ping": {"-c", "-w", "-W", "-i", "-s", "-I", "-t"},
}

// limiting are the options by which a program gives up.
var limiting = map[string][]string{
	"curl": {"-m", "--max-time", "--connect-timeout"},
	"wget": {"-T", "--timeout"},
	"nc":   {"-w"},
	"ping": {"-c", "-w"},
}

var sameProgram = map[string]string{"ncat": "nc", "netcat": "nc", "ping6": "ping", "telnet": "nc"}

// ConnectionOf finds the program that dials in a command's words; false when there is
// none, or what it dials cannot be told.
func ConnectionOf(words []string) (Connection, bool) {
	timed := false
	for len(words) > 0 {
		switch base(words[0]) {
		case "sh", "bash", "ash", "zsh":
			i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "-") && strings.HasSuffix(w, "c") })
			if i < 0 || i+1 >= len(words) {
				return Connection{}, false
			}
			words = firstCall(words[i+1])
			continue
		case "timeout":
			words, timed = words[min(2, len(words)):], true
			continue
		case "env", "time", "exec", "sudo":
			words = words[1:]
			continue
		}
		break
	}
	if len(words) == 0 {
		return Connection{}, false
	}
	program := base(words[0])
	if same, ok := sameProgram[program]; ok {
		program = same
	}
	options, ok := valued[program]
	if !ok {
		return Connection{}, false
	}
	c := Connection{Program: program, Words: words, Limited: timed}
	var plain []string
	for i := 1; i < len(words); i++ {
		w := words[i]
		name, _, joined := strings.Cut(w, "=")
		switch {
		case w == "--url" && i+1 < len(words):
			plain = append(plain, words[i+1])
			i++
			continue
		case strings.HasPrefix(w, "--"):
			c.Limited = c.Limited || limits(program, name)
			if slices.Contains(options, name) && !joined {
				i++
			}
			continue
		case strings.HasPrefix(w, "-") && w != "-":
			// Letters may be written together, and a value right after the last.
			for at, letter := range w[1:] {
				option := "-" + string(letter)
				c.Limited = c.Limited || limits(program, option)
				if slices.Contains(options, option) {
					if at+2 == len(w) {
						i++
					}
					break
				}
			}
			continue
		}
		plain = append(plain, w)
	}
	if len(plain) == 0 {
		return Connection{}, false
	}
	switch program {
	case "nc":
		if len(plain) < 2 {
			return Connection{}, false
		}
		c.To = net.JoinHostPort(plain[0], plain[1])
	case "ping":
		c.To = plain[len(plain)-1]
	default:
		c.To = plain[0]
		if !strings.Contains(c.To, "://") {
			c.To = "http://" + c.To
		}
	}
	return c, true
}

func limits(program, option string) bool { return slices.Contains(limiting[program], option) }

func base(word string) string { return word[strings.LastIndex(word, "/")+1:] }

// firstCall are the words of the first call in a script of a program that dials.
func firstCall(script string) []string {
	f, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		return nil
	}
	var found []string
	syntax.Walk(f, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || found != nil {
			return found == nil
		}
		words := make([]string, 0, len(call.Args))
		for _, a := range call.Args {
			words = append(words, literal(a))
		}
		if len(words) > 0 {
			name := base(words[0])
			if _, dials := valued[name]; dials || sameProgram[name] != "" || name == "timeout" {
				found = words
			}
		}
		return true
	})
	return found
}

// literal is a word without its quotes; what is expanded in it is left out.
func literal(w *syntax.Word) string {
	var b strings.Builder
	var add func(parts []syntax.WordPart)
	add = func(parts []syntax.WordPart) {
		for _, p := range parts {
			switch p := p.(type) {
			case *syntax.Lit:
				b.WriteString(p.Value)
			case *syntax.SglQuoted:
				b.WriteString(p.Value)
			case *syntax.DblQuoted:
				add(p.Parts)
			}
		}
	}
	add(w.Parts)
	return b.String()
}

// Connects says whether a command tries a connection.
func (c Command) Connects() bool { return connects.MatchString(c.Text) }
