package pagerun

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netdojo/netdojo/checks"
)

// execution is a command that a page runs in a pod, as it passed by.
type execution struct {
	Namespace, Pod, Container string
	Attached                  bool     // to the pod's own program
	inMade                    bool     // in the shell of a pod that was made for it
	ours                      bool     // netdojo runs it, and not the page
	Words                     []string // none where it is attached
	Begun                     time.Time
	subject                   checks.Subject // when it began
	subjectErr                error
	mark                      int // of the flow log

	mu      sync.Mutex // guards what follows
	cut     func()     // ends the connection
	out     bytes.Buffer
	ended   time.Time
	code    *int          // nil while it runs, and where the cluster did not tell
	message string        // what the cluster says of its end
	early   bool          // netdojo ended it after its drop
	done    chan struct{} // closed when it has ended
	told    chan struct{} // of an attached program that dials: closed when its pod told its exit code, or is gone
}

// executionKey is where a request's context has its execution.
type executionKey struct{}

// watched is a request with the execution that it asks for, noted before the cluster
// hears of it.
func (a *api) watched(r *http.Request) *http.Request {
	m := execPath.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return r
	}
	q := r.URL.Query()
	e := &execution{
		Namespace: m[1], Pod: m[2], Container: q.Get("container"), Words: q["command"], Attached: m[3] == "attach",
		Begun: time.Now(), done: make(chan struct{}), cut: func() {},
	}
	if a.started != nil {
		a.started(e)
	}
	return r.WithContext(context.WithValue(r.Context(), executionKey{}, e))
}

// begun has an execution watch the connection by which the cluster runs it. One that
// the cluster refuses is none: kubectl asks again in another way, or fails.
func (a *api) begun(res *http.Response, e *execution) {
	conn, upgraded := res.Body.(io.ReadWriteCloser)
	if !upgraded || res.StatusCode != http.StatusSwitchingProtocols {
		return
	}
	a.mu.Lock()
	a.executions = append(a.executions, e)
	a.mu.Unlock()
	e.setCut(func() { _ = conn.Close() })
	if res.Header.Get("Sec-Websocket-Accept") != "" {
		res.Body = &tee{ReadWriteCloser: conn, e: e}
		return
	}
	e.end("it speaks " + res.Header.Get("Upgrade") + ", which is not watched")
}

// tee reads for kubectl, and for the execution what is read.
type tee struct {
	io.ReadWriteCloser
	e *execution

	mu     sync.Mutex // held while reading
	frames frames
}

func (t *tee) Read(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.ReadWriteCloser.Read(b)
	t.frames.feed(b[:n], t.e.take)
	if err != nil {
		t.e.end("the connection ended")
	}
	return n, err
}

// lingerTime is how long a program may go on in its pod when its kubectl is gone, as
// behind "| head -1": what it ends with is worth the wait.
const lingerTime = 10 * time.Second

// Close lets the program come to its end, and ends the connection then.
func (t *tee) Close() error {
	go func() {
		limit := time.AfterFunc(lingerTime, func() {
			t.e.end("its kubectl was gone")
			_ = t.ReadWriteCloser.Close() // it may be closed
		})
		defer limit.Stop()
		for b := make([]byte, 4096); ; {
			if _, err := t.Read(b); err != nil || !t.e.running() {
				break
			}
		}
		_ = t.ReadWriteCloser.Close()
	}()
	return nil
}

// Channels of Kubernetes' streaming over WebSocket, v4.channel.k8s.io and v5.
const (
	channelStdout = 1
	channelStderr = 2
	channelError  = 3
)

// take takes a message of the server.
func (e *execution) take(message []byte) {
	if len(message) < 1 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch body := message[1:]; message[0] {
	case channelStdout, channelStderr:
		if room := keptShown - e.out.Len(); room > 0 {
			e.out.Write(body[:min(len(body), room)])
		}
	case channelError:
		var st metav1.Status
		if json.Unmarshal(body, &st) != nil {
			return
		}
		e.ended, e.message = time.Now(), st.Message
		code := 0
		if st.Status != metav1.StatusSuccess {
			code = -1
			if st.Details != nil {
				for _, c := range st.Details.Causes {
					if n, err := strconv.Atoi(c.Message); err == nil && c.Type == "ExitCode" {
						code = n
					}
				}
			}
		}
		if code >= 0 && !e.Attached { // that an attachment ended well says nothing of the program
			e.code = &code
		}
		e.finish()
	}
}

// finish closes done, once. The caller holds mu.
func (e *execution) finish() {
	select {
	case <-e.done:
	default:
		close(e.done)
	}
}

// end notes the end of the connection, once.
func (e *execution) end(how string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended.IsZero() {
		e.ended, e.message = time.Now(), how
	}
	e.finish()
}

func (e *execution) setCut(cut func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cut = cut
}

// disconnect ends the connection.
func (e *execution) disconnect() {
	e.mu.Lock()
	cut := e.cut
	e.mu.Unlock()
	cut()
}

// running says whether the program has not ended.
func (e *execution) running() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended.IsZero()
}

func (e *execution) endedEarly() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.early = true
}

// seen is what is known of the execution at this moment.
type seen struct {
	out     string
	code    *int
	message string
	early   bool
	ended   time.Time
}

func (e *execution) look() seen {
	e.mu.Lock()
	defer e.mu.Unlock()
	return seen{out: e.out.String(), code: e.code, message: e.message, early: e.early, ended: e.ended}
}

// frames reads the messages of a WebSocket (RFC 6455, 5.2) that a server sends.
type frames struct {
	buf     []byte
	message []byte
	lost    bool // a frame is larger than Kubernetes sends them
}

// maxFrame is more than a frame of an exec has.
const maxFrame = 1 << 20

func (f *frames) feed(b []byte, take func([]byte)) {
	if f.lost {
		return
	}
	f.buf = append(f.buf, b...)
	for {
		if len(f.buf) < 2 {
			return
		}
		head, size := 2, uint64(f.buf[1]&0x7f)
		switch size {
		case 126:
			if head = 4; len(f.buf) < head {
				return
			}
			size = uint64(binary.BigEndian.Uint16(f.buf[2:]))
		case 127:
			if head = 10; len(f.buf) < head {
				return
			}
			size = binary.BigEndian.Uint64(f.buf[2:])
		}
		if f.buf[1]&0x80 != 0 || size > maxFrame { // servers do not mask
			f.lost = true
			return
		}
		if uint64(len(f.buf)) < uint64(head)+size {
			return
		}
		final, op := f.buf[0]&0x80 != 0, f.buf[0]&0x0f
		if op < 8 { // data; others control the connection
			if f.message = append(f.message, f.buf[head:uint64(head)+size]...); len(f.message) > maxFrame {
				f.lost = true
				return
			}
			if final {
				take(f.message)
				f.message = nil
			}
		}
		f.buf = f.buf[uint64(head)+size:]
	}
}
