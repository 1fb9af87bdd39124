package inside

import (
	"fmt"
	"strings"
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// TestPendingIn reads what an agent says of its policies and endpoints.
func TestPendingIn(t *testing.T) {
	endpoint := func(id, revision int, state string) string {
		return fmt.Sprintf(`{"id": %d, "status": {"state": %q, "policy": {"realized": {"policy-revision": %d}}}}`, id, state, revision)
	}
	said := func(uid string, revision int, endpoints ...string) string {
		return fmt.Sprintf("{\"policy\": \"[{\\\"key\\\": \\\"io.cilium.k8s.policy.uid\\\", \\\"value\\\": \\\"%s\\\"}]\", \"revision\": %d}\n%s\n[%s]",
			uid, revision, lookBreak, strings.Join(endpoints, ", "))
	}
	for name, tc := range map[string]struct {
		out   string
		there bool
		want  string
	}{
		"all have it":              {said("mine", 7, endpoint(1, 7, "ready"), endpoint(2, 8, "ready")), true, ""},
		"one is behind":            {said("mine", 7, endpoint(1, 7, "ready"), endpoint(2, 6, "regenerating")), true, "endpoint 2, which is regenerating, has not realised revision 7"},
		"one has realised nothing": {said("mine", 7, `{"id": 3, "status": {"state": "waiting-for-identity", "policy": {}}}`), true, "endpoint 3"},
		"one goes":                 {said("mine", 7, endpoint(1, 7, "ready"), endpoint(2, 6, "disconnecting")), true, ""},
		"not here yet":             {said("other", 7, endpoint(1, 7, "ready")), true, "does not have the policy"},
		"still here":               {said("mine", 7, endpoint(1, 7, "ready")), false, "still has the policy"},
		"gone, but not everywhere": {said("other", 8, endpoint(1, 7, "ready")), false, "has not realised revision 8"},
		"gone":                     {said("other", 8, endpoint(1, 8, "ready")), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := pendingIn([]byte(tc.out), "mine", tc.there)
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	for _, broken := range []string{"", "{}", "{" + lookBreak + "[]", "{}" + lookBreak + "["} {
		if got, err := pendingIn([]byte(broken), "mine", false); err == nil {
			t.Errorf("%q gives %q and no error", broken, got)
		}
	}
}

// TestParseFlows reads the lines of Hubble's command and of the monitor.
func TestParseFlows(t *testing.T) {
	f, err := parseObserved([]byte(`{"flow":{"verdict":"DROPPED","drop_reason_desc":"POLICY_DENIED","IP":{"source":"10.244.0.5","destination":"10.244.0.6","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":40000,"destination_port":80}},"source":{"namespace":"default","pod_name":"client"},"a_later_field":1},"node_name":"n","time":"2026-01-01T00:00:00Z"}`))
	if err != nil || f.GetVerdict() != flowpb.Verdict_DROPPED || f.GetSource().GetPodName() != "client" || f.GetL4().GetTCP().GetDestinationPort() != 80 {
		t.Errorf("observed %v, %v", f, err)
	}
	if f, err := parseObserved([]byte(`{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"3"}}`)); err != nil || f != nil {
		t.Errorf("lost events: %v, %v", f, err)
	}
	if _, err := parseObserved([]byte("broken")); err == nil {
		t.Error("a broken line is a flow")
	}
	f, err = parseMonitored([]byte(`{"cpu":"CPU 00:","type":"drop","reason":"Policy denied","summary":{"ethernet":"","ipv4":"","tcp":"x","l3":{"src":"10.244.0.5","dst":"10.244.0.6"},"l4":{"src":"40000","dst":"80"}}}`))
	if err != nil || f.GetDropReasonDesc() != flowpb.DropReason_POLICY_DENIED || f.GetIP().GetSource() != "10.244.0.5" || f.GetL4().GetTCP().GetDestinationPort() != 80 {
		t.Errorf("monitored %v, %v", f, err)
	}
	for _, line := range []string{"", "Press Ctrl-C to quit", `{"type":"trace"}`, `{"type":"drop","reason":"Policy denied"}`} {
		if f, err := parseMonitored([]byte(line)); f != nil || err != nil {
			t.Errorf("%q: %v, %v", line, f, err)
		}
	}
	for _, line := range []string{"{", `{"type":"drop","summary":{"l3":{},"l4":{"src":"x","dst":"80"}}}`} {
		if _, err := parseMonitored([]byte(line)); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
}

func TestPlainHubble(t *testing.T) {
	settings := func(enabled, plain, listen string) map[string]string {
		return map[string]string{"enable-hubble": enabled, "hubble-disable-tls": plain, "hubble-listen-address": listen}
	}
	for name, tc := range map[string]struct {
		settings map[string]string
		want     int
	}{
		"netdojo's":    {settings("true", "true", ":4244"), 4244},
		"with TLS":     {settings("true", "false", ":4244"), 0},
		"off":          {settings("false", "true", ":4244"), 0},
		"socket alone": {settings("true", "true", ""), 0},
		"no port":      {settings("true", "true", ":x"), 0},
	} {
		if got := plainHubble(tc.settings); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// TestMergedEnds: the stream of no node, and one that is closed, end.
func TestMergedEnds(t *testing.T) {
	m := merge(nil)
	if _, err := m.Recv(); err == nil {
		t.Error("a flow from nowhere")
	}
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
