//go:build linux

package main

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/netdojo/netdojo/cluster/world/outside"
)

// strangers is a transport to servers that are not this machine's: a pod names the
// registry, and must not reach by it what listens on loopback. The user's proxy may be
// there.
func strangers() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	plain := &net.Dialer{Timeout: 30 * time.Second}
	guarded := *plain
	guarded.Control = func(_, address string, _ syscall.RawConn) error {
		_, err := outside.MayReach(address)
		return err
	}
	proxies := proxyAddrs()
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if slices.Contains(proxies, addr) {
			return plain.DialContext(ctx, network, addr)
		}
		return guarded.DialContext(ctx, network, addr)
	}
	return t
}

// proxyAddrs are host and port of the proxies in the environment.
func proxyAddrs() []string {
	env := httpproxy.FromEnvironment()
	var addrs []string
	for _, text := range []string{env.HTTPProxy, env.HTTPSProxy} {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			if u, err = url.Parse("http://" + text); err != nil || u.Host == "" {
				continue
			}
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"https": "443", "socks5": "1080"}[u.Scheme]
		}
		if port == "" {
			port = "80"
		}
		addrs = append(addrs, net.JoinHostPort(u.Hostname(), port))
	}
	return addrs
}
