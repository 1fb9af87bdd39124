package httpmock

import (
	"net"
	"testing"
	"time"
)

func TestServeUDP(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serveUDP(server) }()
	client, err := net.Dial("udp", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // nothing is left to lose
	if err := client.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// The first is not answered, so the answer is the second's.
	for _, text := range []string{"nonsense", "echo Hello there\n"} {
		if _, err := client.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 100)
	n, err := client.Read(buf)
	if err != nil || string(buf[:n]) != "hello there" {
		t.Errorf("answer is %q, %v", buf[:n], err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
