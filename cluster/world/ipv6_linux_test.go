package world

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestIPv6: a world with a link of both families answers AAAA with addresses that
// serve what those of IPv4 do, and swallows what is sent to others.
func TestIPv6(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("needs IPv6 in the kernel")
	}
	node := newNode(t)
	cfg := testConfig
	cfg.IPv6 = Link{Node: netip.MustParseAddr("fd00:77::2"), Gateway: netip.MustParseAddr("fd00:77::1"), PrefixLen: 64}
	cfg.Behind = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/112")}
	w := startWorld(t, node, cfg)

	six := func(name string, kind uint16) (out []string) {
		for _, rr := range ask(t, node, "udp", w.Resolver().String(), name, kind).Answer {
			out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
		return out
	}
	addrs := w.Lookup("kubernetes.io")
	if len(addrs) != 2 || !slices.Equal(six("kubernetes.io", dns.TypeAAAA), []string{addrs[1].String()}) ||
		!slices.Equal(six("kubernetes.io", dns.TypeA), []string{addrs[0].String()}) {
		t.Fatalf("kubernetes.io is %v; DNS says %v", addrs, six("kubernetes.io", dns.TypeAAAA))
	}
	if got := six("docs.cilium.io", dns.TypeAAAA); len(got) != 2 || got[0] != "cilium-docs.netlify.app." {
		t.Errorf("an alias is %v", got)
	}
	reverse, err := dns.ReverseAddr(addrs[1].String())
	if err != nil {
		t.Fatal(err)
	}
	if got := six(reverse, dns.TypePTR); !slices.Equal(got, []string{"kubernetes.io."}) {
		t.Errorf("%s is %v", reverse, got)
	}
	if got := ask(t, node, "tcp", "[2001:4860:4860::8888]:53", "cilium.io", dns.TypeA).Answer; len(got) != 1 {
		t.Errorf("DNS by IPv6 says %v", got)
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.CACertPEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialNode(ctx, node, network, net.JoinHostPort(addrs[1].String(), "443"))
	}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: plenty}).Get("https://kubernetes.io/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %s", resp.Status)
	}

	echo, err := dialNode(t.Context(), node, "udp", net.JoinHostPort(addrs[1].String(), "7"))
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	_ = echo.SetDeadline(time.Now().Add(plenty))
	buf := make([]byte, 16)
	if _, err := echo.Write([]byte("word")); err != nil {
		t.Fatal(err)
	}
	if n, err := echo.Read(buf); err != nil || string(buf[:n]) != "word" {
		t.Errorf("echo: %q, %v", buf[:n], err)
	}
	if err := node.Do(func() error {
		neighbours, err := netlink.NeighList(0, unix.AF_INET6)
		for _, n := range neighbours {
			if n.IP.String() == cfg.IPv6.Gateway.String() && n.State != netlink.NUD_PERMANENT {
				t.Errorf("the world's gateway may be forgotten: %+v", n)
			}
		}
		return err
	}); err != nil {
		t.Error(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var ne net.Error
	if _, err := dialNode(ctx, node, "tcp", "[2001:db8:1::1]:443"); !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("an address that nobody has: %v", err)
	}
}
