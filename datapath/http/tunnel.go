package http

import (
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/netdojo/netdojo/datapath/internal/transparent"
)

// tunnel joins client and server once they have left HTTP, until one ends.
func (x *exchange) tunnel(u *upstream, resp *http.Response) {
	endToEnd(resp.Header)
	resp.Header["Server"] = []string{"envoy"}
	x.answered(resp.StatusCode, resp.Header)
	conn, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		x.fail(err)
		return
	}
	defer conn.Close()
	if err := writeSwitch(rw, resp.Header); err != nil {
		return
	}
	if err := rw.Flush(); err != nil {
		return
	}
	_ = conn.SetReadDeadline(noDeadline)
	_ = u.SetReadDeadline(noDeadline)
	var wg sync.WaitGroup
	wg.Go(func() { pipe(u.Conn, rw.Reader) })
	// Past the deadlines of a response: a tunnel may be silent.
	wg.Go(func() { pipe(conn, io.MultiReader(io.LimitReader(u.r, int64(u.r.Buffered())), u.Conn)) })
	wg.Wait()
}

// pipe copies until the source ends, and tells the destination so.
func pipe(to net.Conn, from io.Reader) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close()
		return
	}
	transparent.CloseWrite(to)
}
