package checks

import "time"

// Kind is what a check found.
type Kind string

// Verdicts. Broken and inconclusive meet no expectation.
const (
	Allowed      Kind = "allowed"
	Denied       Kind = "denied"
	DeniedL7     Kind = "denied-l7"
	Met          Kind = "met"   // a claim is true
	Unmet        Kind = "unmet" // a claim is false, and the one who was asked said so
	Broken       Kind = "broken"
	Inconclusive Kind = "inconclusive"
)

// Cause says why, in one word that programs can branch on.
type Cause string

// Causes. The verdicts that each comes with stand beside it.
const (
	CauseOK             Cause = "ok"                   // allowed, met
	CauseUnmet          Cause = "unmet"                // unmet
	CausePolicyDrop     Cause = "policy-drop"          // denied
	CausePolicyL7       Cause = "policy-l7"            // denied-l7
	CauseTimeout        Cause = "timeout"              // denied: a timeout after a control, where no flows exist
	CauseDNS            Cause = "dns-failure"          // broken
	CauseAnswer         Cause = "unexpected-answer"    // broken: an answer came, and not the one that is expected
	CauseRefused        Cause = "refused"              // broken: refused or unreachable, without a policy's drop
	CauseReset          Cause = "reset"                // broken
	CauseTLS            Cause = "tls-failure"          // broken
	CauseTimeoutNoDrop  Cause = "timeout-without-drop" // broken: flows exist, and none is a drop
	CauseOtherDrop      Cause = "other-drop"           // broken: the datapath dropped it, but no policy did
	CauseNoPod          Cause = "no-such-pod"          // broken
	CausePodNotReady    Cause = "pod-not-ready"        // broken
	CauseNoTool         Cause = "no-such-tool"         // broken: the container lacks the probe's program
	CauseExecLost       Cause = "exec-lost"            // broken
	CauseProbe          Cause = "probe-error"          // broken: the probe itself is wrong or was killed
	CauseNoControl      Cause = "no-control"           // inconclusive: nothing shows that it worked before
	CauseTampered       Cause = "tampered"             // inconclusive: the control was another experiment
	CauseFlowsLost      Cause = "flows-lost"           // inconclusive: the flow stream broke off
	CauseNotConverged   Cause = "not-converged"        // inconclusive: still changing at the deadline
	CausePolicyRejected Cause = "policy-rejected"      // inconclusive: the datapath does not enforce the policy
	CauseUnsupported    Cause = "not-supported"        // inconclusive: the cluster does not enforce what the task is about
)

// Causes lists every cause, for documentation and tests.
func Causes() []Cause {
	return []Cause{CauseOK, CausePolicyDrop, CausePolicyL7, CauseTimeout, CauseDNS, CauseAnswer, CauseRefused, CauseReset,
		CauseTLS, CauseTimeoutNoDrop, CauseOtherDrop, CauseNoPod, CausePodNotReady, CauseNoTool, CauseExecLost,
		CauseProbe, CauseUnmet, CauseNoControl, CauseTampered, CauseFlowsLost, CauseNotConverged, CausePolicyRejected, CauseUnsupported}
}

// Verdict is a check's finding with what proves it.
type Verdict struct {
	Kind     Kind
	Cause    Cause
	Detail   string // one line for people
	Evidence Evidence
}

// ByPolicy says whether a policy decided. Whose rules they are is not always told: of a
// default deny real Cilium says that no rule allowed the connection, and names no policy.
func (v Verdict) ByPolicy() bool {
	return len(v.Evidence.Allow) > 0 || v.Evidence.Drop != nil && v.Cause != CauseOtherDrop
}

// Evidence is what proves a verdict. Both are nil where they do not apply.
type Evidence struct {
	Control *Control `json:"control"`
	Drop    *Drop    `json:"drop"`
	// Allow names the policies that let the connection through, where the
	// datapath told; empty when no policy selects the pod.
	Allow []PolicyName `json:"allow,omitempty"`
	// Object is what the API server holds, for a check of an object.
	Object *Object `json:"object,omitempty"`
	// Pod is who probed; Message is the probe's own last line.
	Pod     string `json:"pod,omitempty"`
	Message string `json:"message,omitempty"`
}

// ControlKind says what a control is.
type ControlKind string

// Kinds of controls, strongest first.
const (
	ControlBefore        ControlKind = "before"         // the same probe, before the policy
	ControlAfter         ControlKind = "after"          // the same probe, later and without the policy
	ControlSiblingClient ControlKind = "sibling-client" // another pod reaches the same destination now
	ControlSibling       ControlKind = "sibling"        // the same pod reaches another destination now
)

// Control is a probe that was allowed, and so shows that a denied one could have
// been.
type Control struct {
	Kind       ControlKind `json:"kind"`
	Check      string      `json:"check"`
	To         string      `json:"to"`
	At         time.Time   `json:"at"`
	ExitCode   int         `json:"exitCode"`
	HTTPStatus int         `json:"httpStatus,omitempty"`
	RemoteIP   string      `json:"remoteIP,omitempty"`
	Command    []string    `json:"command"`
	Subject    Subject     `json:"subject"`
}

// Drop is the datapath's word on one connection or query that it refused.
type Drop struct {
	At          time.Time    `json:"at"`
	Direction   string       `json:"direction"` // egress or ingress
	Reason      string       `json:"reason"`
	Source      string       `json:"source"`
	Destination string       `json:"destination"`
	Names       []string     `json:"names,omitempty"` // DNS names of the destination, or the DNS question
	Protocol    string       `json:"protocol"`
	Policies    []PolicyName `json:"policies"`
}

// PolicyName names a policy that decided.
type PolicyName struct {
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Revision  uint64 `json:"revision,omitempty"`
}

// String is NAMESPACE/NAME.
func (p PolicyName) String() string {
	if p.Namespace == "" {
		return p.Name
	}
	return p.Namespace + "/" + p.Name
}

// Meets says whether a verdict is what was expected. status is the HTTP status
// that an allowed probe must bring, 0 for any.
func (v Verdict) Meets(want Expect, status, got int) bool {
	if want == ExpectAllowed {
		return v.Kind == Allowed && (status == 0 || status == got)
	}
	return want != "" && string(v.Kind) == string(want)
}
