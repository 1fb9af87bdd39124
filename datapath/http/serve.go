package http

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// deniedBody is what Cilium tells a client whose request no rule allows.
const deniedBody = "Access denied\r\n"

// exchange is one request and its answer.
type exchange struct {
	*client
	w        http.ResponseWriter
	r        *http.Request
	req      request
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
	case r.ProtoMajor == 1 && (!methods[r.Method] || !ascii(r.RequestURI)):
		w.Header().Set("Connection", "close")
		x.reply(http.StatusBadRequest, nil, "")
		return
	case !ok, redirect && x.grpc():
		x.reply(http.StatusBadRequest, nil, "")
		return
	case redirect:
		x.reply(http.StatusTemporaryRedirect, http.Header{"Location": {path}}, "")
		return
	}
	var err error
	if x.req, err = readRequest(r, path); err != nil {
		p.cfg.Logger.Debug("HTTP request refused", "client", c.query.Src, "server", c.query.Dst, "error", err)
		x.reply(http.StatusBadRequest, nil, "")
		return
	}
	x.verdicts = p.cfg.Decider.DecideHTTP(c.query, &x.req.HTTPRequest)
	denied := x.publish(nil)
	switch {
	case denied:
		x.reply(http.StatusForbidden, nil, deniedBody)
	case x.req.upgrade != "" && !strings.EqualFold(x.req.upgrade, websocket):
		x.reply(http.StatusForbidden, nil, "")
	case r.Method == http.MethodConnect:
		x.reply(http.StatusNotFound, nil, "")
	case r.ProtoMajor == 2:
		x.forward2()
	default:
		x.forward1()
	}
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
