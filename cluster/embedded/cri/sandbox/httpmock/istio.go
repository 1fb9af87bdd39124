package httpmock

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/netdojo/netdojo/internal/accept"
)

// listFlag is a flag that may be given several times, or once with commas.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, ",") }

func (l *listFlag) Set(s string) error {
	*l = append(*l, strings.Split(s, ",")...)
	return nil
}

// echoAdvancedPort answers when no flag names a port.
const echoAdvancedPort = "8080"

// echoAdvanced are the flags of Istio's echo server, which the image echo-advanced runs.
type echoAdvanced struct {
	web, tcp, grpc, tls listFlag
	crt, key, version   string
}

// EchoAdvanced answers as the image echo-advanced: HTTP on each --port (by TLS where
// --tls names the port too), the same by HTTP/2 without TLS on each --grpc, where every
// call is unimplemented, and what was sent on each --tcp. Flags of Istio's that are
// about other things are taken and do nothing.
func EchoAdvanced(args []string) int {
	var e echoAdvanced
	fs := flag.NewFlagSet("echo-advanced", flag.ContinueOnError)
	fs.Var(&e.web, "port", "port that answers HTTP; may be repeated")
	fs.Var(&e.tcp, "tcp", "port that sends back what comes; may be repeated")
	fs.Var(&e.grpc, "grpc", "port that answers gRPC; may be repeated")
	fs.Var(&e.tls, "tls", "port of --port that wants TLS; may be repeated")
	fs.StringVar(&e.crt, "crt", "", "the certificate's file")
	fs.StringVar(&e.key, "key", "", "its key's file")
	fs.StringVar(&e.version, "version", "", "what ServiceVersion says")
	for _, other := range []string{"cluster", "istio-version", "metrics", "bind-ip", "bind-localhost", "uds", "xds-grpc-server", "server-first"} {
		fs.String(other, "", "taken, and nothing")
	}
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if len(e.web) == 0 {
		e.web = listFlag{echoAdvancedPort}
	}
	failed := make(chan error, len(e.web)+len(e.grpc)+len(e.tcp))
	if err := e.serve(failed); err != nil {
		fmt.Fprintln(os.Stderr, "echo-advanced:", err)
		return 1
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	select {
	case err := <-failed:
		fmt.Fprintln(os.Stderr, "echo-advanced:", err)
		return 1
	case <-ended:
		return 0
	}
}

// serve listens on all ports, and sends to failed what ends one of them.
func (e *echoAdvanced) serve(failed chan<- error) error {
	for _, port := range e.tcp {
		ln, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		go func() { failed <- sendBack(ln) }()
	}
	for _, port := range append(slices.Clone(e.web), e.grpc...) {
		ln, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		server := &http.Server{Handler: logged(e.handler(port)), ReadHeaderTimeout: 10 * time.Second, Protocols: new(http.Protocols)}
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetHTTP2(true)
		server.Protocols.SetUnencryptedHTTP2(true)
		run := func() error { return server.Serve(ln) }
		if slices.Contains(e.tls, port) {
			if _, err := tls.LoadX509KeyPair(e.crt, e.key); err != nil {
				return fmt.Errorf("--tls=%s: %w", port, err)
			}
			run = func() error { return server.ServeTLS(ln, e.crt, e.key) }
		}
		go func() { failed <- run() }()
	}
	return nil
}

// handler answers with lines of what was asked, by the names of Istio's echo.
func (e *echoAdvanced) handler(port string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "12") // UNIMPLEMENTED
			w.Header().Set("Grpc-Message", "the stand-in knows no services")
			return
		}
		host, err := os.Hostname()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		peer, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			peer = r.RemoteAddr
		}
		w.Header().Set("Content-Type", "text/plain")
		var b strings.Builder
		line := func(name, value string) { fmt.Fprintf(&b, "%s=%s\n", name, value) }
		line("ServiceVersion", e.version)
		line("ServicePort", port)
		line("Host", r.Host)
		line("URL", r.URL.RequestURI())
		line("Method", r.Method)
		line("Proto", r.Proto)
		line("IP", peer)
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			for _, value := range r.Header[name] {
				line("RequestHeader", name+":"+value)
			}
		}
		line("Hostname", host)
		// The client is gone when this fails: there is nobody to tell.
		_, _ = io.WriteString(w, b.String())
	})
}

// sendBack sends back what comes over each connection.
func sendBack(ln net.Listener) error {
	steady := accept.Steady(ln)
	for {
		conn, err := steady.Accept()
		if err != nil {
			return err
		}
		go func() {
			// Whoever goes away in the middle has its reasons.
			_, err := io.Copy(conn, conn)
			_ = errors.Join(err, conn.Close())
		}()
	}
}
