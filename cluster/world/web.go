package world

import (
	"crypto/tls"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/netip"
	"slices"
)

// site is the web server that every served address runs.
type site struct {
	book *book
	ca   *authority
}

// ServeHTTP answers every path of every host with a short page that names it.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	head := w.Header()
	head.Set("Server", "netdojo-world")
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && at.AddrPort().Addr().Unmap() == metadata {
		serveMetadata(w, r)
		return
	}
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("Cache-Control", "no-store")
	body := fmt.Sprintf("<!doctype html><title>%[1]s</title><h1>%[1]s</h1>\n<p>You reached %[1]s in netdojo's simulated world.</p>\n",
		html.EscapeString(host))
	head.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method != http.MethodHead {
		// A client that went away is all that can fail here.
		_, _ = w.Write([]byte(body))
	}
}

// tlsConfig serves the certificate of the name that the client asks for, when
// that name lives at the address it connected to; else that of the address's
// own name, which a client that verifies rejects, as it would outside.
func (s *site) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			local := localAddr(hello.Conn)
			if name := canonical(hello.ServerName); name != "" {
				if _, addrs, _ := s.book.resolve(name); slices.Contains(addrs, local) {
					return s.ca.certificate(name)
				}
			}
			owner, ok := s.book.owner(local)
			if !ok {
				return nil, fmt.Errorf("nobody is served at %s", local)
			}
			return s.ca.certificate(owner)
		},
	}
}

func localAddr(conn net.Conn) netip.Addr {
	if addr, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		return addr.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// servedOnly lets in connections to served addresses and resets all others: the
// listener's socket is bound to every address of the world, its gateway too.
type servedOnly struct {
	net.Listener
	book *book
}

// Accept returns the next connection to a served address.
func (l servedOnly) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if _, ok := l.book.owner(localAddr(conn)); ok {
			return conn, nil
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // close with a reset, as a closed port would
		}
		_ = conn.Close()
	}
}
