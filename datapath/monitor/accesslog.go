package monitor

import (
	"bytes"
	"encoding/gob"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/cilium/cilium/pkg/monitor/api"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// The record of Cilium's access log (pkg/proxy/accesslog), as far as it is filled.
// Its own package would link Cilium's BPF loader; gob matches fields by name, and a
// test decodes what is sent with the original.
type (
	notification struct{ LogRecord logRecord }

	logRecord struct {
		Type                                string
		Timestamp                           string
		NodeAddressInfo                     nodeAddress
		ObservationPoint                    string
		SourceEndpoint, DestinationEndpoint endpointInfo
		Verdict                             string
		TransportProtocol                   uint16
		HTTP                                *httpRecord
		DNS                                 *dnsRecord
	}
	nodeAddress  struct{ IPv4 string }
	endpointInfo struct {
		ID       uint64
		IPv4     string
		IPv6     string
		Port     uint16
		Identity uint64
		Labels   []label
	}
	label      struct{ Key, Value, Source string }
	httpRecord struct {
		Code     int
		Method   string
		URL      *url.URL
		Protocol string
		Headers  http.Header
	}
	dnsRecord struct {
		Query             string
		IPs               []netip.Addr
		TTL               uint32
		CNAMEs            []string
		ObservationSource string
		RCode             int
		QTypes            []uint16
	}
)

// accessLog is the notification of what a proxy saw.
func accessLog(node string, e verdict.Event) []byte {
	q := e.Query
	r := logRecord{
		Type: "Request", Timestamp: e.Time.UTC().Format(time.RFC3339Nano), NodeAddressInfo: nodeAddress{IPv4: node},
		ObservationPoint: "Egress", Verdict: "Forwarded", TransportProtocol: uint16(q.Proto),
		SourceEndpoint: endpointOf(e.Src, q.Src, q.SrcPort), DestinationEndpoint: endpointOf(e.Dst, q.Dst, q.DstPort),
	}
	if e.Direction == verdict.Ingress {
		r.ObservationPoint = "Ingress"
	}
	if e.Action == verdict.Drop {
		r.Verdict = "Denied"
	}
	response := false
	switch {
	case e.DNS != nil:
		response = e.DNS.Response
		r.DNS = &dnsRecord{
			Query: e.DNS.Name, IPs: e.DNS.Addrs, TTL: e.DNS.TTL, CNAMEs: e.DNS.CNAMEs, RCode: e.DNS.RCode,
			QTypes: []uint16{e.DNS.Type}, ObservationSource: "proxy",
		}
	case e.HTTP != nil:
		response = e.HTTP.Response
		r.HTTP = &httpRecord{Code: e.HTTP.Code, Method: e.HTTP.Method, Protocol: e.HTTP.Protocol, Headers: e.HTTP.Header}
		if u, err := url.Parse(e.HTTP.URL); err == nil {
			r.HTTP.URL = u
		}
	}
	if response { // it runs from the server to the client
		r.Type = "Response"
		r.SourceEndpoint, r.DestinationEndpoint = r.DestinationEndpoint, r.SourceEndpoint
	}
	var b bytes.Buffer
	b.WriteByte(api.MessageTypeAccessLog)
	if err := gob.NewEncoder(&b).Encode(notification{r}); err != nil {
		panic(err) // the types above are all that it encodes
	}
	return b.Bytes()
}

func endpointOf(p verdict.Peer, addr netip.Addr, port uint16) endpointInfo {
	e := endpointInfo{ID: uint64(p.Endpoint), Port: port, Identity: uint64(p.Identity)}
	if addr = addr.Unmap(); addr.Is4() {
		e.IPv4 = addr.String()
	} else {
		e.IPv6 = addr.String()
	}
	for _, text := range p.Labels {
		source, rest, _ := strings.Cut(text, ":")
		key, value, _ := strings.Cut(rest, "=")
		e.Labels = append(e.Labels, label{Key: key, Value: value, Source: source})
	}
	return e
}
