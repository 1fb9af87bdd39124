package http

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// request is the one reading of what a client asks. The rules judge it, and what
// the server gets is written from it and from nothing else.
type request struct {
	verdict.HTTPRequest
	length  int64     // of the body; -1 when it is not known
	framed  bool      // the client has told the length
	body    io.Reader // nil for none
	upgrade string    // what the connection is to become; empty for none
	trails  bool      // the client reads trailers
}

// errMalformed marks a request that two readers could take for different ones.
var errMalformed = errors.New("malformed request")

// readRequest reads what a client asks, with the path that requestPath has made
// of its target. It takes out of the headers what frames the request or belongs
// to the client's connection alone, and adds what Envoy adds. The rules see a
// Content-Length that says how the body was read.
func readRequest(r *http.Request, path string) (request, error) {
	q := request{length: r.ContentLength, framed: r.Header["Content-Length"] != nil}
	q.Method, q.Path, q.Host, q.Header = r.Method, path, r.Host, r.Header
	if r.ProtoMajor == 2 {
		if err := sameReading(r); err != nil {
			return request{}, err
		}
	}
	if !httpguts.ValidHeaderFieldName(r.Method) {
		return request{}, fmt.Errorf("%w: method %q", errMalformed, r.Method)
	}
	// A host with other characters would be written in another form for HTTP/2.
	if !httpguts.ValidHostHeader(r.Host) {
		return request{}, fmt.Errorf("%w: host %q", errMalformed, r.Host)
	}
	if q.length != 0 {
		q.body = r.Body
	}
	q.upgrade = upgradeOf(r)
	if q.upgrade != "" && q.body != nil {
		return request{}, fmt.Errorf("%w: an upgrade with a body", errMalformed)
	}
	q.trails = httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers")
	endToEnd(q.Header)
	delete(q.Header, "Expect") // the server part has answered it
	if q.framed && q.length >= 0 {
		q.Header["Content-Length"] = []string{strconv.FormatInt(q.length, 10)}
	}
	if q.Header["X-Forwarded-Proto"] == nil {
		q.Header["X-Forwarded-Proto"] = []string{"http"}
	}
	if q.Header["X-Request-Id"] == nil {
		q.Header["X-Request-Id"] = []string{requestID()}
	}
	return q, nil
}

// repeats says whether a server that may have seen the request once may see it
// again: the verdict is for one.
func (q *request) repeats() bool {
	switch q.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return q.body == nil
	}
	return false
}

// sameReading refuses what the standard library's HTTP/2 takes and another
// reader may take otherwise (RFC 9113, 8.1.1 and 8.3.1). Its HTTP/1 has refused
// the like.
func sameReading(r *http.Request) error {
	if r.Host == "" {
		return fmt.Errorf("%w: no authority", errMalformed)
	}
	for _, host := range r.Header["Host"] {
		if host != r.Host {
			return fmt.Errorf("%w: authority %q, host %q", errMalformed, r.Host, host)
		}
	}
	switch told := r.Header["Content-Length"]; {
	case len(told) > 1:
		return fmt.Errorf("%w: Content-Length %q", errMalformed, told)
	case len(told) == 1 && told[0] != strconv.FormatInt(r.ContentLength, 10):
		return fmt.Errorf("%w: Content-Length %q of a body of %d bytes", errMalformed, told[0], r.ContentLength)
	}
	asSent(r.Header)
	return nil
}

// asSent gives the two headers that the standard library's HTTP/2 does not send as
// they are the form that the server gets: cookies apart, the first name of a user
// agent alone, and neither when it is empty.
func asSent(h http.Header) {
	var cookies []string
	for _, line := range h["Cookie"] {
		for c := range strings.SplitSeq(line, ";") {
			if c = strings.Trim(c, " "); c != "" {
				cookies = append(cookies, c)
			}
		}
	}
	delete(h, "Cookie")
	if cookies != nil {
		h["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	switch agents := h["User-Agent"]; {
	case len(agents) > 0 && agents[0] == "":
		delete(h, "User-Agent")
	case len(agents) > 1:
		h["User-Agent"] = agents[:1]
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
		scheme, rest, found := strings.Cut(target, "://")
		if !found || r.ProtoMajor == 2 || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
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

// upgradeOf is the protocol that a request asks to go on with. That of HTTP/2
// is asked for in vain, as with Envoy.
func upgradeOf(r *http.Request) string {
	if r.ProtoMajor != 1 || !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "Upgrade") {
		return ""
	}
	if upgrade := r.Header.Get("Upgrade"); !strings.EqualFold(upgrade, "h2c") {
		return upgrade
	}
	return ""
}

// frames says whether a header tells where a message ends, where it goes or what
// becomes of the connection. The proxy writes those from what it has decided:
// none is passed on, whoever has set it, nor can a Connection header name it.
func frames(name string) bool {
	switch name {
	case "Connection", "Content-Length", "Host", "Http2-Settings", "Keep-Alive", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(name, ":")
}

// endToEnd takes out what frames a message and the headers of one connection
// (RFC 9110, 7.6.1).
func endToEnd(h http.Header) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			if name = strings.TrimSpace(name); name != "" {
				h.Del(name)
			}
		}
	}
	for name := range h {
		if frames(name) {
			delete(h, name)
		}
	}
}

// requestID is a random UUID (version 4).
func requestID() string {
	a, b := rand.Uint64(), rand.Uint64()
	a = a&^0xf000 | 0x4000
	b = b&^(3<<62) | 1<<63
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&(1<<48-1))
}

// methods are those that Envoy's HTTP/1 parser knows; it refuses others before any
// rule sees them. HTTP/2 takes every method.
var methods = func() map[string]bool {
	known := map[string]bool{}
	for _, m := range strings.Fields("ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL " +
		"MOVE MSEARCH NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE " +
		"UNBIND UNLINK UNLOCK UNSUBSCRIBE") {
		known[m] = true
	}
	return known
}()

// ascii says that an HTTP/1 target has no other bytes: Envoy's parser refuses them.
func ascii(target string) bool {
	return !strings.ContainsFunc(target, func(c rune) bool { return c >= utf8.RuneSelf })
}
