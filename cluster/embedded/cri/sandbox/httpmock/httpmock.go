// Package httpmock holds the helper's role "httpmock": the HTTP and UDP servers that
// stand in for the images of labs. It knows their routes and nothing of images.
package httpmock

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Run serves until SIGTERM, SIGINT or SIGQUIT, then lets open requests end.
func Run(args []string) int {
	fs := flag.NewFlagSet("httpmock", flag.ContinueOnError)
	as := fs.String("as", "json-mock", "whose routes to serve: "+names())
	listen := fs.String("listen", "", "address to listen on; the mock's usual port when empty")
	port := fs.String("port", "", "port to listen on, as images' own flag for it")
	text := fs.String("text", "hello-world", "what http-echo answers")
	udp := fs.String("udp", "", "address to answer UDP on, as agnhost's netexec does; none when empty")
	root := fs.String("root", "", "folder of a web server's files")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	mock, ok := mocks[*as]
	if !ok {
		fmt.Fprintf(os.Stderr, "httpmock: %q is none of %s\n", *as, names())
		return 2
	}
	addr := *listen
	switch {
	case addr != "":
	case *port != "":
		addr = ":" + *port
	default:
		addr = mock.address()
	}
	if *root == "" {
		*root = mock.root
	}
	handler := mock.handler(options{text: *text, root: *root})
	if *udp != "" {
		conn, err := net.ListenPacket("udp", *udp)
		if err != nil {
			fmt.Fprintln(os.Stderr, "httpmock: listen:", err)
			return 1
		}
		answered := make(chan error, 1)
		go func() { answered <- serveUDP(conn) }()
		defer func() {
			if err := errors.Join(conn.Close(), <-answered); err != nil {
				fmt.Fprintln(os.Stderr, "httpmock:", err)
			}
		}()
	}
	if err := serve(addr, logged(handler)); err != nil {
		fmt.Fprintln(os.Stderr, "httpmock:", err)
		return 1
	}
	return 0
}

func serve(addr string, handler http.Handler) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Printf("listening on %s\n", ln.Addr())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	defer stop()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-served //nolint:errcheck // http.ErrServerClosed, as it was told
	return err
}

// recorder notes the status and size of an answer for the log.
type recorder struct {
	http.ResponseWriter
	status, size int
}

func (r *recorder) WriteHeader(code int) {
	r.status = code
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(b []byte) (int, error) {
	n, err := r.ResponseWriter.Write(b)
	r.size += n
	return n, err
}

// logged writes a line a request to standard output, as web servers do.
func logged(next http.Handler) http.Handler {
	var mu sync.Mutex // one line at a time
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, req)
		host, _, err := net.SplitHostPort(req.RemoteAddr)
		if err != nil {
			host = req.RemoteAddr
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("%s - - [%s] \"%s %s %s\" %d %d \"%s\"\n", host, time.Now().Format("02/Jan/2006:15:04:05 -0700"),
			req.Method, req.URL.RequestURI(), req.Proto, rec.status, rec.size, req.UserAgent())
	})
}
