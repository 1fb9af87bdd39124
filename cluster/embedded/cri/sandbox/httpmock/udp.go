package httpmock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// serveUDP answers the datagrams that agnhost's netexec answers, until the
// connection is closed: "hostname", "clientip" and "echo TEXT". Any other gets no
// answer, as there.
func serveUDP(conn net.PacketConn) error {
	buf := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		answer, ok := udpAnswer(string(buf[:n]), from)
		fmt.Printf("%s - - \"UDP %q\"\n", from, buf[:n])
		if !ok {
			continue
		}
		// A client that has gone has no use for its answer.
		if _, err := conn.WriteTo([]byte(answer), from); errors.Is(err, net.ErrClosed) {
			return nil
		}
	}
}

func udpAnswer(text string, from net.Addr) (answer string, ok bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	verb, rest, _ := strings.Cut(text, " ")
	switch verb {
	case "hostname":
		name, err := os.Hostname()
		return name, err == nil
	case "clientip":
		return from.String(), true
	case "echo":
		return rest, true
	}
	return "", false
}
