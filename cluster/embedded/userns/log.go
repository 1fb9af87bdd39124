//go:build linux

package userns

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// maxLog is how large the log becomes before it is begun anew. One before it is kept.
const maxLog = 16 << 20

// NodeMark begins each line of the log that pods may have written: the node's, from the
// moment on that it runs pods. Lines without it are netdojo's own.
const NodeMark = "node: "

// logWriter writes whole lines to the log, which is open as each of fds. A log that
// cannot be written must not stop the node, so what finds no room is left out.
type logWriter struct {
	dir string
	fds []int

	mu     sync.Mutex // guards what follows, and keeps lines whole
	size   int64
	torn   bool  // the last line has no end
	lost   int   // lines that were left out
	reason error // why
}

// stderrLog is the log of a process whose standard output and error it is.
func stderrLog(dir string) *logWriter { return &logWriter{dir: dir, fds: []int{2, 1}} }

func (w *logWriter) line(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size+int64(len(b)) > maxLog {
		w.turn()
	}
	if w.lost > 0 {
		if !w.write(fmt.Appendf(nil, "netdojo's log lacks %d lines here: %v\n", w.lost, w.reason)) {
			w.lost++
			return
		}
		w.lost = 0
	}
	if !w.write(b) {
		w.lost++
	}
}

// write says whether all of b was written.
func (w *logWriter) write(b []byte) bool {
	if w.torn {
		b = append([]byte("\n"), b...)
	}
	for n := 0; n < len(b); {
		m, err := unix.Write(w.fds[0], b[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			w.torn = w.torn && n == 0 || n > 0
			w.reason = err
			return false
		}
		n += m
		w.size += int64(m)
	}
	w.torn = false
	return true
}

// turn begins the log anew, in a new file. It tries again later when it cannot.
func (w *logWriter) turn() {
	w.size = 0
	path := filepath.Join(w.dir, LogFile)
	err := os.Rename(path, path+".1")
	if errors.Is(err, os.ErrNotExist) { // an earlier turn found no room for a new one
		err = nil
	}
	var f *os.File
	if err == nil {
		f, err = hostfile.Append(path, 0o600)
	}
	if err == nil {
		defer f.Close()
		for _, fd := range w.fds {
			err = errors.Join(err, unix.Dup3(int(f.Fd()), fd, 0))
		}
	}
	if err != nil {
		w.write(fmt.Appendf(nil, "begin the log anew: %v\n", err))
	}
}

// pipe is a pipe whose other end goes to the log, each line after a mark. The node
// holds no file of the host's. Wait for done before the log is read.
func (w *logWriter) pipe(mark string) (end *os.File, done <-chan struct{}, err error) {
	r, end, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make a pipe for the log: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer r.Close()
		w.copyLines(mark, r)
	}()
	return end, ended, nil
}

// maxLine bounds a line; a longer one becomes several.
const maxLine = 16 << 10

func (w *logWriter) copyLines(mark string, r io.Reader) {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		part, err := in.ReadSlice('\n')
		if len(part) > 0 {
			line := append([]byte(mark), bytes.TrimSuffix(part, []byte("\n"))...)
			w.line(append(line, '\n'))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// SpeakAsNode has the log mark, from here on, what this process and its children say.
// The node calls it before it runs the first pod: a pod can get hold of whatever the
// node may write to.
func SpeakAsNode() error {
	err := errors.Join(unix.Dup3(NodeLog, 1, 0), unix.Dup3(NodeLog, 2, 0), unix.Close(NodeLog))
	if err != nil {
		return fmt.Errorf("write to the node's log: %w", err)
	}
	return nil
}

// OwnWords are what netdojo said last in a log about a failure, and its cure; both may
// be empty. What the node said when pods may have spoken for it is passed over.
func OwnWords(log []byte) (what, cure string) {
	for line := range bytes.Lines(log) {
		text := strings.TrimSpace(string(line))
		if said, ok := strings.CutPrefix(text, "netdojo: "); ok {
			what, cure = said, ""
		}
		if said, ok := strings.CutPrefix(text, "cure: "); ok {
			cure = said
		}
	}
	return what, cure
}

// tail is the end of the log.
func tail(dir string) []byte {
	f, err := hostfile.Open(filepath.Join(dir, LogFile))
	if err != nil {
		return nil
	}
	defer f.Close()
	const most = 16 << 10
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil
	}
	return b
}

// spoken are the lines of the node in a part of the log that say something, without
// their mark.
func spoken(log []byte) (lines []string) {
	for line := range bytes.Lines(log) {
		text := strings.TrimSpace(strings.TrimPrefix(string(line), NodeMark))
		if text != "" {
			lines = append(lines, text)
		}
	}
	return lines
}
