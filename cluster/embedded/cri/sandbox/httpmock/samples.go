package httpmock

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
)

func hostname() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}

// whoami answers as traefik's image does: the host, its addresses and the request.
func whoami(options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/bench", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "1") })
	mux.HandleFunc("/api", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{
			"hostname": hostname(), "ip": addresses(), "headers": r.Header, "url": r.URL.RequestURI(),
			"host": r.Host, "method": r.Method, "remoteAddr": r.RemoteAddr,
		})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hostname: %s\n", hostname())
		for _, a := range addresses() {
			fmt.Fprintf(w, "IP: %s\n", a)
		}
		fmt.Fprintf(w, "RemoteAddr: %s\n%s %s %s\nHost: %s\n", r.RemoteAddr, r.Method, r.URL.RequestURI(), r.Proto, r.Host)
		for _, key := range sortedKeys(r.Header) {
			fmt.Fprintf(w, "%s: %s\n", key, strings.Join(r.Header[key], ", "))
		}
		fmt.Fprintln(w)
	})
	return mux
}

func addresses() []string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			out = append(out, n.IP.String())
		}
	}
	return out
}

func sortedKeys(h http.Header) []string {
	keys := make([]string, 0, len(h))
	for k := range h {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// echoBasic answers as the conformance backend of Kubernetes' Gateway API.
func echoBasic(options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{
			"path": r.URL.RequestURI(), "host": r.Host, "method": r.Method, "proto": r.Proto, "headers": r.Header,
			"namespace": os.Getenv("NAMESPACE"), "ingress": os.Getenv("INGRESS_NAME"), "service": os.Getenv("SERVICE_NAME"), "pod": os.Getenv("POD_NAME"),
		})
	})
}

func helloApp(options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello, world!\nVersion: 1.0.0\nHostname: %s\n", hostname())
	})
}

func bootcamp(options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "Hello Kubernetes bootcamp! | Running on: %s | v=1\n", hostname())
	})
}

// podinfo has the routes that its own documentation tries.
func podinfo(o options) http.Handler {
	const version = "6.7.0"
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "OK"})
	}
	mux.HandleFunc("/healthz", ok)
	mux.HandleFunc("/readyz", ok)
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"commit": "unknown", "version": version})
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) { writeJSON(w, http.StatusOK, r.Header) })
	mux.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, os.Environ()) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.Copy(w, io.LimitReader(r.Body, 1<<20)) // the client may be gone
	})
	more := httpbin(o)
	mux.Handle("/status/", more)
	mux.Handle("/delay/", more)
	info := func(w http.ResponseWriter, _ *http.Request) {
		message := os.Getenv("PODINFO_UI_MESSAGE")
		if message == "" {
			message = "greetings from podinfo v" + version
		}
		writeJSON(w, http.StatusOK, map[string]string{
			"hostname": hostname(), "version": version, "revision": "unknown", "color": "#34577c", "message": message,
			"goos": runtime.GOOS, "goarch": runtime.GOARCH, "runtime": runtime.Version(),
		})
	}
	mux.HandleFunc("/api/info", info)
	mux.HandleFunc("/{$}", info)
	return mux
}

func kuard(options) http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/healthy", "/ready"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	}
	mux.HandleFunc("/env/api", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"commandLine": []string{"/kuard"}, "env": os.Environ()})
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<html><head><title>KUAR Demo</title></head><body>netdojo's stand-in for kuard on %s</body></html>\n", hostname())
	})
	return mux
}
