package checks

import (
	"errors"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"go.yaml.in/yaml/v3"
)

// ended is what a wrapped probe leaves that ended with a code.
func ended(code int, program, stdout, stderr string) ExecResult {
	marks := "netdojo-pid 7\nnetdojo-exit " + strconv.Itoa(code) + "\n"
	if program != "" {
		marks = "netdojo-program " + program + "\n" + marks
	}
	return ExecResult{Stdout: []byte(stdout), Stderr: []byte(stderr + "\n" + marks), ExitCode: code}
}

const digOutput = `; <<>> DiG 9.18 <<>> kubernetes.io
;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: %STATUS%, id: 1
;; flags: qr rd%TC% ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1

;; QUESTION SECTION:
;kubernetes.io.			IN	A

;; ANSWER SECTION:
%ANSWER%
;; SERVER: 10.96.0.10#53(10.96.0.10) (UDP)
`

func dig(status, tc, answer string) string {
	return strings.NewReplacer("%STATUS%", status, "%TC%", tc, "%ANSWER%", answer).Replace(digOutput)
}

const record = "kubernetes.io.		30	IN	A	203.0.113.7\n"

// The texts are what the programs print.
func TestConclude(t *testing.T) {
	dns := &DNS{Name: "kubernetes.io"}
	tests := []struct {
		name    string
		probe   Probe
		res     ExecResult
		reading Cause
		stage   Stage
	}{
		{"OpenBSD nc", &TCP{}, ended(0, "nc", "", "Connection to 127.0.0.1 8000 port [tcp/*] succeeded!"), CauseOK, StageConnected},
		{"OpenBSD nc, refused", &TCP{}, ended(1, "nc", "", "nc: connect to 127.0.0.1 port 8001 (tcp) failed: Connection refused"), CauseRefused, StageConnecting},
		{"OpenBSD nc, no route", &TCP{}, ended(1, "nc", "", "nc: connect to 10.9.9.9 port 1 (tcp) failed: Network is unreachable"), CauseRefused, StageConnecting},
		{"OpenBSD nc, timeout", &TCP{}, ended(1, "nc", "", "nc: connect to 10.7.0.2 port 8001 (tcp) timed out: Operation now in progress"), CauseTimeout, StageConnecting},
		{"OpenBSD nc, no name", &TCP{}, ended(1, "nc", "", `nc: getaddrinfo for host "x" port 1: Temporary failure in name resolution`), CauseDNS, StageResolving},
		{"BusyBox nc, no name", &TCP{}, ended(1, "nc", "", "nc: bad address 'x'"), CauseDNS, StageResolving},
		{"BusyBox nc, timeout", &TCP{}, ended(1, "nc", "", "nc: 10.7.0.2 (10.7.0.2:8001): Operation timed out"), CauseTimeout, StageConnecting},
		{"Nmap's nc, timeout", &TCP{}, ended(1, "nc", "", "Ncat: TIMEOUT."), CauseTimeout, StageConnecting},
		{"Nmap's nc, no name", &TCP{}, ended(2, "nc", "", `Ncat: Could not resolve hostname "x": Name or service not known. QUITTING.`), CauseDNS, StageResolving},
		{"bash", &TCP{}, ended(0, "bash", "", ""), CauseOK, StageConnected},
		{"bash, refused", &TCP{}, ended(1, "bash", "", "bash: connect: Connection refused\nbash: line 1: /dev/tcp/127.0.0.1/8001: Connection refused"), CauseRefused, StageConnecting},
		{"bash, no name", &TCP{}, ended(1, "bash", "", "bash: line 1: x: Temporary failure in name resolution\nbash: line 1: /dev/tcp/x/1: Invalid argument"), CauseDNS, StageResolving},
		{"bash, timeout", &TCP{}, ended(124, "bash", "", ""), CauseTimeout, StageUnknown},
		{"nc of another kind", &TCP{}, ended(1, "nc", "", "nc: what is this?"), CauseProbe, StageUnknown},
		{"nc killed", &TCP{}, ended(137, "nc", "", ""), CauseProbe, StageUnknown},

		{"ping", &ICMP{}, ended(0, "", "1 packets transmitted, 1 received", ""), CauseOK, StageConnected},
		{"ping, silence", &ICMP{}, ended(1, "", "1 packets transmitted, 0 received", ""), CauseTimeout, StageConnecting},
		{"ping, no name", &ICMP{}, ended(2, "", "", "ping: x: Temporary failure in name resolution"), CauseDNS, StageResolving},
		{"BusyBox ping, no name", &ICMP{}, ended(1, "", "", "ping: bad address 'x'"), CauseDNS, StageResolving},
		{"ping, not allowed to", &ICMP{}, ended(2, "", "", "ping: socket: Operation not permitted"), CauseProbe, StageUnknown},

		{"dig", dns, ended(0, "dig", dig("NOERROR", "", record), ""), CauseOK, StageConnected},
		{"dig, no such name", dns, ended(0, "dig", dig("NXDOMAIN", "", ""), ""), CauseAnswer, StageConnected},
		{"dig, no such name, as expected", &DNS{Name: "x.y", RCode: "NXDOMAIN"}, ended(0, "dig", dig("NXDOMAIN", "", ""), ""), CauseOK, StageConnected},
		{"dig, a name that is not to be there", &DNS{Name: "kubernetes.io", RCode: "NXDOMAIN"}, ended(0, "dig", dig("NOERROR", "", record), ""), CauseAnswer, StageConnected},
		{"dig, refused by the server", dns, ended(0, "dig", dig("REFUSED", "", ""), ""), CauseDNS, StageConnected},
		{"dig, server failure", dns, ended(0, "dig", dig("SERVFAIL", "", ""), ""), CauseDNS, StageConnected},
		{"dig, no record", dns, ended(0, "dig", dig("NOERROR", "", ""), ""), CauseAnswer, StageConnected},
		{"dig, record of another type", dns, ended(0, "dig", dig("NOERROR", "", "kubernetes.io. 30 IN CNAME x.y.\n"), ""), CauseAnswer, StageConnected},
		{"dig, truncated", &DNS{Name: "a.b", Protocol: "udp"}, ended(0, "dig", dig("NOERROR", " tc", ""), ""), CauseAnswer, StageConnected},
		{"dig, truncated, as expected", &DNS{Name: "a.b", Protocol: "udp", Truncated: true}, ended(0, "dig", dig("NOERROR", " tc", ""), ""), CauseOK, StageConnected},
		{"dig, not truncated", &DNS{Name: "a.b", Protocol: "udp", Truncated: true}, ended(0, "dig", dig("NOERROR", "", record), ""), CauseAnswer, StageConnected},
		{"dig, silence", dns, ended(9, "dig", ";; communications error to 10.7.0.2#53: timed out\n;; no servers could be reached", ""), CauseTimeout, StageConnecting},
		{"dig by TCP, silence", dns, ended(9, "dig", ";; Connection to 10.7.0.2#53(10.7.0.2) for a.example failed: timed out.\n;; no servers could be reached", ""), CauseTimeout, StageConnecting},
		{"dig, nobody listens", dns, ended(9, "dig", ";; communications error to 127.0.0.1#53: connection refused\n;; no servers could be reached", ""), CauseDNS, StageConnecting},
		{"dig, no server of that name", dns, ended(1, "dig", "", "dig: couldn't get address for 'x': failure"), CauseDNS, StageResolving},
		{"nslookup", dns, ended(0, "nslookup", "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\nName:\tkubernetes.io\nAddress: 203.0.113.7\n", ""), CauseOK, StageConnected},
		{"nslookup, no such name", dns, ended(1, "nslookup", "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n** server can't find kubernetes.io: NXDOMAIN\n", ""), CauseAnswer, StageConnected},
		{"nslookup, silence", dns, ended(1, "nslookup", ";; connection timed out; no servers could be reached\n\n", ""), CauseTimeout, StageConnecting},

		{"command", &Command{Run: []string{"x"}, Output: "^a+$"}, ended(0, "", "aaa", ""), CauseOK, StageUnknown},
		{"command, other output", &Command{Run: []string{"x"}, Output: "^a+$"}, ended(0, "", "aab", ""), CauseUnmet, StageUnknown},
		{"command, code", &Command{Run: []string{"x"}, Exit: 3}, ended(3, "", "", ""), CauseOK, StageUnknown},
		{"command, other code", &Command{Run: []string{"x"}, Exit: 3}, ended(0, "", "", ""), CauseUnmet, StageUnknown},
		{"command killed", &Command{Run: []string{"x"}}, ended(137, "", "", ""), CauseProbe, StageUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := ReadOutcome(tt.probe, tt.res, nil)
			if o.Err != nil || o.Reading != tt.reading || o.Stage != tt.stage {
				t.Errorf("got %s at stage %q (%s, %v), want %s at %q", o.Reading, o.Stage, o.Says, o.Err, tt.reading, tt.stage)
			}
			if o.Reading != CauseOK && o.Says == "" {
				t.Error("it does not say why")
			}
		})
	}
}

// A program that the image lacks is named, and is no outcome. The next one that
// does the same is taken.
func TestScriptPicksAProgram(t *testing.T) {
	c := Check{To: "127.0.0.1:1", Probe: Spec{Probe: &TCP{}}}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	local := &localExecer{t: t}
	run := func(commands []CommandLine) Outcome {
		script := TCP{}.Script(commands)
		res, err := local.Exec(t.Context(), ExecRequest{Command: append([]string{sh}, script[1:]...)})
		return ReadOutcome(&TCP{}, res, err)
	}
	commands := TCP{}.Commands(c)
	for i := range commands {
		commands[i].Program = "netdojo-has-no-" + commands[i].Program
	}
	if o := run(commands); !errors.Is(o.Err, ErrNoCommand) || !strings.Contains(o.Err.Error(), "the image has no netdojo-has-no-nc and no netdojo-has-no-bash") {
		t.Errorf("no program: %+v", o)
	}
	second := []CommandLine{commands[0], {Program: "true", Words: []string{"sh", "-c", "echo \"it's $0\" >&2; exit 3", "a 'word'"}}}
	if o := run(second); o.Err != nil || o.ExitCode != 3 || o.Program != "true" || o.Message != "it's a 'word'" {
		t.Errorf("the second: %+v", o)
	}
	first := []CommandLine{{Program: "true", Test: "false", Words: []string{"false"}}, {Program: "true", Test: "true", Words: []string{"true"}}}
	if o := run(first); o.Err != nil || o.ExitCode != 0 {
		t.Errorf("a program that lacks an option: %+v", o)
	}
}

// A flow is a probe's own, a look-up for it, or none of it.
func TestMatch(t *testing.T) {
	icmp := func(f *flowpb.Flow) {
		f.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_ICMPv4{ICMPv4: &flowpb.ICMPv4{Type: 8}}}
	}
	toPod := func(f *flowpb.Flow) { f.IP.Destination, f.DestinationNames = "10.244.0.20", nil }
	byUDP := func(f *flowpb.Flow) {
		f.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{DestinationPort: 443}}}
	}
	dnsByTCP := func(f *flowpb.Flow) {
		f.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{DestinationPort: 53}}}
	}
	headless := backend()
	headless.Service = &Service{Namespace: "default", Name: "pods", ClusterIP: "None", TargetPorts: []uint16{0}, Endpoints: []string{"10.244.0.20"}}
	dropped := flowpb.Verdict_DROPPED
	tests := []struct {
		name    string
		probe   Probe
		to      string
		subject Subject
		flow    *flowpb.Flow
		want    Relation
	}{
		{"tcp", &TCP{}, "cilium.io:443", backend(), flowOf(dropped), RelationConnection},
		{"tcp, UDP to the same port", &TCP{}, "cilium.io:443", backend(), flowOf(dropped, byUDP), RelationNone},
		{"tcp to a DNS server", &TCP{}, "10.244.0.2:53", backend(), dnsDrop(dnsByTCP), RelationConnection},
		{"tcp, its look-up", &TCP{}, "cilium.io:443", backend(), dnsDrop(), RelationLookup},
		{"tcp, the name's look-up refused", &TCP{}, "cilium.io:443", backend(), dnsProxy(dropped, "cilium.io."), RelationLookup},
		{"tcp, another name's look-up", &TCP{}, "cilium.io:443", backend(), dnsProxy(dropped, "kubernetes.io."), RelationNone},
		{"icmp", &ICMP{}, "cilium.io", backend(), flowOf(dropped, icmp), RelationConnection},
		{"icmp, TCP to the same host", &ICMP{}, "cilium.io", backend(), flowOf(dropped), RelationNone},
		{"icmp, to a pod of a headless Service", &ICMP{}, "pods", headless, flowOf(dropped, icmp, toPod), RelationConnection},
		{"icmp, TCP to that pod", &ICMP{}, "pods", headless, flowOf(dropped, toPod), RelationNone},
		{"dns, the query", &DNS{Name: "cilium.io"}, "", backend(), dnsDrop(), RelationConnection},
		{"dns by tcp, a query by UDP", &DNS{Name: "cilium.io", Protocol: "tcp"}, "", backend(), dnsDrop(), RelationNone},
		{"dns by tcp", &DNS{Name: "cilium.io", Protocol: "tcp"}, "", backend(), dnsDrop(dnsByTCP), RelationConnection},
		{"dns, the name refused", &DNS{Name: "cilium.io"}, "", backend(), dnsProxy(dropped, "cilium.io."), RelationRequest},
		{"dns, another name refused", &DNS{Name: "cilium.io"}, "", backend(), dnsProxy(dropped, "kubernetes.io."), RelationNone},
		{"dns, another server", &DNS{Name: "cilium.io"}, "10.0.0.1:53", backend(), dnsDrop(), RelationNone},
		{"dns, a connection to the name", &DNS{Name: "cilium.io"}, "", backend(), flowOf(dropped), RelationNone},
		{"dns, a request to a web server", &DNS{Name: "cilium.io"}, "", backend(), httpDrop(), RelationNone},
		{"kubectl", &Kubectl{Get: "pod/x"}, "", backend(), flowOf(dropped), RelationNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Check{To: tt.to, Probe: Spec{Probe: tt.probe}}
			tg, err := newTarget(Input{Check: c, Subject: tt.subject, Outcome: Outcome{Started: probeStart}})
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.probe.Match(tg, tt.flow); got != tt.want {
				t.Errorf("relation is %d, want %d", got, tt.want)
			}
		})
	}
}

// Of every kind: no deny without a control and a drop, whatever the probe left.
func TestNoKindDeniesWithoutProof(t *testing.T) {
	to := map[string]string{"icmp": "cilium.io", "dns": "", "kubectl": ""}
	for _, k := range ProbeKinds() {
		host, ok := to[k.Name]
		if !ok {
			host = "cilium.io:443"
		}
		for _, code := range []int{0, 1, 2, 9, 28, 124, 137} {
			for _, state := range []FlowState{FlowsLive, FlowsNone} {
				c := Check{ID: "x", To: host, Probe: Spec{Probe: k.New()}, Before: ExpectAllowed, After: ExpectDenied}
				o := ReadOutcome(c.probe(), ended(code, "", "", "timed out"), nil)
				o.Started = probeStart
				in := Input{Check: c, Outcome: o, Subject: backend(), FlowState: state}
				if v := Judge(in); v.Kind == Denied || v.Kind == DeniedL7 {
					t.Errorf("%s, code %d, flows %s: %s without a control", k.Name, code, state, v.Kind)
				}
				in.Controls = []Control{{Kind: ControlBefore, Check: "x", To: c.Target(), Command: c.CommandLine(), Subject: backend()}}
				if v := Judge(in); state == FlowsLive && (v.Kind == Denied || v.Kind == DeniedL7) {
					t.Errorf("%s, code %d: %s without a drop", k.Name, code, v.Kind)
				}
			}
		}
	}
}

// A DNS query that a policy drops is denied, one that its proxy refuses denied-l7.
func TestJudgeDNS(t *testing.T) {
	c := Check{ID: "x", Probe: Spec{Probe: &DNS{Name: "cilium.io"}}, Before: ExpectAllowed, After: ExpectDenied}
	control := Control{Kind: ControlBefore, Check: "x", To: c.Target(), Command: c.CommandLine(), Subject: backend()}
	judge := func(res ExecResult, flows ...*flowpb.Flow) Verdict {
		o := ReadOutcome(c.probe(), res, nil)
		o.Started = probeStart
		return Judge(Input{Check: c, Outcome: o, Subject: backend(), FlowState: FlowsLive, Flows: flows, Controls: []Control{control}})
	}
	silent := ended(9, "dig", ";; communications error to 10.244.0.2#53: timed out\n;; no servers could be reached", "")
	if v := judge(silent, dnsDrop()); v.Kind != Denied || v.Evidence.Drop == nil {
		t.Errorf("dropped: %+v", v)
	}
	if v := judge(silent); v.Kind != Broken || v.Cause != CauseTimeoutNoDrop {
		t.Errorf("silence: %+v", v)
	}
	refused := ended(0, "dig", dig("REFUSED", "", ""), "")
	if v := judge(refused, dnsProxy(flowpb.Verdict_DROPPED, "cilium.io.")); v.Kind != DeniedL7 || v.Evidence.Drop == nil {
		t.Errorf("refused by the proxy: %+v", v)
	}
	if v := judge(refused); v.Kind != Broken || v.Cause != CauseDNS {
		t.Errorf("refused by the server: %+v", v)
	}
}

func TestMatrixExample(t *testing.T) {
	var all []Check
	if err := yaml.Unmarshal([]byte(MatrixExample), &all); err != nil || len(all) != 1 {
		t.Fatalf("%d checks, %v", len(all), err)
	}
	if problems, cells := all[0].Problems(), all[0].Cells(); len(problems) > 0 || len(cells) != 4 {
		t.Errorf("%d cells, problems %+v", len(cells), problems)
	}
}

// Every kind's example can be read and has no problems; its kind is the one that
// it is an example of.
func TestExamples(t *testing.T) {
	for _, k := range ProbeKinds() {
		var all []Check
		if err := yaml.Unmarshal([]byte(k.Example), &all); err != nil || len(all) == 0 {
			t.Errorf("%s: %d checks, %v", k.Name, len(all), err)
		}
		for _, c := range all {
			if problems := c.Problems(); len(problems) > 0 {
				t.Errorf("%s: check %s: %+v", k.Name, c.ID, problems)
			}
			for _, e := range []Expect{c.Before, c.After} {
				if e != "" && !slices.Contains(c.Expects(), e) {
					t.Errorf("%s: check %s is never %s", k.Name, c.ID, e)
				}
			}
			if c.Probe.Probe == nil && k.Name != "curl" {
				t.Errorf("%s: check %s is of another kind", k.Name, c.ID)
			}
		}
		if k.Summary == "" || k.Evidence == "" {
			t.Errorf("%s says nothing of itself", k.Name)
		}
	}
}

func TestResolves(t *testing.T) {
	for _, tt := range []struct {
		check Check
		want  []string
	}{
		{Check{To: "https://Cilium.io"}, []string{"cilium.io"}},
		{Check{To: "http://192.0.2.1"}, nil},
		{Check{Probe: Spec{Probe: &DNS{Name: "Kubernetes.io."}}}, []string{"kubernetes.io"}},
		{Check{To: "ns.example:53", Probe: Spec{Probe: &DNS{Name: "a.example"}}}, []string{"ns.example", "a.example"}},
		{Check{Probe: Spec{Probe: &DNS{Name: "gone.example", RCode: "NXDOMAIN"}}}, nil},
		{Check{Probe: Spec{Probe: &Kubectl{Get: "pod/x"}}}, nil},
	} {
		if got := tt.check.Resolves(); !slices.Equal(got, tt.want) {
			t.Errorf("%s resolves %q, want %q", tt.check.Target(), got, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		check Check
		want  bool
	}{
		{Check{To: "http://web.shop:8080/"}, true},
		{Check{To: "http://web.shop.svc/"}, true},
		{Check{To: "http://web/"}, false},
		{Check{To: "http://web.shopping/"}, false},
		{Check{Probe: Spec{Probe: &DNS{Name: "web.shop.svc.cluster.local"}}}, true},
		{Check{Probe: Spec{Probe: &DNS{Name: "kubernetes.io"}}}, false},
		{Check{To: "pods.shop", Probe: Spec{Probe: &ICMP{}}}, true},
		{Check{Probe: Spec{Probe: &Command{Run: []string{"curl", "http://web.shop.svc/"}}}}, true},
	} {
		if got := tt.check.Names("shop"); got != tt.want {
			t.Errorf("%s: %v", strings.Join(tt.check.CommandLine(), " "), got)
		}
	}
}

func TestSpec(t *testing.T) {
	var c Check
	if err := yaml.Unmarshal([]byte(`{probe: {nothing: {}}}`), &c); err == nil || !strings.Contains(err.Error(), `no probe "nothing"`) {
		t.Errorf("an unknown kind: %v", err)
	}
	if err := yaml.Unmarshal([]byte(`{to: "a:1", probe: {tcp: {}, icmp: {}}}`), &c); err != nil {
		t.Fatal(err)
	}
	if problems := c.Problems(); len(problems) != 1 || problems[0].Message != "has both tcp and icmp" {
		t.Errorf("two kinds: %+v", problems)
	}
}
