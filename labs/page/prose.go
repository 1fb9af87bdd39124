package page

import (
	"regexp"
	"strings"
)

// What prose says of the command beside it. Each is a promise only where the sentence
// neither asks nor wishes.
var (
	saysDenied   = regexp.MustCompile(`(?i)\b(?:times? out|timed out|time-?out|hangs?|(?:is|are|be|gets?|been|now) (?:denied|blocked|dropped|rejected|forbidden)|(?:should|will|must|does|do)(?: now)? (?:fail|not (?:work|succeed|be able|go through|reach))|(?:can ?not|can't|cannot|could not|couldn't|no longer|not able to|unable to|not be able to) (?:\w+ )?(?:reach|connect|access|communicate|talk|get a response|go through)|no longer (?:works?|reachable|possible|allowed|accessible)|fails\b)`)
	saysDeniedL7 = regexp.MustCompile(`(?i)\b(?:403\b|access denied|forbidden)`)
	saysAllowed  = regexp.MustCompile(`(?i)\b(?:(?:should|will|must) (?:now |still |also |both )*(?:succeed|work|be (?:allowed|reachable|successful|able to))|succeeds|(?:still|now) (?:works?|succeeds?|allowed|reachable|possible)|is successful|(?:is|are) (?:still |now )?(?:able to|allowed to) (?:reach|connect|access)|can (?:still |now |also )?(?:reach|connect|access)|expected:? (?:\w+ ){0,4}?(?:responses?|repl(?:y|ies)|html|page|200)\b|(?:should|will|must) (?:return|show|see|get|receive|print|display) (?:\w+ ){0,4}?(?:responses?|repl(?:y|ies)|html|page)\b|remote file exists)`)
	negated      = regexp.MustCompile(`(?i)\b(?:no|not|never|without|error)\b`)
	askedOrWish  = regexp.MustCompile(`(?i)\b(?:if|whether|unless|except|let's say|let us say|we want|want to|would|suppose|imagine|goal|in order to|so that|how)\b|^(?:using|use|set)\b|\?$`)
)

// claimProse gives connections that no output speaks of what the sentence before or
// after them says. Where sentences disagree there is no claim.
func claimProse(p *Page) {
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Kind != Run {
			continue
		}
		var bare *Command // the one connection of the step
		n := 0
		for j := range s.Commands {
			c := &s.Commands[j]
			if connects.MatchString(c.Text) && c.Skip == "" {
				n++
				bare = c
			}
		}
		if n != 1 || len(bare.Claims) > 0 {
			continue
		}
		var found []Claim
		if i > 0 && p.Steps[i-1].Kind == Prose {
			found = append(found, sentences(p.Steps[i-1], true)...)
		}
		if i+1 < len(p.Steps) && p.Steps[i+1].Kind == Prose && !leadsOn(p.Steps, i+1) {
			found = append(found, sentences(p.Steps[i+1], false)...)
		}
		if agree(found) {
			bare.Claims = append(bare.Claims, found[0])
		}
	}
}

// turns begins a sentence about what comes next.
var turns = regexp.MustCompile(`(?i)^\s*(?:however|but|next|finally|then|let's|let us)\b`)

// leadsOn says whether a paragraph turns to the commands that follow it.
func leadsOn(steps []Step, i int) bool {
	return turns.MatchString(steps[i].Text) && i+1 < len(steps) && steps[i+1].Kind == Run
}

// sentences are the claims of the last sentence of a paragraph that ends with a colon,
// or of the first of one that follows a command.
func sentences(s Step, last bool) []Claim {
	text := strings.TrimSpace(s.Text)
	if last && !strings.HasSuffix(text, ":") {
		return nil
	}
	all := regexp.MustCompile(`[.!?](?:\s+|$)`).Split(text, -1)
	pick := all[0]
	line := s.Line
	if last {
		pick = all[len(all)-1]
		if strings.TrimSpace(pick) == "" && len(all) > 1 {
			pick = all[len(all)-2]
		}
		if at := strings.LastIndex(s.Text, strings.TrimSpace(pick)); at >= 0 {
			line += strings.Count(s.Text[:at], "\n")
		}
	}
	if askedOrWish.MatchString(strings.TrimSpace(pick)) {
		return nil
	}
	claim := Claim{Line: line, Says: shorten(pick), From: Prose}
	denied, l7, getsThrough := saysDenied.MatchString(pick), saysDeniedL7.MatchString(pick), saysAllowed.FindString(pick)
	allowed := getsThrough != "" && !negated.MatchString(getsThrough)
	switch {
	case allowed && (denied || l7):
		return nil
	case l7:
		claim.Kind = DeniedL7
	case denied:
		claim.Kind = Denied
	case allowed:
		claim.Kind = Allowed
	default:
		return nil
	}
	return []Claim{claim}
}
