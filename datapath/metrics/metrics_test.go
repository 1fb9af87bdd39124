package metrics

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/cilium/api/v1/models"
	"github.com/cilium/hive/shell"

	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/verdict"
)

type engine struct{}

func (engine) Policies() int    { return 2 }
func (engine) Revision() uint64 { return 7 }
func (engine) Endpoints() []policy.EndpointInfo {
	return []policy.EndpointInfo{{ID: 0}, {ID: 1}, {ID: 2, EgressEnforced: true}, {ID: 3, EgressEnforced: true, IngressEnforced: true}}
}

type nowhere struct{}

func (nowhere) Publish(verdict.Event) {}

// TestMetrics: Cilium's own client and Prometheus' text read what was counted.
func TestMetrics(t *testing.T) {
	m := New(engine{})
	sink := m.Sink(nowhere{})
	pod := verdict.Peer{Endpoint: 1}
	for _, e := range []verdict.Event{
		{Verdict: verdict.Verdict{Action: verdict.Allow, Src: pod}},
		{Verdict: verdict.Verdict{Action: verdict.RedirectDNS, Direction: verdict.Egress, Src: pod}},
		{Verdict: verdict.Verdict{Action: verdict.Allow, Dst: pod}},
		{Verdict: verdict.Verdict{Action: verdict.Drop, Reason: verdict.ReasonPolicy, Direction: verdict.Ingress, Dst: pod}},
		{Verdict: verdict.Verdict{Action: verdict.Allow, Direction: verdict.Egress}, DNS: &verdict.DNS{}},
		{Verdict: verdict.Verdict{Action: verdict.Allow, Direction: verdict.Egress}, DNS: &verdict.DNS{Response: true}},
		{Verdict: verdict.Verdict{Action: verdict.Drop, Reason: verdict.ReasonL7, Direction: verdict.Ingress}, HTTP: &verdict.HTTP{}},
	} {
		sink.Publish(e)
	}
	cfg := Config{Shell: filepath.Join(t.TempDir(), "shell.sock"), Address: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
	ln, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Address = ln.Addr().String()
	ln.Close()
	s, err := m.Serve(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ask := func(format string, args ...any) (string, error) {
		var out bytes.Buffer
		err := shell.ShellExchange(shell.Config{ShellSockPath: cfg.Shell}, &out, format, args...)
		return out.String(), err
	}

	text, err := ask("metrics --format=%s '%s'", "json", "")
	if err != nil {
		t.Fatal(err)
	}
	var all []models.Metric
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	got := map[string]float64{}
	for _, one := range all {
		got[one.Name+" "+joined(one.Labels)] = one.Value
	}
	want := map[string]float64{
		"cilium_forward_count_total direction=EGRESS":                    2,
		"cilium_forward_count_total direction=INGRESS":                   1,
		"cilium_drop_count_total direction=INGRESS reason=Policy denied": 1,
		"cilium_policy_l7_total proxy_type=fqdn rule=received":           1,
		"cilium_policy_l7_total proxy_type=fqdn rule=forwarded":          1,
		"cilium_policy_l7_total proxy_type=http rule=received":           1,
		"cilium_policy_l7_total proxy_type=http rule=denied":             1,
		"cilium_policy ":                                                2,
		"cilium_policy_max_revision ":                                   7,
		"cilium_endpoint_state endpoint_state=ready":                    3,
		"cilium_policy_endpoint_enforcement_status enforcement=none":    1,
		"cilium_policy_endpoint_enforcement_status enforcement=egress":  1,
		"cilium_policy_endpoint_enforcement_status enforcement=ingress": 0,
		"cilium_policy_endpoint_enforcement_status enforcement=both":    1,
	}
	if len(got) != len(want) {
		t.Errorf("%d metrics, want %d: %v", len(got), len(want), got)
	}
	for name, value := range want {
		if v, ok := got[name]; !ok || v != value {
			t.Errorf("%s is %v (%v), want %v", name, v, ok, value)
		}
	}

	if text, err := ask("metrics --format=%s '%s'", "table", "drop.*reason=Policy"); err != nil || strings.Count(text, "cilium_") != 1 || !strings.Contains(text, "Policy denied   1.000000") {
		t.Errorf("the drops' table, %v:\n%s", err, text)
	}
	for line, part := range map[string]string{"metrics --format=json '('": "regex", "metrics --format=xml ''": "unknown format", "bpf/maps": "alone"} {
		if _, err := ask("%s", line); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", line, err)
		}
	}

	resp, err := http.Get("http://" + cfg.Address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !slices.Contains(strings.Split(string(body), "\n"), `cilium_drop_count_total{direction="INGRESS",reason="Policy denied"} 1`) {
		t.Errorf("Prometheus reads, %v:\n%s", err, body)
	}
}
