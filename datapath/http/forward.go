package http

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// forward1 passes an HTTP/1.1 request on and brings the answer.
func (x *exchange) forward1() {
	out := &outgoing{request: &x.req}
	for {
		u, reused, err := x.server(x.r.Context())
		if err != nil {
			x.fail(err)
			return
		}
		if again := x.try(u, out, reused); !again {
			return
		}
	}
}

// lastWords is how long a server that has answered may take to read the end of
// the request.
const lastWords = 5 * time.Second

// try sends the request on one connection. It returns true when the server has
// closed a connection that waited for a request, and the request may be tried on
// a fresh one.
func (x *exchange) try(u *upstream, out *outgoing, reused bool) (again bool) {
	u.idle = false
	stop := context.AfterFunc(x.r.Context(), func() { _ = u.Close() })
	healthy := false // the connection can be used again
	var sent chan error
	defer func() {
		if sent != nil && !x.finishBody(u, out, sent) {
			healthy = false
		}
		if !stop() || !healthy {
			x.drop(u)
			return
		}
		u.since, u.idle = time.Now(), true
	}()

	err := u.writeHead(out)
	if err == nil && out.body == nil {
		err = u.w.Flush()
	}
	if err != nil {
		err = errors.Join(errNoAnswer, err)
	} else if out.body != nil {
		// Client and server may speak at the same time.
		_ = http.NewResponseController(x.w).EnableFullDuplex()
		sent = make(chan error, 1)
		go func() {
			buf := x.proxy.buffers.Get().(*[]byte)
			defer x.proxy.buffers.Put(buf)
			sent <- u.writeBody(out, *buf)
		}()
	}
	var resp *http.Response
	if err == nil {
		resp, err = x.head(u, out)
	}
	if err != nil {
		if out.broken.Load() {
			panic(http.ErrAbortHandler)
		}
		if reused && out.repeats() && errors.Is(err, errNoAnswer) && x.r.Context().Err() == nil {
			return true
		}
		x.fail(err)
		return false
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.tunnel(u, resp)
		return false
	}
	x.bring(resp, u)
	healthy = !resp.Close
	return false
}

// finishBody waits until the request's body is with the server, or ends both
// connections when the server has answered before the client has sent it all. It
// says whether the server has read the request.
func (x *exchange) finishBody(u *upstream, out *outgoing, sent chan error) bool {
	if out.whole.Load() {
		_ = u.SetWriteDeadline(time.Now().Add(lastWords))
		err := <-sent
		_ = u.SetWriteDeadline(noDeadline)
		return err == nil
	}
	_ = http.NewResponseController(x.w).SetReadDeadline(time.Unix(1, 0))
	_ = u.Close()
	x.proxy.cfg.Logger.Debug("HTTP request answered before it was whole", "server", x.query.Dst, "error", <-sent)
	return false
}

var noDeadline time.Time

// head reads the answer's head and passes informational ones on.
func (x *exchange) head(u *upstream, out *outgoing) (*http.Response, error) {
	for {
		resp, err := u.readHead(out.Method)
		switch {
		case err != nil:
			return nil, err
		case resp.StatusCode == http.StatusSwitchingProtocols:
			if out.upgrade == "" {
				return nil, errors.New("the server switches protocols unasked")
			}
			return resp, nil
		case resp.StatusCode >= 200:
			return resp, nil
		case resp.StatusCode != http.StatusContinue: // the client has had its own
			h := x.w.Header()
			putHead(h, resp)
			x.w.WriteHeader(resp.StatusCode)
			clear(h)
		}
	}
}

// bring passes a response on to the client. u is the HTTP/1 connection that it
// comes from, nil for HTTP/2.
func (x *exchange) bring(resp *http.Response, u *upstream) {
	h := x.w.Header()
	putHead(h, resp)
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // none is guessed
	}
	h["Server"] = []string{"envoy"}
	h["X-Envoy-Upstream-Service-Time"] = []string{strconv.FormatInt(time.Since(x.start).Milliseconds(), 10)}
	announced := len(resp.Trailer)
	for name := range resp.Trailer {
		if trails(name) {
			h.Add("Trailer", name)
		}
	}
	x.answered(resp.StatusCode, h)
	x.w.WriteHeader(resp.StatusCode)
	if resp.ContentLength != 0 {
		if err := x.copyBody(resp, u); err != nil {
			panic(http.ErrAbortHandler) // the client must not take it for whole
		}
	}
	prefix := ""
	if len(resp.Trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for name, values := range resp.Trailer {
		if trails(name) {
			h[prefix+name] = values
		}
	}
}

// copyBody passes the body on as it comes: what the server has sent does not
// wait for what it has not sent yet.
func (x *exchange) copyBody(resp *http.Response, u *upstream) error {
	buf := x.proxy.buffers.Get().(*[]byte)
	defer x.proxy.buffers.Put(buf)
	rc := http.NewResponseController(x.w)
	for {
		if u == nil || u.r.Buffered() == 0 {
			// Nothing more is here yet: the client gets what there is.
			if err := rc.Flush(); err != nil {
				return err
			}
		}
		n, err := resp.Body.Read(*buf)
		if n > 0 {
			if _, err := x.w.Write((*buf)[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// forward2 passes an HTTP/2 request on, as HTTP/2.
func (x *exchange) forward2() {
	out := &http.Request{
		Method: x.req.Method, Host: x.req.Host, Header: x.req.Header,
		URL:           &url.URL{Scheme: "http", Host: x.req.Host, Opaque: x.req.Path},
		ContentLength: x.req.length, Proto: "HTTP/2.0", ProtoMajor: 2,
	}
	if x.req.body != nil {
		out.Body = x.r.Body
	}
	// The transport writes a Content-Length of its own; what else frames stays out.
	for name := range out.Header {
		if frames(name) {
			delete(out.Header, name)
		}
	}
	if x.req.trails {
		out.Header["Te"] = []string{"trailers"}
	}
	if out.Header["User-Agent"] == nil {
		out.Header["User-Agent"] = []string{""} // or the transport names itself
	}
	resp, err := x.transport().RoundTrip(out.WithContext(x.r.Context()))
	if err != nil {
		x.fail(err)
		return
	}
	defer resp.Body.Close()
	if err := checkResponse(resp); err != nil {
		x.fail(err)
		return
	}
	x.bring(resp, nil)
}
