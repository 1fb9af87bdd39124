// Package crilog writes a container's output as the kubelet reads it: a line
// for each line or part of one, with time, stream and tag (KEP "CRI log
// format": F ends a line, P is a part of one).
package crilog

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// MaxPart is the longest part of a line in one entry, in bytes.
const MaxPart = 16 << 10

// File is the log of one container. It is safe for concurrent use.
type File struct {
	path string
	mu   sync.Mutex // guards f
	f    *os.File
}

// Open appends to the log at path; its folder is made when missing.
func Open(path string) (*File, error) {
	l := &File{path: path}
	return l, l.Reopen()
}

// Reopen goes on in a new file at the same path, after the old one was moved.
func (l *File) Reopen() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return fmt.Errorf("make the log folder: %w", err)
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		l.f.Close() // written without a buffer: nothing can be lost
	}
	l.f = f
	return nil
}

// Close ends the log; later entries are dropped.
func (l *File) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	err := l.f.Close()
	l.f = nil
	return err
}

func (l *File) write(entry []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	_, err := l.f.Write(entry)
	return err
}

// Stream returns a writer of one stream, stdout or stderr. It is for one
// goroutine. Close writes what is left of an unfinished line.
func (l *File) Stream(name string) io.WriteCloser {
	return &stream{file: l, name: name, now: time.Now}
}

type stream struct {
	file *File
	name string
	rest []byte // the present line so far, shorter than MaxPart
	now  func() time.Time
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	var out bytes.Buffer
	for rest := p; len(rest) > 0; {
		line := rest
		end := bytes.IndexByte(rest, '\n')
		if end >= 0 {
			line = rest[:end]
		}
		if room := MaxPart - len(s.rest); len(line) > room {
			s.entry(&out, "P", line[:room])
			rest = rest[room:]
			continue
		}
		if end < 0 {
			s.rest = append(s.rest, line...)
			break
		}
		s.entry(&out, "F", line)
		rest = rest[end+1:]
	}
	if out.Len() == 0 {
		return len(p), nil
	}
	return len(p), s.file.write(out.Bytes())
}

// entry writes the line so far and more of it as one entry.
func (s *stream) entry(out *bytes.Buffer, tag string, more []byte) {
	out.WriteString(s.now().Format(time.RFC3339Nano))
	out.WriteString(" " + s.name + " " + tag + " ")
	out.Write(s.rest)
	out.Write(more)
	out.WriteByte('\n')
	s.rest = s.rest[:0]
}

// Close implements io.Closer.
func (s *stream) Close() error {
	if len(s.rest) == 0 {
		return nil
	}
	var out bytes.Buffer
	s.entry(&out, "P", nil)
	return s.file.write(out.Bytes())
}
