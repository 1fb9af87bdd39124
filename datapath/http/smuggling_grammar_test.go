package http

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// stream is what one client sends.
type stream struct {
	pieces  [][]byte // written one after the other
	version int      // of HTTP
	kind    string
	open    bool // its end may leave the proxy waiting
	sent    int  // how many requests it holds, but for the one that ends it
	// want are the requests that have to be executed, when exact is set.
	want  []ran
	exact bool
}

func (s *stream) bytes() []byte { return bytes.Join(s.pieces, nil) }

// grammar makes streams: valid, valid but for one thing, and hostile ones.
type grammar struct{ *rand.Rand }

func newGrammar(seed, number uint64) grammar {
	return grammar{rand.New(rand.NewPCG(seed, number))}
}

func (g grammar) chance(percent int) bool { return g.IntN(100) < percent }

func one[T any](g grammar, of ...T) T { return of[g.IntN(len(of))] }

// stream is one client's.
func (g grammar) stream() *stream {
	s := &stream{version: 1, kind: one(g, "valid", "near", "hostile")}
	if g.chance(25) {
		s.version = 2
		return g.stream2(s)
	}
	n := g.requests(s)
	wrong := g.IntN(n)
	s.exact = s.kind == "valid"
	var out []byte
	for i := range n {
		faults := 0
		switch {
		case s.kind == "near" && i == wrong:
			faults = 1
		case s.kind == "hostile":
			faults = g.IntN(4)
		}
		q := g.request1(faults)
		out = append(out, q.wire()...)
		if q.allowed() {
			s.want = append(s.want, ran{method: q.method, target: q.path, host: q.host, body: q.body})
		}
	}
	if s.kind == "hostile" && g.chance(50) {
		out = g.mutate(out)
	}
	// The last request of a stream ends the connection.
	out = append(out, "GET /last HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n"...)
	s.want = append(s.want, ran{method: "GET", target: "/last", host: "last"})
	s.open = s.kind != "valid"
	s.pieces = g.split(out)
	return s
}

// requests is how many a stream holds. What is hostile seldom gets past the first.
func (g grammar) requests(s *stream) int {
	s.sent = 1 + g.IntN(12)
	if s.kind == "hostile" {
		s.sent = 1 + g.IntN(4)
	}
	return s.sent
}

func (g grammar) split(b []byte) (out [][]byte) {
	for len(b) > 1 && g.chance(20) {
		at := 1 + g.IntN(len(b)-1)
		out, b = append(out, b[:at]), b[at:]
	}
	return append(out, b)
}

// smuggled is what no rule allows, or no rule has seen.
func (g grammar) smuggled() string {
	return one(g,
		"DELETE /private HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /public/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /private HTTP/1.1\r\nHost: a\r\nX: ",
		"0\r\n\r\nDELETE /private HTTP/1.1\r\nHost: a\r\n\r\n",
		"\r\n0\r\n\r\nPOST /public/smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"GET /public/smuggled HTTP/1.1\nHost: a\n\n",
	)
}

// request1 is an HTTP/1 request in parts, which faults change.
type request1 struct {
	method, target, version string
	lines                   []string // of the header
	ending                  string   // of a line
	sent                    string   // the body on the wire

	path, host, role, body string // what the proxy is to make of it
}

func (q *request1) wire() []byte {
	var b bytes.Buffer
	line := func(s string) { b.WriteString(s + q.ending) }
	line(q.method + " " + q.target + " " + q.version)
	for _, l := range q.lines {
		line(l)
	}
	line("")
	b.WriteString(q.sent)
	return b.Bytes()
}

func (q *request1) allowed() bool { return allows(q.method, q.path, q.host, q.role) }

// allows is the policy of these tests.
func allows(method, path, host, role string) bool {
	return method != http.MethodDelete && !strings.Contains(path, "private") && host != "evil.test" && role != "admin"
}

func (g grammar) request1(faults int) *request1 {
	q := &request1{
		method: one(g, "GET", "GET", "POST", "POST", "PUT", "PATCH", "HEAD", "OPTIONS", "DELETE", "LOCK", "PROPFIND"),
		host:   one(g, "a", "a", "b.test", "a:80", "b.test:8080", "evil.test", "[::1]:80", "A.Test"), version: "HTTP/1.1", ending: "\r\n",
	}
	n := strconv.Itoa(g.IntN(1000))
	target := one(g, [2]string{"/public/" + n, "/public/" + n}, [2]string{"/public/" + n, "/public/" + n}, [2]string{"/public?" + n, "/public?" + n}, [2]string{"/public/../private", "/private"},
		[2]string{"/public/./" + n, "/public/" + n}, [2]string{"//public//" + n, "/public/" + n}, [2]string{"/%70ublic?q=" + n, "/public?q=" + n},
		[2]string{"/public?q=%0d%0aX-Role:%20admin", "/public?q=%0d%0aX-Role:%20admin"})
	q.target, q.path = target[0], target[1]
	q.lines = []string{"Host: " + q.host}
	if g.chance(10) {
		q.target = one(g, "http://", "HTTP://") + q.host + q.target
		if strings.HasPrefix(target[0], "//") {
			q.target = "http://" + q.host + "/public/" + n
		}
		q.lines = []string{one(g, "Host: other", "Host: "+q.host)}
	}
	if g.chance(25) {
		q.role = one(g, "guest", "admin")
		q.lines = append(q.lines, one(g, "X-Role: ", "x-role:", "X-ROLE: \t")+q.role)
	}
	if g.chance(30) {
		q.lines = append(q.lines, "X-Answer: "+one(g, "none", "unchanged", "trailers", "chunked", "hop"))
	}
	if g.chance(10) {
		q.lines = append(q.lines, "X-Change: "+one(g, "Content-Length", "Transfer-Encoding", "Connection", "Host", "Trailer", "Upgrade"))
	}
	if g.chance(10) {
		q.lines = append(q.lines, one(g, "TE: trailers", "Accept: */*", "Cookie: a=b", "X_Role: admin", "Keep-Alive: timeout=5", "Proxy-Connection: close"))
	}
	if g.chance(10) {
		q.lines = append(q.lines, "Connection: "+one(g, "keep-alive", "Keep-Alive, X-Hop", "Content-Length", "Transfer-Encoding, Content-Length", "Host", "TE, Trailer"))
	}
	if g.chance(55) {
		g.body(q)
	} else if g.chance(10) {
		q.lines = append(q.lines, "Content-Length: 0")
	}
	if q.body != "" && q.allowed() && g.chance(5) {
		q.lines = append(q.lines, "Expect: 100-continue")
	}
	for range faults {
		g.spoil(q)
	}
	if faults > 0 && g.chance(30) {
		g.Shuffle(len(q.lines), func(i, j int) { q.lines[i], q.lines[j] = q.lines[j], q.lines[i] })
	}
	return q
}

// body gives a request a body, which may look like a request.
func (g grammar) body(q *request1) {
	q.body = one(g, g.smuggled(), "abc", g.smuggled()+g.smuggled(), strings.Repeat("x", g.IntN(5000)))
	if g.chance(50) {
		q.lines = append(q.lines, fmt.Sprintf("Content-Length: %d", len(q.body)))
		q.sent = q.body
		return
	}
	q.lines = append(q.lines, one(g, "Transfer-Encoding: chunked", "transfer-encoding: Chunked"))
	var b strings.Builder
	for rest := q.body; rest != ""; {
		n := 1 + g.IntN(len(rest))
		fmt.Fprintf(&b, one(g, "%x", "%X", "0%x")+one(g, "", "", ";ext", `;a="b"`)+"\r\n%s\r\n", n, rest[:n])
		rest = rest[n:]
	}
	b.WriteString(one(g, "0\r\n", "00\r\n", "0;ext\r\n"))
	if g.chance(20) {
		name := one(g, "X-Role: admin", "X-Sum: 1", "X-Answer: close", "Authorization: me")
		if g.chance(50) {
			q.lines = append(q.lines, "Trailer: "+strings.SplitN(name, ":", 2)[0])
		}
		b.WriteString(name + "\r\n")
	}
	b.WriteString("\r\n")
	q.sent = b.String()
}

// spoil makes one thing of a request wrong, or odd.
func (g grammar) spoil(q *request1) {
	add := func(lines ...string) { q.lines = append(q.lines, one(g, lines...)) }
	replace := func(prefix string, with ...string) {
		for i, l := range q.lines {
			if strings.HasPrefix(strings.ToLower(l), prefix) {
				q.lines[i] = one(g, with...)
				return
			}
		}
		add(with...)
	}
	n := len(q.sent)
	switch g.IntN(13) {
	case 0:
		replace("content-length", fmt.Sprintf("Content-Length: +%d", n), fmt.Sprintf("Content-Length: %d, %d", n, n), fmt.Sprintf("Content-Length: %d", n+g.IntN(60)-30),
			"Content-Length: -1", fmt.Sprintf("Content-Length: 0x%x", n), fmt.Sprintf("Content-Length: 00%d", n), fmt.Sprintf("Content-Length: %d\x0b", n), "Content-Length:",
			fmt.Sprintf("Content-Length : %d", n), fmt.Sprintf("Content-Length:\r\n %d", n), "Content-Length: 99999999999999999999", "Content-Length: 1e1", fmt.Sprintf("Content-Length: %d 0", n))
	case 1:
		replace("transfer-encoding", "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: xchunked",
			"Transfer-Encoding : chunked", "Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked\x0b", "Transfer-Encoding:\r\n chunked", "Transfer_Encoding: chunked",
			"Transfer-Encoding: \"chunked\"", "Transfer-Encoding: chunked;q=1", "X: y\r\rTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: ch\u212Bunked")
	case 2:
		add(fmt.Sprintf("Content-Length: %d", n), "Content-Length: 0", fmt.Sprintf("Content-Length: %d", g.IntN(100)))
	case 3:
		add("Transfer-Encoding: chunked", "Transfer-Encoding: identity")
	case 4:
		add("Connection: Content-Length", "Connection: close, Content-Length", "Connection: content-length,transfer-encoding", "Connection: Host", "Connection: X-Role",
			"Connection: :path", "Connection: ,,Content-Length ,", "Connection: \"Content-Length\"", "Connection: X-Role\r\nConnection: Content-Length", "Connection: Upgrade, Content-Length",
			"Connection:\tContent-Length", "Connection: X-Forwarded-Proto, X-Request-Id", "Connection: TE", "Connection: Trailer", "Connection: Expect")
	case 5:
		replace("host", "Host: a\r\nHost: evil.test", "Host: a, evil.test", "Host: evil.test", "Host : a", "Host: a\r\n evil.test", "Host: a/private", "Host: a@evil.test", "X: y", "Host: \xc3\xa4", "Host:")
	case 6:
		q.target = one(g, "http://a@evil.test/public", "http://evil.test/public", "http://evil.test:80?/public", "/public#/private", "/public%2f..%2fprivate", "/public\\..\\private", "*", "a:80",
			"/public HTTP/1.1\r\nX: GET /private", "/public\t/private", "/public%00", "public", "ftp://a/public", "http:///public", "http://[::1%25 x]/public", "http://%e4/public", "/public/;/../private", "//evil.test/public")
	case 7:
		q.version = one(g, "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/1.1 ", "http/1.1", "HTTP/1.10", " HTTP/1.1", "HTTP/1.1\x00", "")
	case 8:
		q.method = one(g, "CONNECT", "TRACE", "PRI", "G ET", "GET\t", " GET", "GET\x00", "D\u00c9LETE", "", "GET /private HTTP/1.1\r\n\r\nDELETE")
	case 9:
		q.ending = one(g, "\n", "\r", "\r\r\n", "\n\r\n")
	case 10:
		add("Connection: Upgrade\r\nUpgrade: websocket\r\nX-Answer: switch", "Connection: Upgrade\r\nUpgrade: websocket", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
			"Connection: Upgrade\r\nUpgrade: h2c, websocket", "Connection: Upgrade\r\nUpgrade: TLS/1.0", "Upgrade: websocket", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c", "HTTP2-Settings: AAMAAABk")
	case 11:
		add("X: y\nX-Role: admin", "X: y\rX-Role: admin", "X: y\x00", "X\x00: y", "X-Role\x0b: admin", " X-Role: admin", ": y", ":path: /private", ":authority: evil.test", "X: y\r\n z", "X-Role", "Trailer: Content-Length",
			"Trailer: X-Role", "TE: gzip, trailers", "Expect: 100-continue", "Expect: 200-ok", "Proxy-Connection: Content-Length", "Content-Encoding: gzip", "X-Http-Method-Override: DELETE")
	case 12:
		if q.sent == "" {
			q.sent = g.smuggled()
			return
		}
		switch g.IntN(5) {
		case 0:
			q.sent = q.sent[:g.IntN(len(q.sent))]
		case 1:
			q.sent += g.smuggled()
		case 2:
			q.sent = strings.Replace(q.sent, "\r\n", one(g, "\n", "\r", " \r\n", ";\n\r\n", ";x=\"\r\n\"\r\n"), 1)
		case 3:
			q.sent = one(g, "-", "+", "0x", " ", "f", "\x00", "ffffffffffffffff", "10000000000000000") + q.sent
		case 4:
			q.sent = strings.TrimSuffix(q.sent, "\r\n") + one(g, "Content-Length: 40\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n", "X-Role: admin\r\n\r\n", "X\x00: y\r\n\r\n", "", "\n", " x: y\r\n\r\n")
		}
	}
}

// mutate changes some bytes.
func (g grammar) mutate(b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + g.IntN(4) {
		at := g.IntN(len(b))
		c := one(g, byte('\r'), '\n', ' ', '\t', 0, ':', ',', ';', '0', 'a', '/', 0x0b, 0x80, byte(g.IntN(256)))
		switch g.IntN(4) {
		case 0:
			b[at] = c
		case 1:
			b = append(b[:at], append([]byte{c}, b[at:]...)...)
		case 2:
			b = append(b[:at], b[at+1:]...)
		case 3:
			end := at + 1 + g.IntN(min(30, len(b)-at))
			b = append(b[:end], append(bytes.Clone(b[at:end]), b[end:]...)...)
		}
	}
	return b
}

// stream2 is HTTP/2.
func (g grammar) stream2(s *stream) *stream {
	var out, block bytes.Buffer
	out.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&out, nil)
	f.AllowIllegalWrites = true
	must2(f.WriteSettings())
	encoder := hpack.NewEncoder(&block)
	n := g.requests(s)
	wrong := g.IntN(n)
	s.exact, s.open = s.kind == "valid", s.kind != "valid"
	for i := range n {
		faults := 0
		switch {
		case s.kind == "near" && i == wrong:
			faults = 1
		case s.kind == "hostile":
			faults = g.IntN(4)
		}
		q := g.request2(faults)
		if q.allowed() {
			s.want = append(s.want, ran{method: q.method, target: q.path, host: q.host, body: q.body})
		}
		id := uint32(2*i + 1)
		if faults > 0 && g.chance(3) {
			id = one(g, id+1, 1, 0)
		}
		block.Reset()
		for _, field := range q.fields {
			must2(encoder.WriteField(field))
		}
		fragment := block.Bytes()
		at := len(fragment)
		if g.chance(10) {
			at = g.IntN(at + 1)
		}
		ended := q.sent == "" && q.trailers == nil
		must2(f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: fragment[:at], EndStream: ended, EndHeaders: at == len(fragment)}))
		if at < len(fragment) {
			must2(f.WriteContinuation(id, true, fragment[at:]))
		}
		for rest := q.sent; rest != ""; {
			part := 1 + g.IntN(len(rest))
			must2(f.WriteData(id, part == len(rest) && q.trailers == nil, []byte(rest[:part])))
			rest = rest[part:]
		}
		if q.trailers != nil {
			block.Reset()
			for _, field := range q.trailers {
				must2(encoder.WriteField(field))
			}
			must2(f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}))
		}
	}
	b := out.Bytes()
	if s.kind == "hostile" && g.chance(20) {
		at := len(http2.ClientPreface)
		b = append(bytes.Clone(b[:at]), g.mutate(b[at:])...)
	}
	s.pieces = g.split(b)
	return s
}

func must2(err error) {
	if err != nil {
		panic(err)
	}
}

// request2 is an HTTP/2 request in parts.
type request2 struct {
	request1
	fields, trailers []hpack.HeaderField
}

func (g grammar) request2(faults int) *request2 {
	q := &request2{}
	q.method = one(g, "GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "PROPFIND")
	q.host = one(g, "a", "a", "b.test", "a:80", "b.test:8080", "evil.test")
	n := strconv.Itoa(g.IntN(1000))
	target := one(g, [2]string{"/public/" + n, "/public/" + n}, [2]string{"/public/" + n, "/public/" + n}, [2]string{"/public?" + n, "/public?" + n}, [2]string{"/public/../private", "/private"}, [2]string{"//public?q=" + n, "/public?q=" + n})
	q.target, q.path = target[0], target[1]
	field := func(name, value string) { q.fields = append(q.fields, hpack.HeaderField{Name: name, Value: value}) }
	field(":method", q.method)
	field(":scheme", "http")
	field(":path", q.target)
	field(":authority", q.host)
	if g.chance(25) {
		q.role = one(g, "guest", "admin")
		field("x-role", q.role)
	}
	if g.chance(30) {
		field("x-answer", one(g, "none", "trailers", "chunked"))
	}
	if g.chance(10) {
		field("x-change", one(g, "Content-Length", "Transfer-Encoding", "Connection", "Host", "Trailer", "Upgrade"))
	}
	if g.chance(10) {
		field("te", "trailers")
	}
	if g.chance(50) {
		q.body = one(g, g.smuggled(), "abc", strings.Repeat("x", 1+g.IntN(5000)))
		q.sent = q.body
		if g.chance(60) {
			field("content-length", strconv.Itoa(len(q.body)))
		}
		// Behind a refusal the standard library takes them for a fault of the connection.
		if q.allowed() && g.chance(20) {
			q.trailers = []hpack.HeaderField{one(g, hpack.HeaderField{Name: "x-role", Value: "admin"}, hpack.HeaderField{Name: "x-sum", Value: "1"})}
		}
	}
	for range faults {
		g.spoil2(q)
	}
	return q
}

func (g grammar) spoil2(q *request2) {
	type f = hpack.HeaderField
	extra := one(g,
		f{Name: "content-length", Value: strconv.Itoa(len(q.sent))}, f{Name: "content-length", Value: "0"}, f{Name: "content-length", Value: "5"}, f{Name: "content-length", Value: "+3"},
		f{Name: "content-length", Value: "03"}, f{Name: "transfer-encoding", Value: "chunked"}, f{Name: "connection", Value: "content-length"}, f{Name: "connection", Value: "x-role"},
		f{Name: "host", Value: "evil.test"}, f{Name: "host", Value: q.host}, f{Name: ":path", Value: "/private"}, f{Name: ":method", Value: "DELETE"}, f{Name: ":authority", Value: "evil.test"},
		f{Name: ":protocol", Value: "websocket"}, f{Name: "upgrade", Value: "websocket"}, f{Name: "te", Value: "gzip"}, f{Name: "X-Role", Value: "admin"}, f{Name: "x-role ", Value: "admin"},
		f{Name: "x", Value: "y\r\nx-role: admin"}, f{Name: "x\r\nx-role", Value: "admin"}, f{Name: "x", Value: "\x00"}, f{Name: "", Value: "y"}, f{Name: "trailer", Value: "x-role"},
		f{Name: "trailer", Value: "content-length"}, f{Name: "expect", Value: "100-continue"}, f{Name: "x_role", Value: "admin"}, f{Name: "http2-settings", Value: "AAMAAABk"}, f{Name: "cookie", Value: "a=b"})
	switch g.IntN(6) {
	case 0, 1:
		q.fields = append(q.fields, extra)
	case 2:
		at := g.IntN(len(q.fields))
		q.fields = append(q.fields[:at], append([]f{extra}, q.fields[at:]...)...)
	case 3:
		at := g.IntN(len(q.fields))
		q.fields = append(q.fields[:at], q.fields[at+1:]...)
		if len(q.fields) == 0 {
			q.fields = []f{extra}
		}
	case 4:
		at := g.IntN(len(q.fields))
		q.fields[at].Value = g.odd2(q.fields[at].Name)
	case 5:
		q.trailers = append(q.trailers, extra)
	}
}

// odd2 is a value for a field that it should not have.
func (g grammar) odd2(name string) string {
	switch name {
	case ":path":
		return one(g, "", "*", "http://evil.test/private", "public", "/public HTTP/1.1\r\nX: y", "/public x", "/public?x y", "/public#x", "/public%2f..%2fprivate", "//evil.test/public", "/public\x00")
	case ":authority":
		return one(g, "", "\u00e4.test", "\uff45vil.test", "a@evil.test", "evil.test/x", "a:b:c", "a\r\nX: y", "a, evil.test", "a b", "EVIL.test", "[::1%25 x]")
	case ":method":
		return one(g, "", "CONNECT", "GET /private", "GET\r\nX: y", "D\u00c9LETE", "PRI", "get")
	case ":scheme":
		return one(g, "", "https", "ftp", "http\r\n")
	}
	return one(g, "", "0", "+3", "chunked", "gzip, trailers", "y\r\nx-role: admin", "\x00", "\u00e4")
}
