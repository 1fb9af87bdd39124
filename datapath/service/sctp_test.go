package service

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// TestSCTP sends the first packet of an association to a Service and looks for
// it at the endpoint. Raw sockets do: few kernels have SCTP's own.
func TestSCTP(t *testing.T) {
	r := newRig(t, nil)
	sctp := v1.ProtocolSCTP
	r.service(webService(func(s *v1.Service) {
		for i := range s.Spec.Ports {
			s.Spec.Ports[i].Protocol = sctp
		}
	}))
	slice := webSlice(ep{addr: webA})
	for i := range slice.Ports {
		slice.Ports[i].Protocol = &sctp
	}
	r.put(slice)

	var server, client net.PacketConn
	if err := errors.Join(
		r.a.Do(func() (err error) {
			server, err = net.ListenPacket(of("ip4:132", "ip6:132"), of("0.0.0.0", "::"))
			return err
		}),
		r.client.Do(func() (err error) {
			client, err = net.ListenPacket(of("ip4:132", "ip6:132"), of("0.0.0.0", "::"))
			return err
		}),
	); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	defer client.Close()
	source := uint16(4000)
	until(t, "port 8080", func() string {
		source++ // another association: the one before may have gone nowhere
		if _, err := client.WriteTo(sctpInit(source, 80), &net.IPAddr{IP: net.ParseIP(clusterIP)}); err != nil {
			return err.Error()
		}
		buf := make([]byte, 128)
		_ = server.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, _, err := server.ReadFrom(buf)
		if err != nil {
			return err.Error()
		}
		if n < 4 || binary.BigEndian.Uint16(buf[2:]) != 8080 {
			return "another port"
		}
		return "port 8080"
	})
}

// sctpInit is an INIT (RFC 9260, 3.3.2) with a right checksum.
func sctpInit(source, destination uint16) []byte {
	var b []byte
	b = binary.BigEndian.AppendUint16(b, source)
	b = binary.BigEndian.AppendUint16(b, destination)
	b = append(b, make([]byte, 8)...)                             // verification tag and checksum
	b = append(b, 1, 0, 0, 20)                                    // INIT of 20 bytes
	b = append(b, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1) // tag, window, streams, TSN
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}
