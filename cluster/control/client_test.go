package control

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/datapath/explain"
)

// over is a client of a daemon whose connections serve handles.
func over(t *testing.T, serve func(net.Conn)) *Client {
	t.Helper()
	return NewClientOver(func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			serve(theirs)
		}()
		return ours, nil
	})
}

// A daemon that is stopped takes connections, and the kernel what is written to it.
func TestEachCallHasADeadline(t *testing.T) {
	calls := map[string]struct {
		call  func(context.Context, *Client) error
		after time.Duration
	}{
		"status":   {func(ctx context.Context, c *Client) error { _, err := c.Status(ctx); return err }, lookTimeout},
		"trace":    {func(ctx context.Context, c *Client) error { _, err := c.Trace(ctx); return err }, lookTimeout},
		"shutdown": {func(ctx context.Context, c *Client) error { return c.Shutdown(ctx) }, lookTimeout},
		"enforced": {func(ctx context.Context, c *Client) error { return c.Enforced(ctx, cluster.PolicyRef{}) }, waitTimeout},
		"names":    {func(ctx context.Context, c *Client) error { return c.ServeNames(ctx, nil) }, workTimeout},
		"explain":  {func(ctx context.Context, c *Client) error { _, err := c.Explain(ctx, explain.Request{}); return err }, workTimeout},
		"matrix": {func(ctx context.Context, c *Client) error {
			_, err := c.Matrix(ctx, explain.MatrixRequest{})
			return err
		}, workTimeout},
		"images":      {func(ctx context.Context, c *Client) error { _, err := c.Images(ctx); return err }, workTimeout},
		"credentials": {func(ctx context.Context, c *Client) error { _, err := c.Credentials(ctx); return err }, lookTimeout},
	}
	for name, tc := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := over(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }) // reads, and says nothing
				defer c.CloseIdle()
				began := time.Now()
				err := tc.call(t.Context(), c)
				var late *TimeoutError
				if !errors.As(err, &late) || late.Cure() == "" {
					t.Fatalf("error %v, want a TimeoutError with a cure", err)
				}
				if took := time.Since(began); took < tc.after || took > tc.after+time.Second {
					t.Errorf("ended after %s, want %s", took, tc.after)
				}
			})
		})
	}
}

// The caller's own end is told as that.
func TestCallersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := over(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var late *TimeoutError
		if _, err := c.Status(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &late) {
			t.Errorf("error %v, want the caller's deadline", err)
		}
	})
}

func TestAnswersAreBounded(t *testing.T) {
	for name, head := range map[string]string{
		"an answer": "HTTP/1.1 200 OK\r\n\r\n{\"failed\":\"", "an error": "HTTP/1.1 500 no\r\n\r\n{\"message\":\"",
	} {
		t.Run(name, func(t *testing.T) {
			c := over(t, func(conn net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					return
				}
				_, err := io.WriteString(conn, head)
				for chunk := bytes.Repeat([]byte("x"), 1<<20); err == nil; {
					_, err = conn.Write(chunk)
				}
			})
			if c.limit != 64<<20 {
				t.Errorf("answers are bounded by %d bytes", c.limit)
			}
			c.limit = 1 << 20 // a smaller one is reached in no time
			_, err := c.Status(t.Context())
			if err == nil || len(err.Error()) > 200 {
				t.Errorf("an answer without end gives %.300v", err)
			}
			if name == "an answer" && !strings.Contains(err.Error(), "longer than 1 MiB") {
				t.Errorf("error %v does not say the bound", err)
			}
		})
	}
}
