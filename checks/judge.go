package checks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// FlowState says what the flows of a probe can prove.
type FlowState string

// States of the flow log.
const (
	FlowsNone FlowState = "none" // the datapath tells none
	FlowsLive FlowState = "live" // every verdict since the probe's start is there
	FlowsLost FlowState = "lost" // the stream broke off
)

// Input is everything that a verdict rests on.
type Input struct {
	Check   Check
	Outcome Outcome
	Subject Subject // as it was when the probe ran
	// Flows are all flows since the probe started, of any pod.
	Flows     []*flowpb.Flow
	FlowState FlowState
	Controls  []Control // candidates
}

// Judge turns what was seen into a verdict. It is pure. The order of its rules is
// the order of trust: no pod, no stream, the datapath's word, curl's word.
func Judge(in Input) Verdict {
	v := judge(in)
	if v.Evidence.Pod == "" && in.Subject.Pod != "" {
		v.Evidence.Pod = in.Subject.Namespace + "/" + in.Subject.Pod
	}
	v.Evidence.Message = in.Outcome.Message
	return v
}

func judge(in Input) Verdict {
	o := in.Outcome
	switch in.Subject.State {
	case PodMissing:
		return broken(CauseNoPod, "no pod matches "+in.Check.From.String())
	case PodNotReady:
		return broken(CausePodNotReady, fmt.Sprintf("pod %s is not ready: %s", in.Subject.Pod, in.Subject.Reason))
	}
	if o.Err != nil {
		return execFailure(o.Err)
	}
	t, err := newTarget(in)
	if err != nil {
		return broken(CauseProbe, err.Error())
	}
	if in.Check.claims() {
		return claim(o)
	}
	seen := t.search(in.Flows)
	through := o.HasExit() && o.Reading == CauseOK
	switch {
	case through && denied403(in, seen):
		return deny(in, DeniedL7, CausePolicyL7, seen.request, "the proxy answered 403")
	case through:
		return Verdict{Kind: Allowed, Cause: CauseOK, Detail: sayOr(o.Answer, "the probe succeeded"), Evidence: Evidence{Allow: seen.allow}}
	case seen.drop != nil:
		return deny(in, Denied, CausePolicyDrop, seen.drop, dropText(seen.drop))
	case seen.request != nil:
		return deny(in, DeniedL7, CausePolicyL7, seen.request, dropText(seen.request))
	case seen.dns != nil && (o.Stage == StageResolving || o.Stage == StageUnknown):
		// How far a program came that does not tell, nobody knows.
		v := broken(CauseDNS, "the policy refuses the DNS query: "+dropText(seen.dns))
		v.Evidence.Drop = seen.dns
		return v
	case o.Cancelled:
		return broken(CauseProbe, "the probe was ended before it told anything")
	case o.Reading == CauseDNS:
		return broken(CauseDNS, o.Says)
	case seen.other != nil:
		v := broken(CauseOtherDrop, "dropped, but by no policy: "+dropText(seen.other))
		v.Evidence.Drop = seen.other
		return v
	case in.FlowState == FlowsLost:
		return Verdict{Kind: Inconclusive, Cause: CauseFlowsLost, Detail: "the datapath's flow stream broke off during the probe"}
	}
	return byReading(in)
}

// byReading takes the probe's own word where the datapath has said nothing.
func byReading(in Input) Verdict {
	o := in.Outcome
	switch o.Reading {
	case CauseTimeout:
		if in.FlowState == FlowsNone && o.Stage != StageConnected {
			return deny(in, Denied, CauseTimeout, nil, o.Says)
		}
		return broken(CauseTimeoutNoDrop, o.Says+"; the datapath reports no drop for it")
	case CauseRefused:
		return broken(CauseRefused, o.Says+"; the datapath reports no policy's drop for it")
	case CauseUnmet:
		return broken(CauseProbe, o.Says+", and no drop tells why")
	case "":
		return broken(CauseProbe, "the probe told nothing")
	}
	return broken(o.Reading, o.Says)
}

// claim is the verdict on what the probe itself can tell.
func claim(o Outcome) Verdict {
	v := Verdict{Cause: o.Reading, Detail: sayOr(o.Says, o.Answer), Evidence: Evidence{Object: o.Object}}
	switch {
	case o.HasExit() && o.Reading == CauseOK:
		v.Kind = Met
	case o.HasExit() && o.Reading == CauseUnmet:
		v.Kind = Unmet
	default:
		v.Kind, v.Cause, v.Detail = Broken, CauseProbe, sayOr(o.Says, "the probe told nothing")
	}
	return v
}

// deny gives a refusal its control; without one it proves nothing.
func deny(in Input, kind Kind, cause Cause, drop *Drop, detail string) Verdict {
	control, diff := pickControl(in, drop != nil)
	v := Verdict{Kind: kind, Cause: cause, Detail: detail, Evidence: Evidence{Control: control, Drop: drop}}
	switch {
	case len(diff) > 0:
		v.Kind, v.Cause = Inconclusive, CauseTampered
		v.Detail = "the control was another experiment: " + strings.Join(diff, "; ")
	case control == nil:
		v.Kind, v.Cause = Inconclusive, CauseNoControl
		v.Detail = detail + "; nothing shows that it was allowed without the policy"
	}
	return v
}

// pickControl finds the strongest control. A control of this very check that
// was another experiment is returned with what differs: no other control makes
// up for it. What came later, and a sibling of another destination, count only beside
// a drop: that nobody answered then, they do not rule out.
func pickControl(in Input, dropped bool) (control *Control, diff []string) {
	for _, kind := range []ControlKind{ControlBefore, ControlAfter, ControlSiblingClient, ControlSibling} {
		for i := range in.Controls {
			c := &in.Controls[i]
			if c.Kind != kind {
				continue
			}
			switch kind {
			case ControlBefore:
				if c.Check != in.Check.ID {
					continue
				}
				diff := Differences(c.Subject, in.Subject)
				if !slices.Equal(c.Command, in.Check.CommandLine()) {
					diff = append(diff, "the command was "+strings.Join(c.Command, " "))
				}
				return c, diff
			case ControlAfter:
				if dropped && c.Check == in.Check.ID && len(Differences(c.Subject, in.Subject)) == 0 &&
					slices.Equal(c.Command, in.Check.CommandLine()) && shareServer(c.Subject.Service, in.Subject.Service) {
					return c, nil
				}
			case ControlSiblingClient:
				if c.To == in.Check.Target() && c.Subject.UID != in.Subject.UID {
					return c, nil
				}
			case ControlSibling:
				if dropped && c.Check != in.Check.ID && c.Subject.UID == in.Subject.UID {
					return c, nil
				}
			}
		}
	}
	return nil, nil
}

// shareServer says whether one of a Service's servers was there both times; where the
// destination is no Service, nobody can tell.
func shareServer(then, now *Service) bool {
	if then == nil || now == nil {
		return then == now
	}
	return slices.ContainsFunc(then.Endpoints, func(e string) bool { return slices.Contains(now.Endpoints, e) })
}

// denied403 says whether a 403 is the proxy's and not the server's own.
func denied403(in Input, seen found) bool {
	if in.Outcome.HTTPStatus != 403 {
		return false
	}
	return seen.request != nil || in.FlowState != FlowsLive && in.Outcome.Envoy
}

func execFailure(err error) Verdict {
	switch {
	case errors.Is(err, ErrNoContainer):
		return broken(CauseNoPod, err.Error())
	case errors.Is(err, ErrNoResource):
		return broken(CauseProbe, err.Error())
	case errors.Is(err, ErrNoCommand):
		return broken(CauseNoTool, err.Error())
	}
	return broken(CauseExecLost, err.Error())
}

// knownAddrs are the addresses that the destination had in the controls.
func knownAddrs(in Input) []string {
	var addrs []string
	for _, c := range in.Controls {
		if c.To == in.Check.Target() && c.RemoteIP != "" {
			addrs = append(addrs, c.RemoteIP)
		}
	}
	return addrs
}

func broken(cause Cause, detail string) Verdict {
	return Verdict{Kind: Broken, Cause: cause, Detail: detail}
}

func dropText(d *Drop) string {
	to := d.Destination
	if len(d.Names) > 0 {
		to = d.Names[0]
	}
	by := make([]string, 0, len(d.Policies))
	for _, p := range d.Policies {
		by = append(by, p.String())
	}
	text := fmt.Sprintf("%s to %s is dropped", d.Direction, to)
	if len(by) > 0 {
		text += " by " + strings.Join(by, ", ")
	}
	return text
}
