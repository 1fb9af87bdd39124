package nfqueue

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/cni"
	"github.com/netdojo/netdojo/datapath/flow"
	"github.com/netdojo/netdojo/datapath/flow/client"
	"github.com/netdojo/netdojo/datapath/internal/testnet"
	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// connector opens, connects and resets TCP connections on one thread in a pod,
// and returns how long each connect took.
func connector(p *testnet.Pod, dst netip.AddrPort, count int) (took []time.Duration, err error) {
	took = make([]time.Duration, 0, count)
	err = p.Do(func() error {
		sa := &unix.SockaddrInet4{Port: int(dst.Port()), Addr: dst.Addr().As4()}
		for range count {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
				return os.NewSyscallError("linger", err)
			}
			start := time.Now()
			if err := unix.Connect(fd, sa); err != nil {
				return os.NewSyscallError("connect", err)
			}
			took = append(took, time.Since(start))
			unix.Close(fd)
		}
		return nil
	})
	return took, err
}

// closeAll accepts connections in the pod and closes them.
func closeAll(b *testing.B, p *testnet.Pod, port int) {
	b.Helper()
	var l net.Listener
	must(b, p.Do(func() (err error) {
		l, err = net.ListenTCP("tcp4", &net.TCPAddr{Port: port})
		return err
	}))
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_ = c.Close()
			}
		}
	}()
}

func benchmarkConnect(b *testing.B, judged bool, clients int) {
	n := newNode(b, four, netip.AddrPort{})
	a, server := n.pod("a"), n.pod("b")
	closeAll(b, server.Pod, 8080)
	if !judged {
		must(b, n.queues.Close())
		must(b, n.table.Delete())
	}
	dst := netip.AddrPortFrom(server.addr, 8080)
	var mu sync.Mutex
	var took []time.Duration
	b.ResetTimer()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			t, err := connector(a.Pod, dst, max(b.N/clients, 1))
			if err != nil {
				b.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, t...)
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-µs")
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "conn/s")
}

func BenchmarkConnectPlain(b *testing.B)   { benchmarkConnect(b, false, 1) }
func BenchmarkConnectJudged(b *testing.B)  { benchmarkConnect(b, true, 1) }
func BenchmarkConnect8Plain(b *testing.B)  { benchmarkConnect(b, false, 8) }
func BenchmarkConnect8Judged(b *testing.B) { benchmarkConnect(b, true, 8) }

// flowRate is how many flows a second are told of.
const flowRate = 10_000

// BenchmarkFlows lets connections that are judged take turns: some while nothing
// is told, some while 10,000 flows a second are kept and a client, in this very
// process, follows them.
func BenchmarkFlows(b *testing.B) {
	n := newNode(b, four, netip.AddrPort{})
	a, server := n.pod("a"), n.pod("b")
	closeAll(b, server.Pod, 8080)
	dst := netip.AddrPortFrom(server.addr, 8080)

	socket := filepath.Join(b.TempDir(), "flows")
	log, err := flow.Start(b.Context(), flow.Config{Node: "node", Sockets: []string{socket}})
	must(b, err)
	b.Cleanup(func() { must(b, log.Close()) })
	stream, err := client.Flows(b.Context(), socket, 0)
	must(b, err)
	var served atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
			served.Add(1)
		}
	})
	var telling atomic.Bool
	var told atomic.Int64
	wg.Go(func() {
		e := verdict.Event{
			Query:   verdict.Query{Src: a.addr, Dst: server.addr, Proto: unix.IPPROTO_TCP, SrcPort: 40000, DstPort: 8080},
			Verdict: verdict.Verdict{Action: verdict.Allow, Direction: verdict.Egress},
		}
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-b.Context().Done():
				return
			case <-tick.C:
			}
			// A tick that came late owes what was to be told meanwhile.
			due := int(time.Since(last).Seconds() * flowRate)
			last = last.Add(time.Duration(due) * time.Second / flowRate)
			for range due {
				if telling.Load() {
					e.Time = time.Now()
					log.Publish(e)
					told.Add(1)
				}
			}
		}
	})

	took := map[bool][]time.Duration{}
	var busy time.Duration
	for range b.N {
		for _, on := range []bool{false, true} {
			telling.Store(on)
			start := time.Now()
			t, err := connector(a.Pod, dst, 1000)
			must(b, err)
			took[on] = append(took[on], t...)
			if on {
				busy += time.Since(start)
			}
		}
	}
	b.StopTimer()
	var median [2]float64
	for i, on := range []bool{false, true} {
		slices.Sort(took[on])
		median[i] = float64(took[on][len(took[on])/2].Nanoseconds()) / 1e3
	}
	b.ReportMetric(median[0], "quiet-p50-µs")
	b.ReportMetric(median[1], "told-p50-µs")
	b.ReportMetric(100*(median[1]/median[0]-1), "slower-%")
	b.ReportMetric(float64(told.Load())/busy.Seconds(), "told-flows/s")
	b.ReportMetric(100*float64(served.Load())/float64(told.Load()), "served-%")
	must(b, stream.Close())
}

// BenchmarkLater lets connections take turns: some whose later packets are told of, few
// enough for the rate's bound to let all pass, and some of a table that tells of none.
func BenchmarkLater(b *testing.B) {
	n := newNode(b, four, netip.AddrPort{})
	a, server := n.pod("a"), n.pod("b")
	closeAll(b, server.Pod, 8080)
	dst := netip.AddrPortFrom(server.addr, 8080)
	took := map[bool][]time.Duration{}
	for range b.N {
		for _, tells := range []bool{false, true} {
			cfg := n.tableConfig(netip.AddrPort{})
			if !tells {
				cfg.TellGroup = 0
			}
			must(b, n.table.Delete())
			var err error
			n.table, err = ruleset.Apply(cfg)
			must(b, err)
			t, err := connector(a.Pod, dst, 200) // the bound begins anew with the table
			must(b, err)
			took[tells] = append(took[tells], t...)
		}
	}
	b.StopTimer()
	for tells, name := range map[bool]string{false: "untold", true: "told"} {
		slices.Sort(took[tells])
		b.ReportMetric(float64(took[tells][len(took[tells])/4].Nanoseconds())/1e3, name+"-p25-µs")
		b.ReportMetric(float64(took[tells][len(took[tells])/2].Nanoseconds())/1e3, name+"-p50-µs")
	}
}

// BenchmarkAttach connects and disconnects a sandbox.
func BenchmarkAttach(b *testing.B) {
	n := newNode(b, four, netip.AddrPort{})
	var took time.Duration
	for range b.N {
		p := testnet.Bare(b)
		start := time.Now()
		_, err := n.net.Attach(context.Background(), cni.AttachRequest{SandboxID: "bench", NetNS: p.Path()})
		must(b, err)
		took += time.Since(start)
		must(b, n.net.Detach(context.Background(), "bench"))
	}
	b.ReportMetric(float64(took.Microseconds())/1e3/float64(b.N), "attach-ms")
}
