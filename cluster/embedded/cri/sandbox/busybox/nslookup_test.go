package busybox

import (
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// nameServer answers as a cluster's does, by UDP.
func nameServer(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	records := map[string][]string{
		"web.default.svc.cluster.local.": {"web.default.svc.cluster.local. 5 IN A 10.96.0.7"},
		"both.test.":                     {"both.test. 5 IN AAAA fd00::7", "both.test. 5 IN A 10.0.0.7"},
		"7.0.96.10.in-addr.arpa.":        {"7.0.96.10.in-addr.arpa. 5 IN PTR web.default.svc.cluster.local."},
		"_http._tcp.web.test.":           {"_http._tcp.web.test. 5 IN SRV 0 100 80 web.test."},
		"empty.test.":                    {"empty.test. 5 IN MX 1 mail.test."},
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		switch name := q.Question[0].Name; {
		case name == "refused.test.":
			m.Rcode = dns.RcodeRefused
		case records[name] == nil:
			m.Rcode = dns.RcodeNameError
		default:
			for _, text := range records[name] {
				rr, err := dns.NewRR(text)
				if err != nil {
					t.Error(err)
				} else if rr.Header().Rrtype == q.Question[0].Qtype {
					m.Answer = append(m.Answer, rr)
				}
			}
		}
		if err := w.WriteMsg(m); err != nil {
			t.Error(err)
		}
	})
	s := &dns.Server{PacketConn: pc, Handler: handler}
	served := make(chan error, 1)
	go func() { served <- s.ActivateAndServe() }()
	t.Cleanup(func() {
		if err := pc.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return pc.LocalAddr().String()
}

func TestNslookup(t *testing.T) {
	server := nameServer(t)
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		t.Fatal(err)
	}
	head := "Server:\t\t" + host + "\nAddress:\t" + server + "\n\n"
	for _, tc := range []struct {
		args, want string
		code       int
	}{
		{"web.default.svc.cluster.local", "Name:\tweb.default.svc.cluster.local\nAddress: 10.96.0.7\n\n", 0},
		{"both.test", "Name:\tboth.test\nAddress: 10.0.0.7\nName:\tboth.test\nAddress: fd00::7\n\n", 0},
		{"-type=aaaa both.test", "Name:\tboth.test\nAddress: fd00::7\n\n", 0},
		{"10.96.0.7", "7.0.96.10.in-addr.arpa\tname = web.default.svc.cluster.local\n\n", 0},
		{"-type=srv _http._tcp.web.test", "_http._tcp.web.test\tservice = 0 100 80 web.test\n\n", 0},
		// Names are taken as they are: there is no search list.
		{"web.default", "** server can't find web.default: NXDOMAIN\n\n", 1},
		{"refused.test", "** server can't find refused.test: REFUSED\n\n", 1},
		{"empty.test", "*** Can't find empty.test: No answer\n\n", 1},
	} {
		out, stderr, code := run(t, "", append([]string{"nslookup"}, append(strings.Fields(tc.args), server)...)...)
		if out != head+tc.want || stderr != "" || code != tc.code {
			t.Errorf("nslookup %s: %d %q %q, want %d %q", tc.args, code, out, stderr, tc.code, head+tc.want)
		}
	}
	if _, stderr, code := run(t, "", "nslookup", "-type=none", "x.test", server); code != 1 || stderr != "nslookup: invalid query type \"none\"\n" {
		t.Errorf("an unknown type: %d %q", code, stderr)
	}
}
