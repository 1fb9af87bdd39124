package runner

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/datapath/explain"
)

// whyTimeout bounds the question to the policy engine, which takes milliseconds.
const whyTimeout = 2 * time.Second

// explainer is a cluster whose policy engine can be asked.
type explainer interface {
	Explain(context.Context, explain.Request) (*explain.Answer, error)
}

// why is what the policy engine says of a check whose verdict differs, by the rules
// that are in force. It says nothing where there is no engine, or where the engine
// has another view than the probe: then the policies are not the reason.
func (s *Session) why(ctx context.Context, c checks.Check, r checks.Result) []string {
	engine, ok := s.handle.(explainer)
	outcome, told := outcomes[r.Verdict.Kind]
	if r.Verdict.Cause == checks.CauseDNS && r.Verdict.Evidence.Drop != nil {
		outcome, told = explain.Denied, true
	}
	req, asked := Question(c)
	if !ok || !told || !asked {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, whyTimeout)
	defer cancel()
	answer, err := engine.Explain(ctx, req)
	if err != nil {
		s.log.Debug("the policy engine does not explain a check", "check", c.ID, "error", err)
		return nil
	}
	return answer.Reasons(outcome)
}

var outcomes = map[checks.Kind]explain.Outcome{
	checks.Allowed: explain.Allowed, checks.Denied: explain.Denied, checks.DeniedL7: explain.Denied,
}

// Question is a check's probe as the policy engine is asked about it; false for a
// check that opens no connection.
func Question(c checks.Check) (explain.Request, bool) {
	d, err := c.Destination()
	if err != nil || !c.InPod() {
		return explain.Request{}, false
	}
	req := explain.Request{From: c.From.Selector(), Namespace: c.From.Namespace, To: d.Host}
	switch p := c.Probe.Probe.(type) {
	case *checks.UDP:
		req.Protocol = "UDP"
	case *checks.ICMP:
		req.Protocol = "ICMP"
	case *checks.DNS:
		// Without a server it is the cluster's own that is asked.
		req.Protocol, req.DNS = cmp.Or(strings.ToUpper(p.Protocol), "UDP"), p.Asks()
	}
	if d.Host == "" && req.DNS == "" {
		return explain.Request{}, false
	}
	if d.Port != 0 {
		req.Port = strconv.Itoa(int(d.Port))
	}
	if d.Host != "" && !strings.Contains(d.Host, ".") && !d.IsIP() {
		req.To = "svc/" + d.Host
	}
	// What is asked in a connection that is encrypted, no policy sees.
	if strings.HasPrefix(c.To, "http://") {
		req.HTTP = &explain.HTTP{Method: checks.Method(c), Path: d.Path, Host: d.Host}
		if req.HTTP.Path == "" {
			req.HTTP.Path = "/"
		}
	}
	return req, true
}
