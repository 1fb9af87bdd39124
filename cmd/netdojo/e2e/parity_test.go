//go:build linux && parity

package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/kind"
)

var (
	paritySets = flag.Int("parity.sets", 20, "how many sets of generated policies TestParity tries")
	parityOnly = flag.String("parity.only", "", "STATE/NAME: only try the policies on this kind cluster, which runs")
	parityOut  = flag.String("parity.out", "", "where it writes its table; empty: nowhere")
)

// A row of the table: a probe under a policy, and what it met on each cluster.
type row struct {
	policy, probe string
	want          bool
	met           []string // as in parityClusters
}

// What a probe meets. A deny is one only with the datapath's drop by policy.
const (
	metAllowed = "allowed"
	metDenied  = "denied"
)

// parityClusters are the columns: the arguments of `netdojo up`.
var parityClusters = []struct {
	name string
	args []string
}{
	{"Cilium in kind", []string{"--provider", "kind", "--datapath", "cilium"}},
	{"netdojo in kind", []string{"--provider", "kind"}},
	{"netdojo embedded", nil},
}

// explained are the differences that are known, by policy and probe, each with
// where it comes from.
var explained = map[string]string{}

// TestParity holds real Cilium against our datapath: the policies of the policy
// table that need no Envoy and generated ones, the same probes on each cluster.
func TestParity(t *testing.T) {
	if *parityOnly != "" {
		state, name := filepath.Split(*parityOnly)
		shared.home = newHome(t, filepath.Clean(state))
		defer func() { shared.home = nil }()
		for _, r := range onKind(t, filepath.Clean(state), name) {
			if right := expected(r.want); r.met[0] != right {
				t.Errorf("%s, %s: want %s, met %s", r.policy, r.probe, right, r.met[0])
			}
		}
		return
	}
	var rows []row
	for column, c := range parityClusters {
		for i, r := range parityOn(t, column, c.args) {
			if column == 0 {
				rows = append(rows, r)
				continue
			}
			if i >= len(rows) || rows[i].policy != r.policy || rows[i].probe != r.probe {
				t.Fatalf("%s was asked something else: %s, %s", c.name, r.policy, r.probe)
			}
			if rows[i].want != r.want {
				t.Errorf("%s, %s: addresses that happen to lie together change what is right; try another seed", r.policy, r.probe)
			}
			rows[i].met = append(rows[i].met, r.met[0])
		}
	}
	policies, differ := map[string]bool{}, 0
	for _, r := range rows {
		policies[r.policy] = true
		right := expected(r.want)
		same := !slices.ContainsFunc(r.met, func(m string) bool { return m != right })
		if same {
			continue
		}
		differ++
		if explained[r.policy+", "+r.probe] == "" {
			t.Errorf("%s, %s: want %s, met %s", r.policy, r.probe, right, strings.Join(r.met, " | "))
		}
	}
	t.Logf("%d policies, %d probes, %d of them not as expected everywhere", len(policies), len(rows), differ)
	if len(policies) < 60 {
		t.Errorf("%d policies are fewer than 60", len(policies))
	}
	if *parityOut != "" {
		if err := os.WriteFile(*parityOut, parityTable(rows, len(policies), differ), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func expected(allowed bool) string {
	if allowed {
		return metAllowed
	}
	return metDenied
}

// parityOn tries all policies on one cluster, which it brings up and takes down.
func parityOn(t *testing.T, column int, args []string) []row {
	if args == nil {
		_, h := sharedCluster(t)
		return tryAll(t, h)
	}
	home, name := newHome(t, t.TempDir()), fmt.Sprintf("parity-%d", column)
	shared.home = home // newLab describes pods by it
	defer func() { shared.home = nil }()
	home.must(append([]string{"up", "--name", name}, args...)...)
	defer home.must("down", "--purge", "--name", name)
	return onKind(t, home.state, name)
}

func onKind(t *testing.T, state, name string) []row {
	h, err := kind.New(kind.Config{StateDir: state, Agent: filepath.Join(binDir, "netdojo-agent")}).Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.(cluster.ImageLoader).EnsureImages(t.Context(), []string{"docker.io/cilium/json-mock:v1.3.8"}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	return tryAll(t, h)
}

func tryAll(t *testing.T, h cluster.Handle) []row {
	l := newLab(t, h)
	defer removePods(t, l)
	return append(l.handPicked(t), l.generated(t)...)
}

// handPicked tries the policy table, but for what only Envoy can judge.
func (l *lab) handPicked(t *testing.T) []row {
	var rows []row
	seen := map[probe]bool{} // positive controls
	for _, c := range slices.Concat(policyCases, tierCases) {
		if strings.Contains(c.policy, "http:") || strings.Contains(c.policy, "serverNames:") {
			continue
		}
		for _, p := range c.probes {
			if control := (probe{p.from, p.to, true}); !p.want && !seen[control] {
				if met := l.meet(control.from, control.to); met != metAllowed {
					t.Fatalf("without policies, %s → %s: %s", p.from, p.to, met)
				}
				seen[control] = true
			}
		}
		remove := l.policies(c.policy)
		of := make([]row, len(c.probes))
		var group sync.WaitGroup
		for i, p := range c.probes {
			group.Go(func() {
				of[i] = row{policy: c.name, probe: p.from + " → " + p.to, want: p.want, met: []string{l.meet(p.from, p.to)}}
			})
		}
		group.Wait()
		remove()
		rows = append(rows, of...)
	}
	return rows
}

// generated tries sets of random policies; what is right is what Cilium's own
// simulator says.
func (l *lab) generated(t *testing.T) []row {
	var rows []row
	r := newRandom(t, l)
	for set := range *paritySets {
		_, refs := r.apply(t, set)
		of := make([]row, probesPerSet)
		var group sync.WaitGroup
		for i := range of {
			from, to := r.sources[r.IntN(len(r.sources))], r.targets[r.IntN(len(r.targets))]
			conn := to.conn
			conn.From = netip.MustParseAddr(l.podIPs[from])
			of[i] = row{policy: fmt.Sprintf("generated %d", set+1), probe: from + " → " + to.to, want: r.world.Allowed(conn)}
			group.Go(func() { of[i].met = []string{l.meet(from, to.to)} })
		}
		group.Wait()
		r.remove(t, refs)
		rows = append(rows, of...)
	}
	return rows
}

// meet runs a probe and says how it ended.
func (l *lab) meet(from, to string) string {
	addr, command := l.target(to, false)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	flows, err := l.h.Flows(ctx, 0)
	if err != nil {
		return "no flows: " + err.Error()
	}
	defer flows.Close()
	_, code, err := l.exec(ctx, from, command...)
	switch {
	case err != nil:
		return "not run: " + err.Error()
	case code == 0:
		return metAllowed
	}
	if reason := dropped(ctx, flows, from, addr); reason != flowpb.DropReason_POLICY_DENIED && reason != flowpb.DropReason_POLICY_DENY {
		return fmt.Sprintf("exit code %d, dropped for %v", code, reason)
	}
	return metDenied
}

// dropped is why the datapath dropped a packet of the probe; 0 when it says of
// none.
func dropped(ctx context.Context, flows cluster.FlowStream, from, addr string) flowpb.DropReason {
	ctx, cancel := context.WithTimeout(ctx, 6*time.Second)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { flows.Close() })
	defer stop()
	for {
		f, err := flows.Recv()
		if err != nil {
			return flowpb.DropReason_DROP_REASON_UNKNOWN
		}
		if f.GetVerdict() != flowpb.Verdict_DROPPED || f.GetSource().GetNamespace()+"/"+f.GetSource().GetPodName() != from ||
			addr != "" && f.GetIP().GetDestination() != addr {
			continue
		}
		if f.GetL7().GetDns() != nil && addr == "" {
			return flowpb.DropReason_POLICY_DENIED // the proxy refused the question
		}
		return f.GetDropReasonDesc()
	}
}

func parityTable(rows []row, policies, differ int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Real Cilium and netdojo's datapath, side by side

`+"`make parity`"+` writes this file: it applies the same policies to three clusters
and runs the same probes on each. %d policies and sets of policies, %d probes,
%d that did not go everywhere as expected.

- Hand-picked policies are those of the policy table in `+"`cmd/netdojo/e2e/policies_test.go`"+`;
  what is expected stands there. Generated ones come from `+"`internal/oracle`"+`, seed %d; what is
  expected of them is what Cilium's own policy simulator says.
- *denied* means that the probe failed, that it works without the policy (for
  hand-picked ones), and that the datapath reported a drop by policy for it. Drops of
  real Cilium are read from its Hubble.
- **HTTP rules and TLS server names are not in it**: they need Envoy, which no Go module
  has. What stands for them is the comparison with the rules that Cilium hands to
  Envoy (`+"`datapath/policy/envoy_diff_test.go`"+`).
- The Cilium is the module's, with netdojo's values (docs/design.md); on hosts with
  control groups of version 1 it does not replace kube-proxy at sockets.

`, policies, len(rows), differ, *agreeSeed)
	var known []string
	for _, r := range rows {
		if why := explained[r.policy+", "+r.probe]; why != "" {
			known = append(known, fmt.Sprintf("- %s, `%s`: %s\n", r.policy, r.probe, why))
		}
	}
	if len(known) > 0 {
		b.WriteString("## Differences\n\n" + strings.Join(known, "") + "\n")
	}
	b.WriteString("## Verdicts\n\n| policy | probe |")
	for _, c := range parityClusters {
		b.WriteString(" " + c.name + " |")
	}
	b.WriteString("\n| --- | --- |" + strings.Repeat(" --- |", len(parityClusters)) + "\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", r.policy, r.probe, strings.Join(r.met, " | "))
	}
	return b.Bytes()
}
