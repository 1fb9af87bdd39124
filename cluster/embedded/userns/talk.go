//go:build linux

package userns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// message is what a role says to the one below it, on a pipe that stays open as long
// as the speaker lives.
type message struct{ r, w *os.File }

func tell(v any) (*message, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("tell what is to be done: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	go func() { _, _ = w.Write(append(b, '\n')) }() // a reader that died is noticed by its end
	return &message{r, w}, nil
}

func (m *message) close() {
	_ = m.r.Close()
	_ = m.w.Close()
}

// hear reads what the role above said, byte by byte, since what follows it is another
// role's to wait for.
func hear(v any) error {
	var line []byte
	b := make([]byte, 1)
	for {
		if _, err := io.ReadFull(os.Stdin, b); err != nil {
			return fmt.Errorf("hear what is to be done: %w", err)
		}
		if b[0] == '\n' {
			return json.Unmarshal(line, v)
		}
		line = append(line, b[0])
	}
}

// dieWithParent asks for SIGKILL when the parent thread ends. An exec that
// gains capabilities clears the wish, so each role makes it anew.
func dieWithParent() {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		os.Exit(3)
	}
}

// dieWithSpeaker is dieWithParent for a role that hears from its parent. A parent
// that died before the wish was made has closed its end of standard input.
func dieWithSpeaker() {
	dieWithParent()
	fds := []unix.PollFd{{Fd: 0}}
	for {
		_, err := unix.Poll(fds, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || fds[0].Revents&unix.POLLHUP != 0 {
			os.Exit(3)
		}
		return
	}
}
