package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// deniedBody is what Cilium tells a client whose request no rule allows.
const deniedBody = "Access denied\r\n"

// exchange is one request and its answer.
type exchange struct {
	*client
	w        http.ResponseWriter
	r        *http.Request
	req      verdict.HTTPRequest
	upgrade  string
	verdicts []verdict.Verdict
	start    time.Time
}

// handle answers one request.
func (p *Proxy) handle(w http.ResponseWriter, r *http.Request) {
	c, ok := r.Context().Value(clientKey{}).(*client)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	x := &exchange{client: c, w: w, r: r, start: time.Now()}
	if r.ProtoMajor == 1 && r.ProtoMinor == 0 {
		w.Header().Set("Connection", "close")
		x.reply(http.StatusUpgradeRequired, nil, "")
		return
	}
	path, redirect, ok := requestPath(r)
	switch {
	case !ok, redirect && x.grpc():
		x.reply(http.StatusBadRequest, nil, "")
		return
	case redirect:
		x.reply(http.StatusTemporaryRedirect, http.Header{"Location": {path}}, "")
		return
	}
	x.upgrade = sanitize(r)
	x.req = verdict.HTTPRequest{Method: r.Method, Path: path, Host: r.Host, Header: r.Header}
	x.verdicts = p.cfg.Decider.DecideHTTP(c.query, &x.req)
	denied := x.publish(nil)
	switch {
	case denied:
		x.reply(http.StatusForbidden, nil, deniedBody)
	case x.upgrade != "" && !strings.EqualFold(x.upgrade, "websocket"):
		x.reply(http.StatusForbidden, nil, "")
	case r.Method == http.MethodConnect:
		x.reply(http.StatusNotFound, nil, "")
	case r.ProtoMajor == 2:
		x.forward2()
	default:
		x.forward1()
	}
}

// requestPath is the normalised path of a request, without the scheme and host
// that a client may have put before it.
func requestPath(r *http.Request) (path string, redirect, ok bool) {
	target := r.RequestURI
	switch {
	case r.Method == http.MethodConnect:
		return "", false, true
	case target == "*":
		return "*", false, r.Method == http.MethodOptions
	case !strings.HasPrefix(target, "/"):
		_, rest, found := strings.Cut(target, "://")
		if !found {
			return "", false, false
		}
		i := strings.IndexAny(rest, "/?")
		if i < 0 {
			i = len(rest)
		}
		target = rest[i:]
	}
	return normalize(target)
}

// sanitize takes out of a request what belongs to the client's connection alone,
// adds what Envoy adds, and returns what the connection is asked to become.
func sanitize(r *http.Request) (upgrade string) {
	h := r.Header
	upgrade = upgradeOf(r)
	dropHop(h)
	delete(h, "Expect") // the server part has answered it
	if h["X-Forwarded-Proto"] == nil {
		h["X-Forwarded-Proto"] = []string{"http"}
	}
	if h["X-Request-Id"] == nil {
		h["X-Request-Id"] = []string{requestID()}
	}
	if r.ContentLength < 0 {
		delete(h, "Content-Length")
	}
	return upgrade
}

// upgradeOf is the protocol that a request asks to go on with. That of HTTP/2
// is asked for in vain, as with Envoy.
func upgradeOf(r *http.Request) string {
	if r.ProtoMajor != 1 || !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "Upgrade") {
		return ""
	}
	upgrade := r.Header.Get("Upgrade")
	if strings.EqualFold(upgrade, "h2c") {
		delete(r.Header, "Http2-Settings")
		return ""
	}
	return upgrade
}

// dropHop takes out the headers of one connection (RFC 9110, 7.6.1).
func dropHop(h http.Header) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			if name = strings.TrimSpace(name); name != "" {
				h.Del(name)
			}
		}
	}
	te := httpguts.HeaderValuesContainsToken(h["Te"], "trailers")
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade", "Trailer"} {
		delete(h, name)
	}
	if te {
		h["Te"] = []string{"trailers"}
	}
}

// requestID is a random UUID (version 4).
func requestID() string {
	a, b := rand.Uint64(), rand.Uint64()
	a = a&^0xf000 | 0x4000
	b = b&^(3<<62) | 1<<63
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&(1<<48-1))
}

func (x *exchange) grpc() bool {
	t := x.r.Header.Get("Content-Type")
	return t == "application/grpc" || strings.HasPrefix(t, "application/grpc+")
}

// publish tells the request to the flow log, or the response when it is given,
// once for each side that judged. It says whether the request is denied.
func (x *exchange) publish(resp *verdict.HTTP) (denied bool) {
	now := time.Now()
	for _, v := range x.verdicts {
		h := resp
		if h == nil {
			if v.Action == verdict.Drop {
				denied = true
			}
			h = x.record()
			h.Header = maps.Clone(x.req.Header)
		} else {
			v.Action = verdict.Allow // the answer, be it a refusal, goes to the client
		}
		x.proxy.cfg.Sink.Publish(verdict.Event{Time: now, Query: x.query, Verdict: v, HTTP: h})
	}
	return denied
}

func (x *exchange) record() *verdict.HTTP {
	h := &verdict.HTTP{Method: x.req.Method, Protocol: "HTTP/1.1", URL: "http://" + x.req.Host + x.req.Path}
	if x.r.ProtoMajor == 2 {
		h.Protocol = "HTTP/2"
	}
	return h
}

// answered tells the response to the flow log.
func (x *exchange) answered(code int, header http.Header) {
	if len(x.verdicts) == 0 {
		return
	}
	h := x.record()
	h.Response, h.Code, h.Latency = true, code, time.Since(x.start)
	h.Header = maps.Clone(header)
	x.publish(h)
}

// reply answers in the proxy's own name. A gRPC client gets its own kind of
// status (gRPC's mapping of HTTP codes).
func (x *exchange) reply(code int, extra http.Header, body string) {
	h := x.w.Header()
	maps.Copy(h, extra)
	h["Server"] = []string{"envoy"}
	h["Content-Type"] = nil // none is guessed
	if x.grpc() && code >= 400 {
		h["Content-Type"] = []string{"application/grpc"}
		h["Grpc-Status"] = []string{strconv.Itoa(grpcStatus(code))}
		if body != "" {
			h["Grpc-Message"] = []string{url.PathEscape(body)}
		}
		code, body = http.StatusOK, ""
	} else if body != "" {
		h["Content-Type"] = []string{"text/plain"}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.answered(code, h)
	x.w.WriteHeader(code)
	if x.r.Method != http.MethodHead {
		_, _ = io.WriteString(x.w, body) // a client that has gone misses nothing
	}
}

func grpcStatus(code int) int {
	switch code {
	case http.StatusBadRequest:
		return 13 // internal
	case http.StatusForbidden:
		return 7 // permission denied
	case http.StatusNotFound:
		return 12 // unimplemented
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return 14 // unavailable
	}
	return 2 // unknown
}

// fail answers for a server that gave no answer, in Envoy's words.
func (x *exchange) fail(err error) {
	x.proxy.cfg.Logger.Debug("HTTP request without an answer", "server", x.query.Dst, "port", x.query.DstPort, "error", err)
	if x.r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody is there to read it
	}
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout() && !dialing(err):
		x.reply(http.StatusGatewayTimeout, nil, "stream timeout")
		return
	}
	reason := "connection termination"
	switch {
	case dialing(err) && errors.Is(err, syscall.ECONNREFUSED):
		reason = "remote connection failure, transport failure reason: delayed connect error: Connection refused"
	case dialing(err):
		reason = "connection timeout"
	case !errors.Is(err, errNoAnswer):
		reason = "protocol error"
	}
	x.reply(http.StatusServiceUnavailable, nil, "upstream connect error or disconnect/reset before headers. reset reason: "+reason)
}

func dialing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
