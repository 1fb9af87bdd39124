package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// asProgram makes the test binary act as the program under test.
const asProgram = "NETDOJO_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// upstream is a DNS server that knows one name.
func upstream(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		switch {
		case q.Question[0].Name != "kubernetes.io.":
			reply.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			reply.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 30},
				A:   net.IPv4(44, 1, 2, 3),
			}}
		}
		_ = w.WriteMsg(reply)
	})}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		pc.Close()
		<-done
	})
	return pc.LocalAddr().String()
}

// ports are those that were given out, of which the kernel gives none to whoever asks
// for any.
var ports = 20000 + os.Getpid()%10000

// freePort is a port of the loopback that was free a moment ago, UDP and TCP.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		ports++
		at := "127.0.0.1:" + strconv.Itoa(ports)
		ln, err := net.Listen("tcp4", at)
		if err != nil {
			continue
		}
		pc, err := net.ListenPacket("udp4", at)
		ln.Close()
		if err == nil {
			pc.Close()
			return strconv.Itoa(ports)
		}
	}
	t.Fatal("no port is free")
	return ""
}

// fakeAPI is an API server that holds no object, and does not answer before open.
func fakeAPI(t *testing.T, open *atomic.Bool) string {
	t.Helper()
	kinds := map[string][2]string{
		"/api/v1/services":                         {"v1", "ServiceList"},
		"/api/v1/namespaces":                       {"v1", "NamespaceList"},
		"/api/v1/pods":                             {"v1", "PodList"},
		"/apis/discovery.k8s.io/v1/endpointslices": {"discovery.k8s.io/v1", "EndpointSliceList"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, ok := kinds[r.URL.Path]
		switch {
		case !open.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case !ok:
			http.NotFound(w, r)
		case r.URL.Query().Get("sendInitialEvents") != "":
			// No streaming lists here: the client falls back to a list.
			w.WriteHeader(http.StatusUnprocessableEntity)
		case r.URL.Query().Get("watch") != "":
			w.Header().Set("Content-Type", "application/json")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"apiVersion":%q,"kind":%q,"metadata":{"resourceVersion":"1"},"items":[]}`, kind[0], kind[1])
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

type running struct {
	cmd     *exec.Cmd
	dns     string // host:port
	ready   string // URL
	started time.Time
	output  *bytes.Buffer
}

// start runs the program with a Corefile; more goes into its server block.
func start(t *testing.T, upstream, more string) *running {
	t.Helper()
	port, readyPort := freePort(t), freePort(t)
	corefile := filepath.Join(t.TempDir(), "Corefile")
	text := fmt.Sprintf(".:%s {\n bind 127.0.0.1\n errors\n ready 127.0.0.1:%s\n forward . %s\n cache 30\n loadbalance\n%s\n}\n",
		port, readyPort, upstream, more)
	if err := os.WriteFile(corefile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &running{
		cmd:    exec.Command(os.Args[0], "-conf", corefile),
		dns:    "127.0.0.1:" + port,
		ready:  "http://127.0.0.1:" + readyPort + "/ready",
		output: new(bytes.Buffer),
	}
	r.cmd.Env = append(os.Environ(), asProgram+"=1")
	r.cmd.Stdout, r.cmd.Stderr = r.output, r.output
	r.started = time.Now()
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		_ = r.cmd.Wait()
		if t.Failed() {
			t.Logf("output:\n%s", r.output)
		}
	})
	return r
}

// answer asks until the program replies, and tells how long after its start.
func (r *running) answer(t *testing.T, name string) (*dns.Msg, time.Duration) {
	t.Helper()
	query := new(dns.Msg).SetQuestion(name, dns.TypeA)
	client := &dns.Client{Timeout: 500 * time.Millisecond}
	deadline := time.Now().Add(time.Minute)
	for {
		reply, _, err := client.Exchange(query, r.dns)
		if err == nil {
			return reply, time.Since(r.started)
		}
		if time.Now().After(deadline) {
			t.Fatalf("no answer: %v", err)
		}
		var slow net.Error
		if !errors.Is(err, syscall.ECONNREFUSED) && (!errors.As(err, &slow) || !slow.Timeout()) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestForwards(t *testing.T) {
	r := start(t, upstream(t), "")
	reply, took := r.answer(t, "kubernetes.io.")
	if len(reply.Answer) != 1 || !strings.HasSuffix(reply.Answer[0].String(), "44.1.2.3") {
		t.Errorf("answer %v", reply)
	}
	missing, _ := r.answer(t, "nothing.test.")
	if missing.Rcode != dns.RcodeNameError {
		t.Errorf("an unknown name: %s", dns.RcodeToString[missing.Rcode])
	}
	rss := residentMiB(t, r.cmd.Process.Pid)
	t.Logf("first answer after %s, %d MiB resident", took.Round(time.Millisecond), rss)
	if rss > 64 {
		t.Errorf("%d MiB resident", rss)
	}
}

// Names outside are answered while the API server is away; readiness waits.
func TestAnswersWithoutAPI(t *testing.T) {
	var open atomic.Bool
	api := fakeAPI(t, &open)
	r := start(t, upstream(t), " kubernetes cluster.local {\n  endpoint "+api+"\n  startup_timeout 1ms\n }")
	reply, took := r.answer(t, "kubernetes.io.")
	if len(reply.Answer) != 1 {
		t.Errorf("answer %v", reply)
	}
	t.Logf("first answer after %s", took.Round(time.Millisecond))
	if err := await(r.ready, 20*time.Millisecond); err == nil {
		t.Error("ready without an API server")
	}
	open.Store(true)
	if err := await(r.ready, time.Minute); err != nil {
		t.Error(err)
	}
	inside, _ := r.answer(t, "nothing.default.svc.cluster.local.")
	if inside.Rcode != dns.RcodeNameError {
		t.Errorf("an unknown Service: %s", dns.RcodeToString[inside.Rcode])
	}
}

// await asks a URL until it answers 200, or the time is over.
func await(url string, limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

func residentMiB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if match == nil {
		t.Fatal("no VmRSS")
	}
	kib, err := strconv.Atoi(string(match[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}
