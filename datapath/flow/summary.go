package flow

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// summary is the flow in a few words, worded as Hubble words it.
func summary(e verdict.Event) string {
	q := e.Query
	switch {
	case e.DNS != nil:
		return dnsSummary(e.DNS)
	case e.HTTP != nil:
		return httpSummary(e.HTTP)
	case e.TLS != nil:
		return fmt.Sprintf("TLS SNI: %q", e.TLS.ServerName)
	}
	switch q.Proto {
	case 6:
		return "TCP Flags: " + flagNames(q.TCPFlags)
	case 17:
		return "UDP"
	case 132:
		return "SCTP"
	case 1:
		return fmt.Sprintf("ICMPv4 type %d code %d", q.DstPort, q.SrcPort)
	case 58:
		return fmt.Sprintf("ICMPv6 type %d code %d", q.DstPort, q.SrcPort)
	}
	return fmt.Sprintf("IP protocol %d", q.Proto)
}

func flagNames(b uint8) string {
	var names []string
	for _, flag := range []struct {
		bit  uint8
		name string
	}{{2, "SYN"}, {16, "ACK"}, {4, "RST"}, {1, "FIN"}, {8, "PSH"}, {32, "URG"}, {64, "ECE"}, {128, "CWR"}} {
		if b&flag.bit != 0 {
			names = append(names, flag.name)
		}
	}
	return strings.Join(names, ", ")
}

func httpSummary(h *verdict.HTTP) string {
	request := h.Method + " " + h.URL
	if !h.Response {
		return h.Protocol + " " + request
	}
	return fmt.Sprintf("%s %d %dms (%s)", h.Protocol, h.Code, h.Latency.Milliseconds(), request)
}

func dnsSummary(d *verdict.DNS) string {
	asked := d.Name + " " + typeName(d.Type)
	if !d.Response {
		return "DNS Query " + asked
	}
	if d.RCode != dns.RcodeSuccess {
		return fmt.Sprintf("DNS Answer RCode: %s (Proxy %s)", dns.RcodeToString[d.RCode], asked)
	}
	var parts []string
	if len(d.Addrs) > 0 {
		var addrs []string
		for _, a := range d.Addrs {
			addrs = append(addrs, a.String())
		}
		parts = append(parts, fmt.Sprintf("%q", strings.Join(addrs, ",")))
	}
	if d.TTL > 0 {
		parts = append(parts, fmt.Sprintf("TTL: %d", d.TTL))
	}
	if len(d.CNAMEs) > 0 {
		parts = append(parts, fmt.Sprintf("CNAMEs: %q", strings.Join(d.CNAMEs, ",")))
	}
	return fmt.Sprintf("DNS Answer %s (Proxy %s)", strings.Join(parts, " "), asked)
}
