package httpmock

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// options are the flags that a mock's routes depend on.
type options struct {
	text, root string
}

// mock is one image's server.
type mock struct {
	port    string // what the image listens on unless a variable says otherwise
	env     string // that variable; none when empty
	root    string // default folder of files
	handler func(options) http.Handler
}

func (m mock) address() string {
	if m.env != "" {
		if p := os.Getenv(m.env); p != "" {
			return ":" + p
		}
	}
	return ":" + m.port
}

var mocks = map[string]mock{
	"json-mock":           {port: "8080", env: "PORT", handler: jsonMock},
	"deathstar":           {port: "80", handler: deathStar},
	"nginx-unprivileged":  {port: "8080", root: "/usr/share/nginx/html", handler: files("nginx/1.27.0", nginxPage)},
	"network-multitool":   {port: "80", env: "HTTP_PORT", root: "/usr/share/nginx/html", handler: files("nginx/1.27.0", nginxPage)},
	"whoami":              {port: "80", env: "WHOAMI_PORT_NUMBER", handler: whoami},
	"ealen-echo-server":   {port: "80", env: "PORT", handler: echo},
	"echo-basic":          {port: "3000", env: "HTTP_PORT", handler: echoBasic},
	"hello-app":           {port: "8080", env: "PORT", handler: helloApp},
	"kubernetes-bootcamp": {port: "8080", handler: bootcamp},
	"podinfo":             {port: "9898", handler: podinfo},
	"kuard":               {port: "8080", handler: kuard},
	"nginx":               {port: "80", root: "/usr/share/nginx/html", handler: files("nginx/1.27.0", nginxPage)},
	"httpd":               {port: "80", root: "/usr/local/apache2/htdocs", handler: files("Apache/2.4.62 (Unix)", httpdPage)},
	"http-echo":           {port: "5678", handler: httpEcho},
	"echo":                {port: "8080", env: "PORT", handler: echo},
	"httpbin":             {port: "80", env: "PORT", handler: httpbin},
}

func names() string {
	all := make([]string, 0, len(mocks))
	for name := range mocks {
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// The client is gone when this fails: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(v)
}

// jsonMock answers as the json-mock image of Cilium's examples: public and
// private lists of items, an echo, and an overview at the root.
func jsonMock(options) http.Handler {
	item := func(id int, body string) map[string]any { return map[string]any{"id": id, "body": body} }
	db := map[string]any{
		"public":  []any{item(1, "public information")},
		"private": []any{item(1, "secret information")},
	}
	mux := http.NewServeMux()
	for name, rows := range db {
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) {
			switch r.Method {
			case http.MethodGet, http.MethodHead:
				writeJSON(w, http.StatusOK, rows)
			case http.MethodPost:
				posted(w, r)
			default:
				writeJSON(w, http.StatusNotFound, map[string]any{})
			}
		})
		mux.HandleFunc("/"+name+"/1", func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusOK, rows.([]any)[0])
		})
	}
	// Its middleware's: what Cilium's connectivity test asks.
	mux.HandleFunc("/auth-header-required", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer 123456" {
			http.Error(w, `Invalid Authorization header, try setting it to "Bearer 123456"`, http.StatusUnauthorized)
			return
		}
		writeJSON(w, http.StatusOK, []any{item(1, "authorized information")})
	})
	mux.HandleFunc("/client-ip", func(w http.ResponseWriter, r *http.Request) {
		peer, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			peer = r.RemoteAddr
		}
		if addr, err := netip.ParseAddr(peer); err == nil && addr.Is4() {
			peer = "::ffff:" + peer // as node says it, whose server listens on [::]
		}
		writeJSON(w, http.StatusOK, map[string]any{"client-ip": peer})
	})
	mux.HandleFunc("/hostname", func(w http.ResponseWriter, _ *http.Request) {
		host, err := os.Hostname()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"hostname": host})
	})
	mux.HandleFunc("/db", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, db) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			writeJSON(w, http.StatusNotFound, map[string]any{})
			return
		}
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		writeJSON(w, http.StatusOK, map[string]any{"message": "json-mock", "hostname": host, "resources": []string{"/public", "/private"}})
	})
	return mux
}

func posted(w http.ResponseWriter, r *http.Request) {
	body := map[string]any{}
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&body)
	if err != nil && err != io.EOF {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "the body is not JSON"})
		return
	}
	body["id"] = 2
	writeJSON(w, http.StatusCreated, body)
}

// deathStar answers as the Star Wars demo's service.
func deathStar(options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/{$}", func(w http.ResponseWriter, _ *http.Request) {
		host, err := os.Hostname()
		if err != nil {
			host = "deathstar"
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{
	"name": "Death Star",
	"hostname": %q,
	"model": "DS-1 Orbital Battle Station",
	"manufacturer": "Imperial Department of Military Research, Sienar Fleet Systems",
	"cost_in_credits": "1000000000000",
	"length": "120000",
	"crew": "342953",
	"passengers": "843342",
	"cargo_capacity": "1000000000000",
	"hyperdrive_rating": "4.0",
	"starship_class": "Deep Space Mobile Battlestation",
	"api": [
		"GET   /v1",
		"GET   /v1/healthz",
		"POST  /v1/request-landing",
		"PUT   /v1/cargobay",
		"GET   /v1/hyper-matter-reactor/status",
		"PUT   /v1/exhaust-port"
	]
}
`, host)
	})
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, text) }
	}
	mux.HandleFunc("GET /v1", func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/v1/"
		mux.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /v1/healthz", say("ok"))
	mux.HandleFunc("POST /v1/request-landing", say("Ship landed"))
	mux.HandleFunc("PUT /v1/cargobay", say("Cargo received"))
	mux.HandleFunc("GET /v1/hyper-matter-reactor/status", say("Hyper matter reactor: stable"))
	mux.HandleFunc("PUT /v1/exhaust-port", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "Panic: deathstar exploded\n\ngoroutine 1 [running]:\nmain.HandleGarbage(0x2080c3f50, 0x2, 0x4, 0x425c0, 0x5, 0xa)\n"+
			"        /code/src/github.com/empire/deathstar/\n        temp/main.go:9 +0x64\nmain.main()\n"+
			"        /code/src/github.com/empire/deathstar/\n        temp/main.go:5 +0x85\n")
	})
	return mux
}

const nginxPage = `<!DOCTYPE html>
<html>
<head><title>Welcome to nginx!</title></head>
<body>
<h1>Welcome to nginx!</h1>
<p>This page comes from netdojo's stand-in for the nginx image.</p>
</body>
</html>
`

const httpdPage = "<html><body><h1>It works!</h1></body></html>\n"

// files serves a folder as a web server does, and page at the root when the
// folder has no index.
func files(server, page string) func(options) http.Handler {
	return func(o options) http.Handler {
		tree := http.FileServer(http.Dir(o.root))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Server", server)
			if r.URL.Path == "/" || r.URL.Path == "/index.html" {
				if _, err := os.Stat(o.root + "/index.html"); err != nil {
					w.Header().Set("Content-Type", "text/html")
					fmt.Fprint(w, page)
					return
				}
			}
			tree.ServeHTTP(w, r)
		})
	}
}

func httpEcho(o options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-App-Name", "http-echo")
		fmt.Fprintln(w, o.text)
	})
	return mux
}

// echo answers with what it was asked, and agnhost netexec's simplest routes.
func echo(options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/hostname", func(w http.ResponseWriter, _ *http.Request) {
		host, err := os.Hostname()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, host)
	})
	mux.HandleFunc("/clientip", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) })
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.FormValue("msg")) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		peer, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			peer = r.RemoteAddr
		}
		writeJSON(w, http.StatusOK, map[string]any{
			"hostname": host, "client": peer, "method": r.Method, "path": r.URL.RequestURI(),
			"host": r.Host, "headers": r.Header,
		})
	})
	return mux
}
