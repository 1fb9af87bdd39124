package pagerun

import (
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	corev1 "k8s.io/api/core/v1"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/runner/record"
)

// ended is a dial that showed a text and ended with a code.
func ended(t *testing.T, words, shown string, code int) *dial {
	t.Helper()
	e := &execution{Namespace: "n", Pod: "p", Words: strings.Fields(words), Begun: time.Now(), done: make(chan struct{})}
	e.subject = checks.Subject{State: checks.PodReady, Namespace: "n", Pod: "p", UID: "u"}
	e.out.WriteString(shown)
	e.code, e.ended = &code, time.Now()
	e.end("")
	d, ok := dialOf(e, e.Words)
	if !ok {
		t.Fatalf("%s dials nobody", words)
	}
	return d
}

func drop(to string, port uint32) *flowpb.Flow {
	return &flowpb.Flow{
		Verdict: flowpb.Verdict_DROPPED, DropReasonDesc: flowpb.DropReason_POLICY_DENIED, TrafficDirection: flowpb.TrafficDirection_EGRESS,
		Source: &flowpb.Endpoint{Namespace: "n", PodName: "p"}, Destination: &flowpb.Endpoint{}, DestinationNames: []string{to},
		IP: &flowpb.IP{Source: "10.0.0.1", Destination: "192.0.2.1"},
		L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{DestinationPort: port}}},
	}
}

// verdictOf judges a dial by flows and controls.
func verdictOf(d *dial, flows []*flowpb.Flow, controls ...checks.Control) judged {
	j := judged{dial: d, outcome: d.outcome(), flows: flows, state: checks.FlowsLive}
	j.judge(controls)
	return j
}

const timeoutText = "curl: (28) Connection timed out after 5001 milliseconds\r\n"

func TestDialsAreJudged(t *testing.T) {
	before := ended(t, "curl -Ik https://cilium.io", "HTTP/2 200 \r\n", 0)
	control := checks.NewControl(checks.ControlBefore, before.check, checks.Result{Outcome: before.outcome(), Subject: before.subject})
	flows := []*flowpb.Flow{drop("cilium.io", 443)}
	for name, tc := range map[string]struct {
		dial     *dial
		flows    []*flowpb.Flow
		controls []checks.Control
		kind     checks.Kind
		cause    checks.Cause
	}{
		"allowed":             {before, nil, nil, checks.Allowed, checks.CauseOK},
		"a server's 403":      {ended(t, "curl -I http://a", "HTTP/1.1 403 Forbidden\r\n", 0), nil, nil, checks.Allowed, checks.CauseOK},
		"denied":              {ended(t, "curl -Ik -m 5 https://cilium.io", timeoutText, 28), flows, []checks.Control{control}, checks.Denied, checks.CausePolicyDrop},
		"without a control":   {ended(t, "curl -Ik https://cilium.io", timeoutText, 28), flows, nil, checks.Inconclusive, checks.CauseNoControl},
		"without a drop":      {ended(t, "curl -Ik https://cilium.io", timeoutText, 28), nil, []checks.Control{control}, checks.Broken, checks.CauseTimeoutNoDrop},
		"another's drop":      {ended(t, "curl -Ik https://cilium.io", timeoutText, 28), []*flowpb.Flow{drop("kubernetes.io", 443)}, []checks.Control{control}, checks.Broken, checks.CauseTimeoutNoDrop},
		"a name is not found": {ended(t, "curl https://cilium.io", "curl: (6) Could not resolve host: cilium.io\r\n", 6), nil, nil, checks.Broken, checks.CauseDNS},
		"refused":             {ended(t, "wget -qO- -T 2 http://a:81", "wget: connection refused", 1), nil, nil, checks.Broken, checks.CauseProbe},
	} {
		t.Run(name, func(t *testing.T) {
			j := verdictOf(tc.dial, tc.flows, tc.controls...)
			if j.verdict.Kind != tc.kind || j.verdict.Cause != tc.cause {
				t.Errorf("%s (%s): %s; want %s (%s)", j.verdict.Kind, j.verdict.Cause, j.verdict.Detail, tc.kind, tc.cause)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	control := func() checks.Control {
		d := ended(t, "curl -Ik https://cilium.io", "HTTP/2 200 \r\n", 0)
		return checks.NewControl(checks.ControlBefore, d.check, checks.Result{Outcome: d.outcome(), Subject: d.subject})
	}()
	allowed := verdictOf(ended(t, "curl -Ik https://cilium.io", "HTTP/2 200 \r\n", 0), nil)
	denied := verdictOf(ended(t, "curl -Ik https://cilium.io", timeoutText, 28), []*flowpb.Flow{drop("cilium.io", 443)}, control)
	unproven := verdictOf(ended(t, "curl -Ik https://cilium.io", timeoutText, 28), nil, control)
	code := func(n int) *int { return &n }
	for name, tc := range map[string]struct {
		claim  page.Claim
		dial   judged
		passes bool
	}{
		"allowed is allowed":            {page.Claim{Kind: page.Allowed, Status: 200}, allowed, true},
		"allowed with another status":   {page.Claim{Kind: page.Allowed, Status: 201}, allowed, false},
		"allowed is denied":             {page.Claim{Kind: page.Allowed, Status: 200}, denied, false},
		"denied is denied":              {page.Claim{Kind: page.Denied, Exit: code(28)}, denied, true},
		"denied with another exit code": {page.Claim{Kind: page.Denied, Exit: code(7)}, denied, false},
		"denied is allowed":             {page.Claim{Kind: page.Denied}, allowed, false},
		"a timeout is no deny":          {page.Claim{Kind: page.Denied, Exit: code(28)}, unproven, false},
		"exit code":                     {page.Claim{Kind: page.Exits, Exit: code(28)}, unproven, true},
		"another exit code":             {page.Claim{Kind: page.Exits, Exit: code(6)}, unproven, false},
		"status":                        {page.Claim{Kind: page.Answered, Status: 200}, allowed, true},
		"another status":                {page.Claim{Kind: page.Answered, Status: 403}, allowed, false},
		"l7 is not":                     {page.Claim{Kind: page.DeniedL7}, allowed, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := (&session{}).claims(page.Command{Number: 1, Claims: []page.Claim{tc.claim}}, code(0), nil, []judged{tc.dial})
			if len(got) != 1 || got[0].Passed != tc.passes {
				t.Fatalf("%+v", got)
			}
			if got[0].Observed == "" || got[0].Rule == "" || !tc.passes && got[0].Should == "" {
				t.Errorf("told %+v", got[0])
			}
		})
	}
}

func TestSiblingsAreOfTheSamePolicies(t *testing.T) {
	s := &session{controls: map[string]control{}, epoch: 1}
	other := ended(t, "curl https://kubernetes.io", "HTTP/2 200 \r\n", 0)
	s.keep(verdictOf(other, nil))
	d := ended(t, "curl https://cilium.io", timeoutText, 28)
	for epoch, want := range map[int]int{0: 1, 1: 0} { // other's epoch is 0
		d.epoch = epoch
		if got := s.controlsOf(d); len(got) != want {
			t.Errorf("with policies %d there are %d controls, want %d", epoch, len(got), want)
		}
	}
}

func TestUntrustedCertificateIsAControl(t *testing.T) {
	forwarded := drop("kubernetes.io", 443)
	forwarded.Verdict, forwarded.DropReasonDesc = flowpb.Verdict_FORWARDED, 0
	d := ended(t, "curl https://kubernetes.io", "curl: (60) SSL certificate problem\r\n", 60)
	for name, flows := range map[string][]*flowpb.Flow{"": nil, "192.0.2.1": {forwarded}} {
		s := &session{controls: map[string]control{}}
		s.keep(verdictOf(d, flows))
		other := ended(t, "curl https://cilium.io", timeoutText, 28)
		got := s.controlsOf(other)
		if name == "" && len(got) != 0 || name != "" && (len(got) != 1 || got[0].RemoteIP != name) {
			t.Errorf("with flows %v: %+v", flows, got)
		}
	}
}

func TestOutputClaims(t *testing.T) {
	shown := map[int]string{1: "one\n", 2: "two\n"}
	claim := page.Claim{Kind: page.Shows, Line: 5, Want: []string{"one", "two"}, Lines: []int{5, 7}}
	var r record.PageClaim
	showClaim(&r, claim, 2, shown)
	if r.Passed || r.Line != 5 {
		t.Errorf("without the first command: %+v", r)
	}
	claim.Since = 1
	r = record.PageClaim{}
	if showClaim(&r, claim, 2, shown); !r.Passed {
		t.Errorf("with the first command: %+v", r)
	}
	shown[2] = "three\n"
	r = record.PageClaim{}
	if showClaim(&r, claim, 2, shown); r.Passed || r.Line != 7 || r.Says != "two" {
		t.Errorf("another line: %+v", r)
	}
}

// TestPodMadeAnew: the pod that kubectl run makes for one command is another each time,
// and the same experiment as long as nothing else of it differs.
func TestPodMadeAnew(t *testing.T) {
	before := ended(t, "wget -qO- http://web", "welcome", 0)
	held := checks.NewControl(checks.ControlBefore, before.check, checks.Result{Outcome: before.outcome(), Subject: before.subject})
	for name, tc := range map[string]struct {
		attached bool
		labels   map[string]string
		anew     bool
	}{
		"made anew":         {true, nil, true},
		"executed in":       {false, nil, false},
		"with other labels": {true, map[string]string{"access": "true"}, false},
	} {
		s := &session{controls: map[string]control{}}
		d := ended(t, "wget -qO- http://web", "", 1)
		d.Attached, d.subject.UID, d.subject.Labels = tc.attached, "another", tc.labels
		s.controls[d.check.ID] = control{Control: held}
		got := s.controlsOf(d)
		if d.anew != tc.anew || len(got) != 1 || (got[0].Subject.UID == "another") != tc.anew {
			t.Errorf("%s: anew %t, controls %+v", name, d.anew, got)
		}
	}
}

// TestProgramCode: that an attachment to a pod's program ended well says nothing of the
// program. Its pod tells, also where the program was begun anew.
func TestProgramCode(t *testing.T) {
	e := &execution{Attached: true, done: make(chan struct{})}
	e.take(append([]byte{channelError}, `{"status":"Success"}`...))
	if e.code != nil || e.running() {
		t.Errorf("the attachment alone: code %v, running %t", e.code, e.running())
	}
	failed := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	for name, tc := range map[string]struct {
		status corev1.ContainerStatus
		want   int // -1: not known
	}{
		"it runs":        {corev1.ContainerStatus{Name: "c", State: running}, -1},
		"it has ended":   {corev1.ContainerStatus{Name: "c", State: failed}, 1},
		"begun anew":     {corev1.ContainerStatus{Name: "c", State: running, LastTerminationState: failed}, 1},
		"of another one": {corev1.ContainerStatus{Name: "sidecar", State: failed}, -1},
	} {
		got := programCode(corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{tc.status}}}, "c")
		if (got == nil) != (tc.want < 0) || got != nil && *got != tc.want {
			t.Errorf("%s: %v, want %d", name, got, tc.want)
		}
	}
}

// TestNameless: a program whose DNS queries a policy drops dials nobody. That is no proof
// of a deny, and the report says why.
func TestNameless(t *testing.T) {
	d := ended(t, "curl -s --max-time 5 http://web", "", 28)
	query := drop("", 0)
	query.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{DestinationPort: dnsPort}}}
	for name, tc := range map[string]struct {
		flow *flowpb.Flow
		want bool
	}{"its query": {query, true}, "another's": {drop("elsewhere", 8443), false}} {
		if got := nameless(d, []*flowpb.Flow{tc.flow}); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	j := verdictOf(d, nil)
	j.verdict.Cause, j.nameless = checks.CauseTimeoutNoDrop, true
	var r record.PageClaim
	(&session{}).dialClaim(&r, page.Claim{Kind: page.Denied}, j)
	if r.Passed || !strings.Contains(r.Observed, "DNS queries") {
		t.Errorf("%+v", r)
	}
}
