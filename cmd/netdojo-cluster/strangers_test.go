//go:build linux

package main

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/netdojo/netdojo/cluster/image"
)

// A reference that a pod names does not lead to what listens on this machine, by
// whichever way of writing its address.
func TestStrangers(t *testing.T) {
	noProxies(t)
	reached := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached <- r.Host }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	store, err := image.Open(image.Options{Dir: t.TempDir(), Transport: strangers()})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254"} {
		_, err := store.Pull(t.Context(), host+":"+port+"/team/tool:1", image.Auth{})
		if err == nil {
			t.Errorf("an image came from %s", host)
		} else if host != "[::ffff:127.0.0.1]" && !errors.Is(err, syscall.ENETUNREACH) && !strings.Contains(err.Error(), "could not parse") {
			t.Errorf("%s: %v", host, err)
		}
	}
	select {
	case host := <-reached:
		t.Errorf("the server on loopback was reached as %s", host)
	default:
	}
}

// A proxy of the user's may be on loopback all the same.
func TestStrangersByProxy(t *testing.T) {
	noProxies(t)
	proxy := httptest.NewServer(http.NotFoundHandler())
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	conn, err := strangers().DialContext(t.Context(), "tcp", proxy.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

// noProxies takes the machine's own out of the environment.
func noProxies(t *testing.T) {
	t.Helper()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, "")
	}
}

func TestProxyAddrs(t *testing.T) {
	noProxies(t)
	for text, want := range map[string]string{
		"http://proxy.lan:3128": "proxy.lan:3128", "https://proxy.lan": "proxy.lan:443", "http://proxy.lan": "proxy.lan:80",
		"proxy.lan:8080": "proxy.lan:8080", "socks5://proxy.lan": "proxy.lan:1080",
	} {
		t.Setenv("HTTPS_PROXY", text)
		if got := proxyAddrs(); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, want %s", text, got, want)
		}
	}
}
