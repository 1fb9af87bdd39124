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
	dest, err := ParseDestination(in.Check.To)
	if err != nil {
		return broken(CauseProbe, err.Error())
	}
	t := target{
		subject: in.Subject, dest: dest, since: o.Started, addrs: o.Tried, known: knownAddrs(in),
		curl: o.Curl, local: o.LocalPort,
	}
	seen := t.search(in.Flows)
	through := o.HasExit() && (o.ExitCode == curlOK || o.Curl && o.ExitCode == curlHTTPError)
	switch {
	case through && denied403(in, seen):
		return deny(in, DeniedL7, CausePolicyL7, seen.http, "the proxy answered 403")
	case through:
		return Verdict{Kind: Allowed, Cause: CauseOK, Detail: answer(o), Evidence: Evidence{Allow: seen.allow}}
	case seen.drop != nil:
		return deny(in, Denied, CausePolicyDrop, seen.drop, dropText(seen.drop))
	case seen.http != nil:
		return deny(in, DeniedL7, CausePolicyL7, seen.http, dropText(seen.http))
	case seen.dns != nil && unresolved(o):
		v := broken(CauseDNS, "the policy refuses the DNS query: "+dropText(seen.dns))
		v.Evidence.Drop = seen.dns
		return v
	case o.Cancelled:
		return broken(CauseProbe, "the probe was ended before it told anything")
	case o.Curl && unresolved(o):
		return broken(CauseDNS, sayOr(o.Message, "the name could not be resolved"))
	case seen.other != nil:
		v := broken(CauseOtherDrop, "dropped, but by no policy: "+dropText(seen.other))
		v.Evidence.Drop = seen.other
		return v
	case in.FlowState == FlowsLost:
		return Verdict{Kind: Inconclusive, Cause: CauseFlowsLost, Detail: "the datapath's flow stream broke off during the probe"}
	}
	return byCode(in)
}

// byCode reads curl's exit code where the datapath has said nothing.
func byCode(in Input) Verdict {
	o := in.Outcome
	if !o.Curl {
		if o.ExitCode > shellSignalled {
			return broken(CauseProbe, fmt.Sprintf("the probe was ended by signal %d", o.ExitCode-shellSignalled))
		}
		return broken(CauseProbe, fmt.Sprintf("the probe ended with code %d, and no drop tells why", o.ExitCode))
	}
	switch code := o.ExitCode; code {
	case curlTimeout:
		if in.FlowState == FlowsNone && o.Stage != StageConnected {
			return deny(in, Denied, CauseTimeout, nil, sayOr(o.Message, "connecting timed out"))
		}
		return broken(CauseTimeoutNoDrop, sayOr(o.Message, "timed out")+"; the datapath reports no drop for it")
	case curlNoConnect:
		return broken(CauseRefused, sayOr(o.Message, "refused")+"; the datapath reports no policy's drop for it")
	case curlTLSConnect, curlEmptyReply, curlSendError, curlReceiveError:
		return broken(CauseReset, sayOr(o.Message, "the connection was reset"))
	case curlPeerFailed, 51, 53, 54, 58, 59, 66, 77, 80, 82, 83, 90, 91:
		return broken(CauseTLS, sayOr(o.Message, "TLS failed"))
	case curlUsage, curlBadURL:
		return broken(CauseProbe, sayOr(o.Message, "curl does not understand the probe"))
	default:
		if code > shellSignalled {
			return broken(CauseProbe, fmt.Sprintf("curl was ended by signal %d", code-shellSignalled))
		}
		return broken(CauseProbe, sayOr(o.Message, fmt.Sprintf("curl ended with code %d", code)))
	}
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
// up for it. A sibling of another destination counts only beside a drop, for it
// says nothing about this destination.
func pickControl(in Input, dropped bool) (control *Control, diff []string) {
	for _, kind := range []ControlKind{ControlBefore, ControlSiblingClient, ControlSibling} {
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
			case ControlSiblingClient:
				if c.To == in.Check.To && c.Subject.UID != in.Subject.UID {
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

// denied403 says whether a 403 is the proxy's and not the server's own.
func denied403(in Input, seen found) bool {
	if in.Outcome.HTTPStatus != 403 {
		return false
	}
	return seen.http != nil || in.FlowState != FlowsLive && in.Outcome.Envoy
}

// unresolved says whether curl came no further than the name, or was cancelled
// while it resolved. How far another program came nobody knows.
func unresolved(o Outcome) bool {
	if !o.Curl {
		return true
	}
	switch {
	case o.Cancelled:
		return o.Stage == StageResolving || o.Stage == StageUnknown
	case o.ExitCode == curlNoHost, o.ExitCode == curlNoProxy:
		return true
	case o.ExitCode == curlTimeout:
		return o.Stage == StageResolving || strings.Contains(o.Message, "Resolving timed out")
	}
	return false
}

func execFailure(err error) Verdict {
	switch {
	case errors.Is(err, ErrNoContainer):
		return broken(CauseNoPod, err.Error())
	case errors.Is(err, ErrNoCommand):
		return broken(CauseNoTool, err.Error())
	}
	return broken(CauseExecLost, err.Error())
}

// knownAddrs are the addresses that the destination had in the controls.
func knownAddrs(in Input) []string {
	var addrs []string
	for _, c := range in.Controls {
		if c.To == in.Check.To && c.RemoteIP != "" {
			addrs = append(addrs, c.RemoteIP)
		}
	}
	return addrs
}

func broken(cause Cause, detail string) Verdict {
	return Verdict{Kind: Broken, Cause: cause, Detail: detail}
}

func answer(o Outcome) string {
	if o.HTTPStatus > 0 {
		return fmt.Sprintf("HTTP %d", o.HTTPStatus)
	}
	return "the probe succeeded"
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

func sayOr(message, otherwise string) string {
	if message != "" {
		return message
	}
	return otherwise
}
