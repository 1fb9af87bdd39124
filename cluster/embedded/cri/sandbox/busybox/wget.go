package busybox

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const wgetUsage = `wget [-cqS] [--spider] [-O FILE] [-o LOGFILE] [--header STR]
	[--post-data STR | --post-file FILE] [-Y on/off]
	[--no-check-certificate] [-P DIR] [-U AGENT] [-T SEC] URL...

Retrieve files via HTTP

	--spider	Only check URL existence: $? is 0 if exists
	--header STR	Add STR (of form 'header: value') to headers
	--post-data STR	Send STR using POST method
	--post-file FILE	Send FILE using POST method
	--no-check-certificate	Don't validate the server's certificate
	-q		Quiet
	-P DIR		Save to DIR (default .)
	-S    		Show server response
	-T SEC		Network read timeout is SEC seconds
	-O FILE		Save to FILE ('-' for stdout)
	-o LOGFILE	Log messages to FILE
	-U STR		Use STR for User-Agent header
	-Y on/off	Use proxy`

// Long options of wget without a short one.
const (
	optSpider = 1 + iota
	optHeader
	optPostData
	optPostFile
	optIgnored
)

// Busybox takes some of GNU wget's options and does nothing about them: it makes
// one attempt whatever --tries says.
var wgetOptions = optionSet{
	flags:  "cqS" + string(rune(optSpider)) + string(rune(optIgnored)),
	values: "OoPUTYtn" + string(rune(optHeader)) + string(rune(optPostData)) + string(rune(optPostFile)),
	long: map[string]byte{
		"continue": 'c', "quiet": 'q', "server-response": 'S', "output-document": 'O', "output-file": 'o',
		"directory-prefix": 'P', "proxy": 'Y', "user-agent": 'U', "timeout": 'T', "tries": 't', "spider": optSpider,
		"header": optHeader, "post-data": optPostData, "post-file": optPostFile,
		"no-check-certificate": optIgnored, "passive-ftp": optIgnored, "no-verbose": optIgnored,
		"no-clobber": optIgnored, "no-host-directories": optIgnored, "no-parent": optIgnored,
	},
}

const (
	wgetTimeout   = 900 * time.Second // busybox's default
	wgetRedirects = 5
)

type wgetRun struct {
	*program
	o       options
	quiet   bool
	timeout time.Duration
	body    []byte // of a POST
	tlsNote bool   // was printed
}

func (p *program) wget(args []string) int {
	o, urls, ok := p.parse(args, 0)
	if !ok {
		return 1
	}
	if len(urls) == 0 {
		return p.usage()
	}
	w := &wgetRun{program: p, o: o, quiet: o.has('q'), timeout: wgetTimeout}
	if o.has('T') {
		n, ok := p.number(o, 'T')
		if !ok {
			return 1
		}
		w.timeout = time.Duration(n) * time.Second
	}
	if o.has('o') {
		log, err := os.Create(o.last('o'))
		if err != nil {
			return p.fail("can't open '%s': %s", o.last('o'), reason(err))
		}
		defer log.Close()
		p.err = log
	}
	w.body = []byte(strings.Join(o[optPostData], "&"))
	if o.has(optPostFile) {
		data, err := os.ReadFile(o.last(optPostFile))
		if err != nil {
			return p.fail("can't open '%s': %s", o.last(optPostFile), reason(err))
		}
		w.body = data
	}
	for _, u := range urls {
		if code := w.fetch(u); code != 0 {
			return code
		}
	}
	return 0
}

func (w *wgetRun) note(format string, args ...any) {
	if !w.quiet {
		fmt.Fprintf(w.err, format+"\n", args...)
	}
}

// fetch gets a URL and what it redirects to.
func (w *wgetRun) fetch(raw string) int {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return w.fail("bad address '%s'", raw)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return w.fail("not an http or ftp url: %s", raw)
	}
	name := path.Base(u.Path)
	if strings.HasSuffix(u.Path, "/") || name == "." || name == "/" {
		name = "index.html"
	}
	for range wgetRedirects + 1 {
		resp, conn, code := w.ask(u) //nolint:bodyclose // its connection is closed below
		if code != 0 {
			return code
		}
		next, code := w.answered(resp, name)
		if err := conn.Close(); err != nil && code == 0 {
			return w.fail("%s", reason(err))
		}
		if next == "" {
			return code
		}
		if u, err = u.Parse(next); err != nil || u.Host == "" {
			return w.fail("bad redirection '%s'", next)
		}
	}
	return w.fail("too many redirections")
}

// ask sends the request once and reads the head of its answer.
func (w *wgetRun) ask(u *url.URL) (*http.Response, net.Conn, int) {
	ctx, cancel := context.WithCancel(context.Background())
	if w.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, w.timeout)
	}
	defer cancel()
	addr, found := lookup(ctx, u.Hostname())
	if !found {
		if ctx.Err() != nil {
			return nil, nil, w.fail("download timed out")
		}
		return nil, nil, w.fail("bad address '%s'", u.Host)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	at := net.JoinHostPort(addr.String(), port)
	w.note("Connecting to %s (%s)", u.Host, at)
	conn, err := (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, "tcp", at)
	if err != nil {
		if ctx.Err() != nil || isTimeout(err) && !errors.Is(err, syscall.ETIMEDOUT) {
			return nil, nil, w.fail("download timed out")
		}
		return nil, nil, w.fail("can't connect to remote host (%s): %s", addr, reason(err))
	}
	conn = idle{conn, w.timeout}
	if u.Scheme == "https" {
		if !w.tlsNote && !w.o.has(optIgnored) {
			w.note("wget: note: TLS certificate validation not implemented")
			w.tlsNote = true
		}
		//nolint:gosec // busybox's wget validates no certificate either, and says so
		conn = tls.Client(conn, &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true})
	}
	resp, head, err := w.roundTrip(conn, u)
	if w.o.has('S') {
		for line := range strings.Lines(head) {
			fmt.Fprintf(w.err, "  %s\n", strings.TrimRight(line, "\r\n"))
		}
	}
	if err == nil {
		return resp, conn, 0
	}
	_ = conn.Close() // it has failed already
	switch {
	case isTimeout(err):
		return nil, nil, w.fail("download timed out")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, nil, w.fail("error getting response")
	}
	return nil, nil, w.fail("error getting response: %s", reason(err))
}

func (w *wgetRun) roundTrip(conn net.Conn, u *url.URL) (*http.Response, string, error) {
	method := http.MethodGet
	if w.o.has(optPostData) || w.o.has(optPostFile) {
		method = http.MethodPost
	} else if w.o.has(optSpider) {
		method = http.MethodHead
	}
	req := &http.Request{Method: method, URL: u, Host: u.Host, Close: true, Header: http.Header{"User-Agent": {"Wget"}}}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(w.body)), int64(len(w.body))
	}
	if w.o.has('U') {
		req.Header.Set("User-Agent", w.o.last('U'))
	}
	for _, h := range w.o[optHeader] {
		name, value, _ := strings.Cut(h, ":")
		if value = strings.TrimSpace(value); strings.EqualFold(name, "Host") {
			req.Host = value
			continue
		}
		req.Header.Set(strings.TrimSpace(name), value)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		req.SetBasicAuth(u.User.Username(), password)
	}
	if err := req.Write(conn); err != nil {
		return nil, "", err
	}
	var seen bytes.Buffer
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &capped{&seen})), req)
	head, _, whole := strings.Cut(seen.String(), "\r\n\r\n")
	if !whole && err != nil {
		head = ""
	}
	return resp, head, err
}

// capped keeps the start of what is written to it: room for an answer's head.
type capped struct{ buf *bytes.Buffer }

func (c *capped) Write(b []byte) (int, error) {
	if room := 64<<10 - c.buf.Len(); room > 0 {
		c.buf.Write(b[:min(len(b), room)])
	}
	return len(b), nil
}

// answered deals with an answer: next is where it redirects to.
func (w *wgetRun) answered(resp *http.Response, name string) (next string, code int) {
	switch status := resp.StatusCode; {
	case status >= 200 && status <= 206 && status != http.StatusResetContent:
	case status >= 300 && status <= 303, status == http.StatusTemporaryRedirect, status == http.StatusPermanentRedirect:
		if next := resp.Header.Get("Location"); next != "" {
			return next, 0
		}
		fallthrough
	default:
		return "", w.fail("server returned error: %s %s", resp.Proto, strings.TrimSpace(resp.Status))
	}
	if w.o.has(optSpider) {
		w.note("remote file exists")
		return "", 0
	}
	return "", w.save(resp, name)
}

func (w *wgetRun) save(resp *http.Response, name string) int {
	target := w.o.last('O')
	var shown string
	var to io.Writer
	if target == "-" {
		w.note("writing to stdout")
		to, shown = w.out, "-"
	} else {
		flag := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
		if target == "" {
			target, flag = name, os.O_WRONLY|os.O_CREATE|os.O_EXCL
			if w.o.has('P') {
				target = filepath.Join(w.o.last('P'), name)
			}
		}
		file, err := os.OpenFile(target, flag, 0o666)
		if err != nil {
			return w.fail("can't open '%s': %s", target, reason(err))
		}
		defer file.Close()
		w.note("saving to '%s'", target)
		to, shown = file, path.Base(target)
	}
	n, err := io.Copy(to, resp.Body)
	switch {
	case isTimeout(err):
		return w.fail("download timed out")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return w.fail("connection closed prematurely")
	case err != nil:
		return w.fail("read error: %s", reason(err))
	}
	if resp.ContentLength >= 0 {
		w.note("%-20.20s %3d%% |%s| %5s  0:00:00 ETA", shown, 100, strings.Repeat("*", 32), size(n))
	} else {
		w.note("%-20.20s      |%s| %5s  0:00:00 ETA", shown, strings.Repeat(" ", 32), size(n))
	}
	if target == "-" {
		w.note("written to stdout")
	} else {
		w.note("'%s' saved", target)
	}
	return 0
}

// size is a number of bytes in five columns.
func size(n int64) string {
	unit := ""
	for _, next := range []string{"k", "M", "G"} {
		if n < 100_000 {
			break
		}
		n, unit = n/1024, next
	}
	return strconv.FormatInt(n, 10) + unit
}
