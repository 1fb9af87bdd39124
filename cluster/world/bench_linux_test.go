package world

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/miekg/dns"
)

func BenchmarkStartAndClose(b *testing.B) {
	node := newNode(b)
	for b.Loop() {
		if err := node.Do(func() error {
			w, err := Start(context.Background(), testConfig)
			if err != nil {
				return err
			}
			return w.Close()
		}); err != nil {
			b.Fatal(err)
		}
	}
}

// A question on a connected socket, over the veth and back.
func BenchmarkDNS(b *testing.B) {
	node := newNode(b)
	w := startWorld(b, node, testConfig)
	var conn *dns.Conn
	if err := node.Do(func() (err error) {
		conn, err = dns.Dial("udp", w.Resolver().String())
		return err
	}); err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	query := new(dns.Msg).SetQuestion("kubernetes.io.", dns.TypeA)
	var client dns.Client
	for b.Loop() {
		if _, _, err := client.ExchangeWithConn(query, conn); err != nil {
			b.Fatal(err)
		}
	}
}

// One HEAD request, as curl -I makes it: DNS, TCP, TLS with verification, HTTP/2.
func BenchmarkHTTPS(b *testing.B) {
	benchmarkHead(b, func(*World, int) string { return "kubernetes.io" })
}

// The same for a name that nobody asked for before: its certificate is signed.
func BenchmarkHTTPSNewName(b *testing.B) {
	benchmarkHead(b, func(w *World, i int) string {
		name := fmt.Sprintf("n%d.bench.test", i)
		if err := w.Serve(name); err != nil {
			b.Fatal(err)
		}
		return name
	})
}

func benchmarkHead(b *testing.B, name func(*World, int) string) {
	node := newNode(b)
	w := startWorld(b, node, testConfig)
	c := client(b, node, w)
	i := 0
	for b.Loop() {
		i++
		resp, err := c.Head("https://" + name(w, i))
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status)
		}
		c.CloseIdleConnections()
	}
}

// A name that comes up in a policy: served when the call returns.
func BenchmarkServe(b *testing.B) {
	node := newNode(b)
	w := startWorld(b, node, testConfig)
	i := 0
	for b.Loop() {
		i++
		if err := w.Serve(fmt.Sprintf("n%d.bench.test", i)); err != nil {
			b.Fatal(err)
		}
	}
}
