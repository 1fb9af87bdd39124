package pagerun

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/runner/record"
)

// flowGrace is how long a flow may come after the command that caused it.
const flowGrace = 500 * time.Millisecond

// dnsPort is that of DNS servers.
const dnsPort = 53

// dial is a connection that a page tries from a pod.
type dial struct {
	*execution
	page.Connection
	check checks.Check
	epoch int // of the policies when it began
	// anew tells that its control's pod was another of the same name, labels and image,
	// and tried that its control is netdojo's own, at the page's end.
	anew, tried bool
}

// typed is a probe that a page types. What it prints is the page's to choose.
type typed struct {
	checks.Probe
	words []string
}

// Commands implements checks.Probe.
func (t typed) Commands(checks.Check) []checks.CommandLine {
	return []checks.CommandLine{{Program: t.words[0], Words: t.words}}
}

// Match implements checks.Probe: curl without -v does not tell its port.
func (t typed) Match(target checks.Target, f *flowpb.Flow) checks.Relation {
	if _, ping := t.Probe.(checks.ICMP); ping {
		return target.Dialled(f, "ICMP")
	}
	return target.Dialled(f)
}

// dialOf makes a dial of an execution; false when it dials nobody.
func dialOf(e *execution, words []string) (*dial, bool) {
	conn, ok := page.ConnectionOf(words)
	if !ok {
		return nil, false
	}
	d := &dial{execution: e, Connection: conn}
	var probe checks.Probe
	switch conn.Program {
	case "curl":
		probe = checks.Curl{}
	case "ping":
		probe = checks.ICMP{}
	case "nc":
		probe = checks.TCP{}
	default:
		probe = checks.Command{Run: conn.Words}
	}
	d.check = checks.Check{To: conn.To, Probe: checks.Spec{Probe: typed{probe, experiment(conn)}}}
	d.check.ID = e.Namespace + "/" + e.Pod + " " + strings.Join(experiment(conn), " ")
	if _, err := d.check.Destination(); err != nil {
		return nil, false
	}
	return d, true
}

// experiment is a connection's command line without what only says how long to wait
// and what to print: with another the experiment is the same.
func experiment(c page.Connection) []string {
	words := []string{c.Program}
	if i := slices.Index(c.Words, "-X"); i >= 0 && i+1 < len(c.Words) {
		words = append(words, "-X", c.Words[i+1])
	}
	for _, w := range c.Words {
		if strings.HasPrefix(w, "-X") && len(w) > 2 {
			words = append(words, "-X", w[2:])
		}
	}
	return append(words, c.To)
}

var httpLine = regexp.MustCompile(`(?m)^(?:< )?HTTP/[\d.]+ (\d{3})`)

// outcome reads what the execution left, as far as it came.
func (d *dial) outcome() checks.Outcome {
	s := d.look()
	text := strings.ReplaceAll(s.out, "\r\n", "\n")
	res := checks.ExecResult{Stdout: []byte(text), Stderr: []byte(text)}
	var err error
	switch {
	case s.early || s.code == nil && s.ended.IsZero():
		err = context.Canceled
	case s.code == nil:
		err = fmt.Errorf("%w: %s", checks.ErrStreamLost, s.message)
	default:
		res.ExitCode = *s.code
	}
	o := checks.ReadOutcome(d.check.Probe.Probe, res, err)
	o.Started = d.Begun
	if errors.Is(err, context.Canceled) {
		o.Cancelled, o.Err = true, nil
	}
	if m := httpLine.FindAllStringSubmatch(text, -1); m != nil {
		o.HTTPStatus, _ = strconv.Atoi(m[len(m)-1][1])
	} else if strings.TrimSpace(text) == "Access denied" {
		o.HTTPStatus, o.Envoy = 403, true // what Envoy, and netdojo's proxy, answer
	}
	if o.HTTPStatus != 0 && o.Reading == checks.CauseOK {
		o.Answer = fmt.Sprintf("HTTP %d", o.HTTPStatus)
	}
	if !s.ended.IsZero() {
		o.Latency = s.ended.Sub(d.Begun)
	}
	return o
}

// judged is a dial with its verdict.
type judged struct {
	*dial
	outcome checks.Outcome
	verdict checks.Verdict
	flows   []*flowpb.Flow
	state   checks.FlowState
	// nameless tells that a policy dropped its DNS queries.
	nameless bool
}

// judge judges a dial by its flows, and gives a late one a moment where it would tell
// more.
func (s *session) judge(ctx context.Context, d *dial) judged {
	grace := time.NewTimer(flowGrace)
	defer grace.Stop()
	for {
		flows, changed, lost := s.flows.Since(d.mark)
		j := judged{dial: d, outcome: d.outcome(), flows: flows, state: s.flows.State()}
		j.judge(s.controlsOf(d))
		j.nameless = nameless(d, flows)
		settled := j.verdict.Evidence.Drop != nil || j.verdict.Kind == checks.Allowed && j.outcome.HTTPStatus != 403
		if s.flows == nil || lost != nil || settled {
			return s.keep(j)
		}
		select {
		case <-ctx.Done():
			return s.keep(j)
		case <-grace.C:
			return s.keep(j)
		case <-changed:
		}
	}
}

// judge gives it a verdict, with these controls.
func (j *judged) judge(controls []checks.Control) {
	j.verdict = checks.Judge(checks.Input{
		Check: j.check, Outcome: j.outcome, Subject: j.subject, Flows: j.flows, FlowState: j.state, Controls: controls,
	})
}

// nameless says whether a policy dropped the dialling pod's DNS queries.
func nameless(d *dial, flows []*flowpb.Flow) bool {
	return slices.ContainsFunc(flows, func(f *flowpb.Flow) bool {
		return f.GetDropReasonDesc() == flowpb.DropReason_POLICY_DENIED && f.GetSource().GetPodName() == d.Pod &&
			f.GetSource().GetNamespace() == d.Namespace && f.GetL4().GetUDP().GetDestinationPort() == dnsPort
	})
}

// keep makes a control of a dial that got through: one that was allowed, or that came as
// far as a certificate which the pod does not trust. For other dials that is as good: the
// connection was let through.
func (s *session) keep(j judged) judged {
	connected := j.verdict.Cause == checks.CauseTLS && remoteIP(j) != ""
	if j.verdict.Kind != checks.Allowed && !connected {
		return j
	}
	c := checks.NewControl(checks.ControlBefore, j.check, checks.Result{Outcome: j.outcome, Subject: j.subject})
	c.RemoteIP = remoteIP(j)
	s.controls[j.check.ID] = control{c, j.epoch, j.ours}
	return j
}

// remoteIP is the address outside that a dial was let through to; "" when no flow tells
// it.
func remoteIP(j judged) string {
	dest, err := j.check.Destination()
	if err != nil || j.subject.Service != nil {
		return ""
	}
	for _, f := range j.flows {
		if f.GetSource().GetPodName() == j.subject.Pod && f.GetVerdict() == flowpb.Verdict_FORWARDED &&
			uint16(f.GetL4().GetTCP().GetDestinationPort()) == dest.Port && slices.Contains(f.GetDestinationNames(), dest.Host) {
			return f.GetIP().GetDestination()
		}
	}
	return ""
}

// control is a dial that was allowed, and when.
type control struct {
	checks.Control
	epoch int
	ours  bool // netdojo dialled, and not the page
}

// controlsOf are the controls of a dial: its own, from before or from later under other
// policies, and those of others as long as the policies are the same.
func (s *session) controlsOf(d *dial) []checks.Control {
	var all []checks.Control
	for id, c := range s.controls {
		switch {
		case id == d.check.ID && !c.At.After(d.Begun):
			all = append(all, d.sameAnew(c.Control))
		case id == d.check.ID:
			// Under the same policies nothing tells why it was dropped the first time.
			if c.epoch != d.epoch {
				d.tried = c.ours
				c.Control = d.sameAnew(c.Control)
				c.Kind = checks.ControlAfter
				all = append(all, c.Control)
			}
		case c.epoch != d.epoch:
		case c.To == d.check.Target():
			c.Kind = checks.ControlSiblingClient
			all = append(all, c.Control)
		default:
			c.Kind = checks.ControlSibling
			all = append(all, c.Control)
		}
	}
	return all
}

// sameAnew is a control whose pod was made for one command, as the dial's was, and of
// which nothing but its UID differs: kubectl run with the same words is the same
// experiment, whichever pod it makes. The dial remembers it.
func (d *dial) sameAnew(c checks.Control) checks.Control {
	if !d.Attached && !d.inMade || c.Subject.UID == d.subject.UID {
		return c
	}
	same := c
	same.Subject.UID = d.subject.UID
	if len(checks.Differences(same.Subject, d.subject)) > 0 {
		return c
	}
	d.anew = true
	return same
}

// claims judges what the page promises of a command.
func (s *session) claims(c page.Command, code *int, shown map[int]string, dials []judged) []record.PageClaim {
	var all []record.PageClaim
	var last *judged
	if len(dials) > 0 {
		last = &dials[len(dials)-1]
	}
	for _, claim := range c.Claims {
		r := record.PageClaim{Line: claim.Line, Kind: string(claim.Kind), Says: claim.Says}
		switch claim.Kind {
		case page.Shows:
			showClaim(&r, claim, c.Number, shown)
			if !r.Passed && last != nil && last.verdict.Kind != checks.Allowed {
				r.Observed, r.Rule = last.verdict.Detail, rule(last.verdict)
			}
		case page.Fails:
			r.Passed = code != nil && *code != 0
			r.Observed = "the command succeeds"
			if r.Passed {
				r.Observed = fmt.Sprintf("exit code %d", *code)
			}
		case page.Succeeds:
			r.Passed = code != nil && *code == 0
			r.Observed = exitAndEnd(code, shown[c.Number])
		default:
			if last == nil {
				textClaim(&r, claim, code, shown[c.Number])
				break
			}
			s.dialClaim(&r, claim, *last)
		}
		all = append(all, r)
	}
	return all
}

// exitAndEnd says how a script ended, and what it showed last.
func exitAndEnd(code *int, shown string) string {
	text := "it did not end"
	if code != nil {
		text = fmt.Sprintf("exit code %d", *code)
	}
	shown = strings.TrimSpace(shown)
	if last := shown[strings.LastIndexByte(shown, '\n')+1:]; last != "" {
		text += fmt.Sprintf(", and %q", last)
	}
	return text
}

// showClaim compares output.
func showClaim(r *record.PageClaim, claim page.Claim, number int, shown map[int]string) {
	var text strings.Builder
	since := claim.Since
	if since == 0 {
		since = number
	}
	for n := since; n <= number; n++ {
		text.WriteString(shown[n])
	}
	m := page.Compare(claim.Want, text.String())
	if m == nil {
		r.Passed = true
		return
	}
	r.Line, r.Says = claim.Lines[m.Offset], m.Want
	r.Observed, r.Rule = m.Why, "what the command shows, line by line"
	r.Should = m.Nearest
}

// textClaim judges a connection that does not leave from a pod by what is shown.
func textClaim(r *record.PageClaim, claim page.Claim, code *int, shown string) {
	status := 0
	if m := httpLine.FindAllStringSubmatch(shown, -1); m != nil {
		status, _ = strconv.Atoi(m[len(m)-1][1])
	}
	r.HTTPStatus = status
	r.Rule = "what the command shows: no connection from a pod was seen"
	switch claim.Kind {
	case page.Allowed, page.Answered:
		r.Passed = status != 0 && (claim.Status == 0 || claim.Status == status) || status == 0 && claim.Status == 0 && code != nil && *code == 0
	case page.Exits:
		r.Passed = code != nil && claim.Exit != nil && *code == *claim.Exit
	}
	switch {
	case status != 0:
		r.Observed = fmt.Sprintf("HTTP %d", status)
	case code != nil:
		r.Observed = fmt.Sprintf("exit code %d", *code)
	default:
		r.Observed = "it did not end"
	}
	if !r.Passed {
		if line := firstLine(shown); line != "" {
			r.Observed += fmt.Sprintf(", and %q", line)
		}
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// dialClaim judges a connection.
func (s *session) dialClaim(r *record.PageClaim, claim page.Claim, j judged) {
	v := j.verdict
	r.Verdict, r.Cause, r.Evidence, r.To, r.HTTPStatus = v.Kind, v.Cause, v.Evidence, j.To, j.outcome.HTTPStatus
	r.From = j.Namespace + "/" + j.Pod
	if j.outcome.HasExit() {
		code := j.outcome.ExitCode
		r.ExitCode = &code
	}
	r.Observed = v.Detail
	exit := claim.Exit == nil || j.outcome.Cancelled || r.ExitCode != nil && *r.ExitCode == *claim.Exit
	switch claim.Kind {
	case page.Allowed:
		r.Passed = v.Kind == checks.Allowed && (claim.Status == 0 || claim.Status == r.HTTPStatus || r.HTTPStatus == 0)
	case page.Answered:
		r.Passed = r.HTTPStatus == claim.Status
	case page.Denied:
		r.Passed = v.Kind == checks.Denied && exit
	case page.DeniedL7:
		r.Passed = v.Kind == checks.DeniedL7
	case page.Exits:
		r.Passed = exit && r.ExitCode != nil
	}
	if !exit && r.ExitCode != nil {
		r.Observed += fmt.Sprintf("; exit code %d, and not %d", *r.ExitCode, *claim.Exit)
	}
	if j.outcome.Cancelled && claim.Kind == page.Denied {
		r.Observed += "; it has no timeout of its own, and was ended after its drop"
	}
	if c := v.Evidence.Control; c != nil && c.Check == j.check.ID {
		if j.anew {
			r.Observed += "; the control's pod was another of the same name, labels and image, made by the same command"
		}
		if c.Kind == checks.ControlAfter && j.tried {
			r.Observed += "; the page never shows it allowed: netdojo tried it at the page's end, without the page's policies"
		}
	}
	if v.Cause == checks.CauseTimeoutNoDrop && j.nameless {
		r.Observed += ", but a policy drops its DNS queries: it knew nobody to dial"
	}
	if v.Cause == checks.CauseDNS && s.dnsTrouble != nil {
		if why := s.dnsTrouble(); why != "" {
			r.Observed += "; " + why
		}
	}
	r.Rule = rule(v)
	if !r.Passed {
		r.Should = should(j)
	}
}

// rule is what decided a verdict.
func rule(v checks.Verdict) string {
	var names []string
	if d := v.Evidence.Drop; d != nil {
		for _, p := range d.Policies {
			names = append(names, strings.TrimSpace(p.Kind+" "+p.String()))
		}
		if len(names) == 0 {
			return "default deny: a policy selects the pod, and no rule allows it"
		}
		return "denied by " + strings.Join(names, ", ")
	}
	for _, p := range v.Evidence.Allow {
		names = append(names, strings.TrimSpace(p.Kind+" "+p.String()))
	}
	switch {
	case len(names) > 0:
		return "allowed by " + strings.Join(names, ", ")
	case v.Kind == checks.Allowed:
		return "no policy selects the pod"
	}
	return "cause " + string(v.Cause)
}

// should is what a page should say of a dial.
func should(j judged) string {
	switch v := j.verdict; {
	case v.Cause == checks.CauseNoControl:
		return "also that the same command gets through without the policy, before it or after its removal"
	case v.Kind == checks.Allowed && j.outcome.HTTPStatus != 0:
		return fmt.Sprintf("HTTP %d", j.outcome.HTTPStatus)
	case v.Kind == checks.Allowed:
		return "it gets through"
	case v.Kind == checks.DeniedL7:
		return "HTTP 403, by the proxy"
	case j.outcome.HasExit() && j.outcome.Message != "":
		return fmt.Sprintf("%s: (%d) %s", j.Program, j.outcome.ExitCode, j.outcome.Message)
	case j.outcome.HasExit():
		return fmt.Sprintf("exit code %d", j.outcome.ExitCode)
	case v.Kind == checks.Denied:
		return "it is denied"
	}
	return ""
}
