package busybox

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// run runs a program and returns what it printed and its exit code.
func run(t *testing.T, in string, args ...string) (out, stderr string, code int) {
	t.Helper()
	if !Has(args[0]) {
		t.Fatalf("%s is no program", args[0])
	}
	stdin, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if _, err := w.WriteString(in); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	p := &program{name: args[0], applet: applets[args[0]], in: stdin, out: &o, err: &e}
	code = p.run(p, args[1:])
	return o.String(), e.String(), code
}

// silent is a server that takes connections and answers nothing.
func silent(t *testing.T) (addr string, accepted *atomic.Int32) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	accepted = &atomic.Int32{}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			t.Cleanup(func() { conn.Close() })
		}
	}()
	return ln.Addr().String(), accepted
}

// closed is an address that refuses connections.
func closed(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestWget(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/page":
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, "%s %s %s %q\n", r.Method, r.UserAgent(), r.Header.Get("X-Token"), body)
		case "/moved":
			http.Redirect(w, r, "/page", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "short")
		case "/broken":
			http.Error(w, "no", http.StatusServiceUnavailable)
		default:
			http.Error(w, "no", http.StatusForbidden)
		}
	}))
	defer server.Close()
	url := server.URL
	host := strings.TrimPrefix(url, "http://")
	refused := closed(t)
	for _, tc := range []struct {
		args        string
		out, stderr string
		code        int
	}{
		{"-q -O - " + url + "/page", "GET Wget  \"\"\n", "", 0},
		{"-qO- " + url + "/page", "GET Wget  \"\"\n", "", 0},
		{"-q -O - " + host + "/page", "GET Wget  \"\"\n", "", 0},
		{"-qO- --header X-Token:one -U me " + url + "/page", "GET me one \"\"\n", "", 0},
		{"-qO- --post-data a=b " + url + "/page", "POST Wget  \"a=b\"\n", "", 0},
		{"-qO- --tries=5 --no-check-certificate -Y off " + url + "/moved", "GET Wget  \"\"\n", "", 0},
		{"-O - " + url + "/page", "GET Wget  \"\"\n", "Connecting to " + host + " (" + host + ")\nwriting to stdout\n" +
			"-                    100% |********************************|    13  0:00:00 ETA\nwritten to stdout\n", 0},
		{"--spider " + url + "/page", "", "Connecting to " + host + " (" + host + ")\nremote file exists\n", 0},
		{"-q --spider " + url + "/none", "", "wget: server returned error: HTTP/1.1 403 Forbidden\n", 1},
		{"-qO- " + url + "/broken", "", "wget: server returned error: HTTP/1.1 503 Service Unavailable\n", 1},
		{"-qO- " + url + "/loop", "", "wget: too many redirections\n", 1},
		{"-qO- " + url + "/cut", "short", "wget: connection closed prematurely\n", 1},
		{"-qO- http://" + refused, "", "wget: can't connect to remote host (127.0.0.1): Connection refused\n", 1},
		{"-qO- --timeout=2 --tries=9 http://" + refused, "", "wget: can't connect to remote host (127.0.0.1): Connection refused\n", 1},
		{"-qO- http://no..such/", "", "wget: bad address 'no..such'\n", 1},
		{"-qO- ftp://" + host, "", "wget: not an http or ftp url: ftp://" + host + "\n", 1},
	} {
		out, stderr, code := run(t, "", append([]string{"wget"}, strings.Fields(tc.args)...)...)
		if out != tc.out || stderr != tc.stderr || code != tc.code {
			t.Errorf("wget %s: %d\n%q\n%q, want %d\n%q\n%q", tc.args, code, out, stderr, tc.code, tc.out, tc.stderr)
		}
	}
	asked.Store(0)
	if _, stderr, _ := run(t, "", "wget", "-S", "-O", "-", url+"/none"); !strings.Contains(stderr, "  HTTP/1.1 403 Forbidden\n  Content-Type: ") {
		t.Errorf("-S prints %q", stderr)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("a refused request was made %d times", n)
	}
}

// TestWgetSaves: a file of the URL's name, never over one that is there.
func TestWgetSaves(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "text") }))
	defer server.Close()
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"a.txt", "index.html", "sub/b"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		at := map[string][]string{"a.txt": {server.URL + "/x/a.txt?q=1"}, "index.html": {server.URL}, "sub/b": {"-P", "sub", server.URL + "/b"}}[name]
		if _, stderr, code := run(t, "", append([]string{"wget", "-q"}, at...)...); code != 0 {
			t.Fatalf("%s: %d %s", name, code, stderr)
		}
		if data, err := os.ReadFile(name); err != nil || string(data) != "text" {
			t.Errorf("%s holds %q (%v)", name, data, err)
		}
	}
	if _, stderr, code := run(t, "", "wget", "-q", server.URL); code != 1 || stderr != "wget: can't open 'index.html': File exists\n" {
		t.Errorf("a file that is there: %d %q", code, stderr)
	}
}

// TestWgetTimesOut: one attempt, and both of the option's names.
func TestWgetTimesOut(t *testing.T) {
	addr, accepted := silent(t)
	for i, timeout := range [][]string{{"-T", "1"}, {"--timeout=1"}, {"-T1"}} {
		start := time.Now()
		_, stderr, code := run(t, "", append([]string{"wget", "-q", "-O", "-", "http://" + addr}, timeout...)...)
		if code != 1 || stderr != "wget: download timed out\n" || time.Since(start) < time.Second {
			t.Errorf("%v: %d %q after %s", timeout, code, stderr, time.Since(start))
		}
		if n := int(accepted.Load()); n != i+1 {
			t.Errorf("%v: %d connections in all", timeout, n)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		args   string
		stderr string // its start
	}{
		{"wget", "BusyBox v"},
		{"wget -x", "wget: invalid option -- 'x'\nBusyBox v"},
		{"wget -T", "wget: option requires an argument -- 'T'\n"},
		{"wget --retry-connrefused x", "wget: unrecognized option '--retry-connrefused'\n"},
		{"wget -T soon x", "wget: invalid number 'soon'\n"},
		{"nc", "BusyBox v"},
		{"nc -w x 127.0.0.1 1", "nc: invalid number 'x'\n"},
		{"nc no..such 80", "nc: bad address 'no..such'\n"},
		{"nslookup", "BusyBox v"},
		{"nslookup -x y", "nslookup: invalid option -- 'x'\n"},
	} {
		out, stderr, code := run(t, "", strings.Fields(tc.args)...)
		if code != 1 || out != "" || !strings.HasPrefix(stderr, tc.stderr) {
			t.Errorf("%s: %d %q %q", tc.args, code, out, stderr)
		}
	}
}

func TestNcScans(t *testing.T) {
	addr, _ := silent(t)
	refused := closed(t)
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, tc := range []struct {
		flags, addr, stderr string
		code                int
	}{
		{"-z", addr, "", 0},
		{"-zv -w 2", addr, "127.0.0.1 (" + addr + ") open\n", 0},
		{"-z -w2 -v", addr, "127.0.0.1 (" + addr + ") open\n", 0},
		{"-z", refused, "", 1},
		{"-zv", refused, "", 1}, // as there: only a second -v tells
		{"-zvv", refused, "nc: 127.0.0.1 (" + refused + "): Connection refused\n", 1},
		{"-zuv", udp.LocalAddr().String(), "127.0.0.1 (" + udp.LocalAddr().String() + ") open\n", 0},
		{"-zu", refused, "", 1},
	} {
		host, port, err := net.SplitHostPort(tc.addr)
		if err != nil {
			t.Fatal(err)
		}
		args := append([]string{"nc"}, strings.Fields(tc.flags)...)
		out, stderr, code := run(t, "", append(args, host, port)...)
		if out != "" || stderr != tc.stderr || code != tc.code {
			t.Errorf("nc %s: %d %q %q, want %d %q", tc.flags, code, out, stderr, tc.code, tc.stderr)
		}
	}
}

// TestNcTalks: a client and a server exchange what they read, over TCP and UDP, and
// a client with -w goes when nothing comes.
func TestNcTalks(t *testing.T) {
	port := func() string {
		_, p, err := net.SplitHostPort(closed(t))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := port()
	got := make(chan string, 1)
	go func() {
		out, stderr, code := run(t, "answer", "nc", "-l", "-p", p)
		got <- fmt.Sprint(out, stderr, code)
	}()
	out := ""
	for deadline := time.Now().Add(10 * time.Second); out == "" && time.Now().Before(deadline); {
		out, _, _ = run(t, "question", "nc", "127.0.0.1", p)
	}
	if out != "answer" {
		t.Errorf("the client got %q", out)
	}
	if server := <-got; server != "question0" {
		t.Errorf("the server got %q", server)
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	go func() {
		buf := make([]byte, 100)
		if n, from, err := udp.ReadFrom(buf); err == nil {
			_, _ = udp.WriteTo(append([]byte("re: "), buf[:n]...), from) // the client's output tells
		}
	}()
	_, up, err := net.SplitHostPort(udp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	if out, stderr, code := run(t, "hi", "nc", "-u", "-w", "1", "127.0.0.1", up); out != "re: hi" || stderr != "" || code != 0 {
		t.Errorf("over UDP: %q %q %d", out, stderr, code)
	}
	addr, _ := silent(t)
	_, sp, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if out, stderr, code := run(t, "hi", "nc", "-w", "1", "127.0.0.1", sp); out+stderr != "" || code != 0 {
		t.Errorf("a silent server: %q %q %d", out, stderr, code)
	}
}
