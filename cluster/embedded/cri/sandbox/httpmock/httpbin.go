package httpmock

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxDelay bounds what /delay waits, as the real server does.
const maxDelay = 10 * time.Second

// httpbin answers with what it was asked, by the routes that are used most.
func httpbin(options) http.Handler {
	mux := http.NewServeMux()
	describe := func(w http.ResponseWriter, r *http.Request) { writeJSON(w, http.StatusOK, described(r)) }
	for path, method := range map[string]string{"/get": "GET", "/post": "POST", "/put": "PUT", "/delete": "DELETE", "/patch": "PATCH"} {
		mux.HandleFunc(method+" "+path, describe)
	}
	mux.HandleFunc("/anything", describe)
	mux.HandleFunc("/anything/", describe)
	for _, key := range []string{"headers", "origin", "user-agent"} {
		path := "/" + strings.Replace(key, "origin", "ip", 1)
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			var v any = r.UserAgent()
			if key != "user-agent" {
				v = described(r)[key]
			}
			writeJSON(w, http.StatusOK, map[string]any{key: v})
		})
	}
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil || code < 200 || code > 599 {
			http.Error(w, "Invalid status code", http.StatusBadRequest)
			return
		}
		w.WriteHeader(code)
	})
	mux.HandleFunc("/delay/{seconds}", func(w http.ResponseWriter, r *http.Request) {
		seconds, err := strconv.ParseFloat(r.PathValue("seconds"), 64)
		if err != nil || seconds < 0 {
			http.Error(w, "Invalid duration", http.StatusBadRequest)
			return
		}
		timer := time.NewTimer(min(time.Duration(seconds*float64(time.Second)), maxDelay))
		defer timer.Stop()
		select {
		case <-timer.C:
			describe(w, r)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<html><title>httpbin</title><body>netdojo's stand-in for httpbin</body></html>\n") // the client may be gone
	})
	return mux
}

// described is a request as httpbin tells of it.
func described(r *http.Request) map[string]any {
	first := func(all map[string][]string) map[string]string {
		out := map[string]string{}
		for k, v := range all {
			out[k] = strings.Join(v, ",")
		}
		return out
	}
	headers := first(r.Header)
	headers["Host"] = r.Host
	origin, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		origin = r.RemoteAddr
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		body = nil
	}
	return map[string]any{
		"args": first(r.URL.Query()), "headers": headers, "origin": origin, "method": r.Method,
		"url": "http://" + r.Host + r.URL.RequestURI(), "data": string(body),
	}
}
