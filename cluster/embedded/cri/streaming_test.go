//go:build linux

package cri

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// executors are the two ways of streaming. The kubelet speaks SPDY to its
// runtime, whatever its client speaks; the streaming library's WebSocket is the
// older protocol, in which a client cannot end its input.
func executors(t *testing.T, address string) map[string]remotecommand.Executor {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	overSPDY, err := remotecommand.NewSPDYExecutor(&rest.Config{}, http.MethodPost, u)
	if err != nil {
		t.Fatal(err)
	}
	overWS, err := remotecommand.NewWebSocketExecutorForProtocols(&rest.Config{}, http.MethodGet, address, "v4.channel.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]remotecommand.Executor{"spdy": overSPDY, "websocket": overWS}
}

// sizes gives a terminal's size once.
type sizes struct {
	once chan remotecommand.TerminalSize
}

func (s sizes) Next() *remotecommand.TerminalSize {
	v, ok := <-s.once
	if !ok {
		return nil
	}
	return &v
}

// stream runs a command in both ways and hands over what came.
func (n *node) stream(id string, req *runtimeapi.ExecRequest, stdin string, check func(way, out, errs string, err error)) {
	n.t.Helper()
	ways := []string{"spdy", "websocket"}
	if req.Stdin && !req.Tty {
		ways = ways[:1]
	}
	for _, way := range ways {
		req.ContainerId = id
		resp, err := n.Exec(n.t.Context(), req)
		if err != nil {
			n.t.Fatal(err)
		}
		var out, errs bytes.Buffer
		opts := remotecommand.StreamOptions{Stdout: &out, Tty: req.Tty}
		if req.Stderr {
			opts.Stderr = &errs
		}
		if req.Stdin {
			opts.Stdin = strings.NewReader(stdin)
		}
		if req.Tty {
			once := make(chan remotecommand.TerminalSize, 1)
			once <- remotecommand.TerminalSize{Width: 101, Height: 31}
			close(once)
			opts.TerminalSizeQueue = sizes{once}
		}
		err = executors(n.t, resp.Url)[way].StreamWithContext(n.t.Context(), opts)
		check(way, out.String(), errs.String(), err)
	}
}

func TestExecStreams(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("web", nil)
	id := n.run(podID, pod, "main", []string{"sleep", "1000"}, nil)

	n.stream(id, &runtimeapi.ExecRequest{Cmd: []string{"sh", "-c", "cat; echo err >&2; exit 28"}, Stdin: true, Stdout: true, Stderr: true}, "from outside\n",
		func(way, out, errs string, err error) {
			var code utilexec.CodeExitError
			if out != "from outside\n" || errs != "err\n" || !errors.As(err, &code) || code.Code != 28 {
				t.Errorf("%s: %q %q %v", way, out, errs, err)
			}
		})
	big := strings.Repeat("0123456789abcdef", 1<<16)
	n.stream(id, &runtimeapi.ExecRequest{Cmd: []string{"cat"}, Stdin: true, Stdout: true, Stderr: true}, big,
		func(way, out, _ string, err error) {
			if out != big || err != nil {
				t.Errorf("%s: a megabyte came back as %d bytes, %v", way, len(out), err)
			}
		})
	n.stream(id, &runtimeapi.ExecRequest{Cmd: []string{"sh", "-c", "until [ \"$(stty size)\" = '31 101' ]; do sleep 0.01; done; tty; stty size; test -t 0 && echo $TERM"}, Stdin: true, Stdout: true, Tty: true}, "",
		func(way, out, _ string, err error) {
			if !strings.HasPrefix(out, "/dev/pts/") || !strings.HasSuffix(out, "\r\n31 101\r\nxterm\r\n") || err != nil {
				t.Errorf("%s: %q %v", way, out, err)
			}
		})
	n.stream(id, &runtimeapi.ExecRequest{Cmd: []string{"no-such-program"}, Stdout: true, Stderr: true}, "",
		func(way, _, _ string, err error) {
			if err == nil || !strings.Contains(err.Error(), `"no-such-program": executable file not found in $PATH`) {
				t.Errorf("%s: a missing program: %v", way, err)
			}
		})
	// What a command leaves behind must not hold the client.
	start := time.Now()
	n.stream(id, &runtimeapi.ExecRequest{Cmd: []string{"sh", "-c", "sleep 60 & echo started"}, Stdout: true, Stderr: true}, "",
		func(way, out, _ string, err error) {
			if out != "started\n" || err != nil || time.Since(start) > 50*time.Second {
				t.Errorf("%s: %q %v after %s", way, out, err, time.Since(start))
			}
		})
}

func TestExecEndsWithItsClient(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("web", nil)
	id := n.run(podID, pod, "main", []string{"sleep", "1000"}, nil)
	resp, err := n.Exec(t.Context(), &runtimeapi.ExecRequest{ContainerId: id, Cmd: []string{"sh", "-c", "echo on; sleep 777"}, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- executors(t, resp.Url)["websocket"].StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: w, Stderr: io.Discard})
	}()
	if line, err := bufio.NewReader(r).ReadString('\n'); line != "on\n" {
		t.Fatalf("%q, %v", line, err)
	}
	cancel()
	r.Close()
	<-done
	n.eventually("the command to end", func() bool {
		out, _, _ := n.execSync(id, "sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
		return !strings.Contains(out, "sleep 777 ")
	})
}

// lockedBuffer is a buffer that two goroutines may use.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestAttach(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("web", nil)
	for _, way := range []string{"spdy", "websocket"} {
		for _, tty := range []bool{false, true} {
			name := fmt.Sprintf("%s-%v", way, tty)
			id := n.run(podID, pod, name, []string{"sh", "-c", "while read line; do echo got $line; [ \"$line\" = bye ] && exit 5; done"}, func(c *runtimeapi.ContainerConfig) {
				c.Stdin, c.StdinOnce, c.Tty = true, true, tty
			})
			resp, err := n.Attach(t.Context(), &runtimeapi.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: !tty, Tty: tty})
			if err != nil {
				t.Fatal(err)
			}
			in, input := io.Pipe()
			var out lockedBuffer
			done := make(chan error, 1)
			opts := remotecommand.StreamOptions{Stdin: in, Stdout: &out, Tty: tty}
			if !tty {
				opts.Stderr = io.Discard
			}
			go func() { done <- executors(t, resp.Url)[way].StreamWithContext(t.Context(), opts) }()
			for _, line := range []string{"one", "bye"} {
				if _, err := io.WriteString(input, line+"\n"); err != nil {
					t.Fatal(err)
				}
				n.eventually("an answer to "+line, func() bool { return strings.Contains(out.String(), "got "+line) })
			}
			input.Close()
			if err := <-done; err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if st := n.ended(id); st.ExitCode != 5 {
				t.Errorf("%s: exit code %d", name, st.ExitCode)
			}
			if got := n.logs(id); !strings.Contains(got, "got one") {
				t.Errorf("%s: log %q", name, got)
			}
		}
	}
}

func TestPortForward(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("web", nil)
	id := n.run(podID, pod, "main", nil, func(c *runtimeapi.ContainerConfig) { c.Image.Image = "quay.io/cilium/json-mock:v1.3.8" })
	// The client gives up after the first refused connection.
	n.eventually("the server to listen", func() bool { return strings.Contains(n.logs(id), "listening") })
	resp, err := n.RuntimeServiceClient.PortForward(t.Context(), &runtimeapi.PortForwardRequest{PodSandboxId: podID, Port: []int32{8080}})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(resp.Url)
	if err != nil {
		t.Fatal(err)
	}
	rt, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	fw, err := portforward.NewOnAddresses(spdy.NewDialer(upgrader, &http.Client{Transport: rt}, http.MethodPost, u),
		[]string{"127.0.0.1"}, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- fw.ForwardPorts() }()
	<-ready
	ports, err := fw.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", fmt.Sprint(ports[0].Local))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	n.eventually("the server to answer", func() bool {
		resp, err := client.Get("http://" + address + "/public")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == http.StatusOK && strings.Contains(string(body), "public information")
	})
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
