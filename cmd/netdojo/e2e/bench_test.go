//go:build linux && bench

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
)

const (
	runs       = 10 // of whole commands
	policyRuns = 50
)

// figures are measurements of one thing.
type figures []float64

func (f figures) at(q float64) float64 {
	s := slices.Sorted(slices.Values(f))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

// TestBenchmarks measures the product as a user has it and writes the table.
func TestBenchmarks(t *testing.T) {
	out := newTable(t, "make bench")
	row := out.row

	up, spans := benchUp(t)
	row("`netdojo up`: nothing → node Ready, cluster DNS answering", "s", up, "≤ 4 s, stretch 3", "kind + real Cilium 38–47 s; kind alone 22–30 s")
	row("`netdojo run 04`: nothing → last verdict proven", "s", benchRun(t, false), "≤ 6 s", "by hand: minutes")
	row("`netdojo run 04` on a running cluster", "s", benchRun(t, true), "≤ 2 s", "")

	row("`netdojo grade`: 30 submissions of lab 04, a state of its own each, two jobs", "s", benchGrade(t), "≤ 60 s, stretch 30", "")

	_, h := sharedCluster(t)
	l := newLab(t, h)
	l34 := benchPolicy(t, l, "tcp://default/server:8080",
		cnp(`{`+onClient+`, egress: [{toEndpoints: [{matchLabels: {app: nobody}}]}]}`))
	row("policy applied → first refused connection, L3/L4", "ms", l34, "p50 ≤ 25, p99 ≤ 100", "real Cilium 85–98 ms")
	fqdn := benchPolicy(t, l, "tcp://world/cilium.io:443",
		cnp(`{`+onClient+`, egress: [`+dnsRule+`, {toFQDNs: [{matchName: kubernetes.io}]}]}`))
	row("policy applied → first refused connection, FQDN", "ms", fqdn, "p50 ≤ 25, p99 ≤ 100", "real Cilium 169–273 ms")
	row("memory of the whole cluster with pods (PSS, all processes)", "MB", benchMemory(t), "≤ 450 MB", "1.0–1.1 GiB")

	first, idle, saved := benchScreen(t)
	row("`netdojo` typed → first frame of the screen", "ms", first, "≤ 100 ms", "")
	row("CPU of the screen on an open lab where nothing happens", "%", idle, "< 1 %", "")
	row("a file saved → what is wrong with it on the screen, lab 04", "ms", saved, "≤ 150 ms", "")
	update, frame := benchFrame(t)
	row("the screen takes a second's worth of 10,000 flows a minute, 200 checks", "ms", update, "≤ 2 ms", "")
	row("the screen draws a frame then", "ms", frame, "≤ 8 ms", "")

	fmt.Fprintf(out, "\np99 of policy applied → first refused: L3/L4 %.3g ms, FQDN %.3g ms.\n", l34.at(0.99), fqdn.at(0.99))
	writePart(t, partCommands, out.String())
	writePart(t, partEngine, engineTable(t))
	var trace strings.Builder
	fmt.Fprint(&trace, "| component | starts | ready |\n| --- | --- | --- |\n")
	for _, s := range spans {
		fmt.Fprintf(&trace, "| %s | %.0f | %.0f |\n", s.component, s.start.at(0.5), s.ready.at(0.5))
	}
	writePart(t, partUp, trace.String())
}

// writePart replaces one part of docs/benchmarks.md.
func writePart(t *testing.T, part, text string) {
	t.Helper()
	report, err := os.ReadFile(benchReport)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(benchReport, []byte(withPart(string(report), part, text)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// table is a part of the report with a row for each figure.
type table struct {
	strings.Builder
	t *testing.T
}

// newTable begins a table of what a command measures here and now.
func newTable(t *testing.T, command string) *table {
	t.Helper()
	out := &table{t: t}
	fmt.Fprintf(out, "Made by `%s` on %s: %d CPUs, %s, kernel %s.\nMedians, with the smallest and largest of the runs.\n\n",
		command, time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), memory(t), kernel(t))
	fmt.Fprint(out, "| figure | runs | median | min | max | target | for comparison |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	return out
}

func (out *table) row(name, unit string, f figures, target, other string) {
	out.t.Helper()
	line := fmt.Sprintf("| %s | %d | %.4g %s | %.4g | %.4g | %s | %s |", name, len(f), f.at(0.5), unit, f.at(0), f.at(1), target, other)
	out.t.Log(line)
	fmt.Fprintln(out, line)
}

// engineTable runs the policy engine's own benchmarks of a large cluster.
func engineTable(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	metrics := map[string]map[string]string{} // benchmark → unit → figure
	for bench, times := range map[string]string{"Load": "5x", "Update": "300x", "Explain": "300x"} {
		cmd := exec.Command("go", "test", "-run", "^$", "-bench", "^BenchmarkThousand"+bench+"$", "-benchtime", times, "../../../datapath/policy")
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		metrics[bench] = map[string]string{}
		for _, line := range strings.Split(string(text), "\n") {
			if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(line, "Benchmark") {
				for i := 2; i+1 < len(f); i += 2 {
					metrics[bench][f[i+1]] = f[i]
				}
			}
		}
	}
	fmt.Fprint(&out, "| figure | median | p99 | target |\n| --- | --- | --- | --- |\n")
	for _, row := range []struct{ name, bench, target string }{
		{"load all of them", "Load", "≤ 3 s"},
		{"one policy changed among them → a connection is judged by it", "Update", "≤ 200 ms"},
		{"one connection explained among them (the engine's part of `netdojo explain`)", "Explain", "≤ 50 ms"},
	} {
		line := fmt.Sprintf("| %s | %s ms | %s ms | %s |", row.name, metrics[row.bench]["p50-ms"], metrics[row.bench]["p99-ms"], row.target)
		t.Log(line)
		fmt.Fprintln(&out, line)
	}
	fmt.Fprintf(&out, "| heap that they hold | %s MB | | ≤ 250 MB |\n", metrics["Load"]["heap-MB"])
	return out.String()
}

type span struct {
	component    string
	start, ready figures
}

func benchUp(t *testing.T) (figures, []*span) {
	var f figures
	var spans []*span
	for range runs {
		h := newHome(t, t.TempDir())
		start := time.Now()
		h.must("up")
		f = append(f, time.Since(start).Seconds())
		trace, err := control.NewClient(filepath.Join(h.state, "clusters", cluster.DefaultName)).Trace(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range trace {
			i := slices.IndexFunc(spans, func(x *span) bool { return x.component == s.Component })
			if i < 0 {
				spans = append(spans, &span{component: s.Component})
				i = len(spans) - 1
			}
			spans[i].start = append(spans[i].start, float64(s.StartMs))
			spans[i].ready = append(spans[i].ready, float64(s.ReadyMs))
		}
		h.must("down", "--purge")
	}
	return f, spans
}

func benchRun(t *testing.T, running bool) figures {
	var f figures
	var h *home
	for i := range runs {
		if h == nil || !running {
			h = newHome(t, t.TempDir())
		}
		if running && i == 0 {
			h.must("up")
			h.must("run", "04") // images and pods of a first use
		}
		start := time.Now()
		h.must("run", "04")
		f = append(f, time.Since(start).Seconds())
	}
	if running {
		h.must("down", "--purge")
	}
	return f
}

// benchPolicy measures from just before the apply to the first drop of a pod
// that connects all the time, by the clock of the flow.
func benchPolicy(t *testing.T, l *lab, to, policy string) figures {
	var f figures
	addr, command := l.target(to, false)
	dial := command[len(command)-1]
	loop := []string{"bash", "-c", "while :; do timeout 1 bash -c '" + dial + "' 2>/dev/null; done"}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = l.exec(ctx, client, loop...)
	}()
	for range policyRuns {
		flows, err := l.h.Flows(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		allowed(t, flows, addr) // the loop connects
		start := time.Now()
		refs := l.create("policy.yaml", l.expand(policy))
		for {
			flow, err := flows.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if flow.GetVerdict() == flowpb.Verdict_DROPPED && flow.GetIP().GetDestination() == addr && flow.GetTime().AsTime().After(start) {
				f = append(f, float64(flow.GetTime().AsTime().Sub(start).Microseconds())/1000)
				break
			}
		}
		for _, r := range refs {
			if _, err := l.apply.Delete(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		allowed(t, flows, addr)
		flows.Close()
	}
	stop()
	<-done
	return f
}

func allowed(t *testing.T, flows cluster.FlowStream, addr string) {
	for {
		f, err := flows.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if f.GetVerdict() == flowpb.Verdict_FORWARDED && f.GetIP().GetDestination() == addr {
			return
		}
	}
}

// benchMemory sums the proportional set sizes of the cluster's processes.
func benchMemory(t *testing.T) figures {
	var f figures
	for range runs {
		tr, _ := clusterTree(t, shared.home.state, cluster.DefaultName)
		var kB float64
		for pid := range tr.processes {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
			if err != nil {
				continue // it ended meanwhile
			}
			for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
				if rest, ok := strings.CutPrefix(sc.Text(), "Pss:"); ok {
					n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
					if err != nil {
						t.Fatal(err)
					}
					kB += n
				}
			}
		}
		f = append(f, kB/1000)
		time.Sleep(500 * time.Millisecond) // spread over garbage collections
	}
	return f
}

func kernel(t *testing.T) string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	release, _, _ := strings.Cut(strings.TrimSpace(string(b)), "-")
	return release
}

func memory(t *testing.T) string {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	kB, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d GB", kB/1_000_000)
}
