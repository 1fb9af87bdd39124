package agnhost

import (
	"bytes"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestConnect(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := ln.Addr().String()
	defer ln.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := gone.Addr().String()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	quiet, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer quiet.Close()
	answers, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()
	go func() {
		buf := make([]byte, 100)
		if n, from, err := answers.ReadFrom(buf); err == nil && string(buf[:n]) == "hostname\n" {
			_, _ = answers.WriteTo([]byte("me"), from) // the client's exit code tells
		}
	}()
	for _, tc := range []struct {
		args, want string
		code       int
	}{
		{open, "", 0},
		{open + " --timeout=1s --protocol=tcp", "", 0},
		{"--timeout=1s " + refused, "REFUSED\n", 1},
		{"--timeout=1s --protocol=udp " + answers.LocalAddr().String(), "", 0},
		{"--timeout=100ms --protocol=udp " + quiet.LocalAddr().String(), "TIMEOUT\n", 1},
		{"--timeout=1s --protocol=udp " + refused, "REFUSED\n", 1},
		{"--timeout=1s no..such:80", "DNS: ", 1},
		{"--protocol=sctp " + open, "netdojo's stand-in for agnhost connects by tcp and udp, not sctp\n", 1},
		{"", "usage: agnhost connect [--timeout=1s] [--protocol=tcp|udp] HOST:PORT\n", 2},
	} {
		var out bytes.Buffer
		if code := connect(&out, strings.Fields(tc.args)); code != tc.code || !strings.Contains(out.String(), tc.want) || tc.want == "" && out.Len() > 0 {
			t.Errorf("connect %s: %d %q, want %d %q", tc.args, code, out.String(), tc.code, tc.want)
		}
	}
}

func TestPorterSaysItsVariable(t *testing.T) {
	server := httptest.NewServer(say("foo"))
	defer server.Close()
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "foo" {
		t.Errorf("it says %q (%v)", body, err)
	}
	t.Setenv("SERVE_PORT_none", "x")
	if code := Porter(nil); code != 1 {
		t.Errorf("a port that is none: %d", code)
	}
}

func TestServeHostname(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- answerTCP(ln, "me") }()
	go func() { ended <- answerUDP(pc, "me") }()
	for network, addr := range map[string]string{"tcp": ln.Addr().String(), "udp": pc.LocalAddr().String()} {
		conn, err := net.Dial(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		if network == "udp" {
			if _, err := conn.Write([]byte("hostname")); err != nil {
				t.Error(err)
			}
		}
		buf := make([]byte, 10)
		if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "me" {
			t.Errorf("%s: %q, %v", network, buf[:n], err)
		}
		conn.Close()
	}
	ln.Close()
	pc.Close()
	<-ended
	<-ended
	if err := serveName("me", "127.0.0.1:0", false, false, false); err == nil {
		t.Error("nothing to serve is no error")
	}
	if code := ServeHostname([]string{"--nonsense"}); code != 2 {
		t.Errorf("a flag that is none: %d", code)
	}
}
