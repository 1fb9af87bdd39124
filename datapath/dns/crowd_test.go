package dns

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/netdojo/netdojo/datapath/internal/testnet"
	"github.com/netdojo/netdojo/datapath/internal/transparent"
	"github.com/netdojo/netdojo/internal/accept/accepttest"
)

// askFrom asks over one connection of a pod's and waits for the answer.
func askFrom(pod *testnet.Pod, network string, patience time.Duration) (*dns.Msg, error) {
	c, err := pod.Dial(net.Dialer{Timeout: plenty}, network, serverAddr.String()+":53")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	dc := &dns.Conn{Conn: c, UDPSize: 4096}
	_ = dc.SetDeadline(time.Now().Add(patience))
	if err := dc.WriteMsg(query("a.test.", dns.TypeA)); err != nil {
		return nil, err
	}
	return dc.ReadMsg()
}

// One pod takes all the connections that it can get, and another is answered. The
// first is none of other tests': the kernel knows its connections for a while.
func TestConnectionsOfOnePod(t *testing.T) {
	// None of them ends because it waits: that would make room as well.
	r := newRig(t, zone(t, "a.test. 5 IN A 203.0.113.1"), func(c *Config) { c.Idle = 4 * plenty })
	kept := 0
	var conns []net.Conn
	for range maxTCP + 1 {
		c, err := r.other.Dial(net.Dialer{Timeout: plenty}, "tcp4", serverAddr.String()+":53")
		if err != nil {
			t.Fatalf("connection %d: %v", len(conns), err)
		}
		// With a reset nothing of it is left for the tests that follow.
		defer transparent.Reset(c)
		conns = append(conns, c)
	}
	// One that was refused has ended; the first of those that were not are silent.
	for i, c := range conns {
		wait := plenty
		if i < maxTCPPerAddr {
			wait = time.Millisecond
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			kept++
			if kept > maxTCPPerAddr {
				break
			}
		} else if err == nil {
			t.Errorf("connection %d: an answer without a question", i)
		}
	}
	if kept != maxTCPPerAddr {
		t.Errorf("one pod has %d connections, at most %d are its own", kept, maxTCPPerAddr)
	}
	if got, err := askFrom(r.client, "tcp4", plenty); err != nil || len(got.Answer) != 1 {
		t.Errorf("another pod: %v, %v", got, err)
	}
	// Those that have ended make room for others of the same pod.
	for _, c := range conns {
		transparent.Reset(c)
	}
	for end := time.Now().Add(plenty); ; {
		_, err := askFrom(r.other, "tcp4", plenty)
		if err == nil {
			break
		}
		if time.Now().After(end) || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Fatalf("after its connections have ended: %v", err)
		}
	}
}

// One pod's questions to a server that does not answer leave room for another's.
func TestQuestionsOfOnePod(t *testing.T) {
	inner := zone(t, "a.test. 5 IN A 203.0.113.1")
	r := newRig(t, func(w dns.ResponseWriter, q *dns.Msg) {
		if dns.CanonicalName(q.Question[0].Name) == "a.test." {
			inner(w, q)
		}
	}, func(c *Config) { c.Timeout = time.Minute })
	c, err := r.other.Dial(net.Dialer{}, "udp4", serverAddr.String()+":53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := query("silent.test.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	// Whatever its rate, the pod gets no further than its own share.
	for i := 0; r.proxy.slots.Take(otherAddr); i++ {
		r.proxy.slots.Give(otherAddr)
		if _, err := c.Write(raw); err != nil {
			t.Fatal(err)
		}
		if i > 20*maxInFlight {
			t.Fatal("one pod's questions have no bound")
		}
	}
	// A packet may be lost in such a crowd: resolvers ask again.
	var got *dns.Msg
	for range 10 {
		if got, err = askFrom(r.client, "udp4", 2*time.Second); err == nil {
			break
		}
	}
	if err != nil || len(got.Answer) != 1 {
		t.Errorf("another pod: %v, %v", got, err)
	}
}

// Want of descriptors is waited for, and does not use a processor up.
func TestNoDescriptorLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(accepttest.Starved)
		p := newProxy(t.Context(), Config{}.withDefaults(), nil, s)
		p.wg.Go(p.serveTCP)
		time.Sleep(time.Minute)
		s.End()
		p.wg.Wait()
		if s.Tries < 50 || s.Tries > 100 {
			t.Errorf("%d tries in a minute", s.Tries)
		}
	})
}
