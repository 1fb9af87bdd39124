//go:build linux

package enter

import (
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

// channel answers the CRI server on sandbox.StatusFD.
type channel struct{ fd int }

// fail reports why the command did not start and returns the exit code for it.
func (c *channel) fail(err error) int {
	f := sandbox.Failure{Message: err.Error(), Code: 128}
	var start *startError
	if errors.As(err, &start) {
		f.Code = start.code
	}
	text, encodeErr := json.Marshal(f)
	if encodeErr != nil {
		text = []byte(`{"message":"unknown","code":128}`)
	}
	// The server reads the exit code when this message is lost.
	_ = unix.Sendmsg(c.fd, append([]byte{sandbox.MessageFail}, text...), nil, nil, 0)
	return f.Code
}

func (c *channel) sendTerminal(master int) error {
	err := unix.Sendmsg(c.fd, []byte{sandbox.MessageTTY}, unix.UnixRights(master), nil, 0)
	if err != nil {
		return fmt.Errorf("hand over the terminal: %w", err)
	}
	return nil
}

// startError is a command that is not there or cannot be executed.
type startError struct {
	command string
	reason  string
	code    int
}

func (e *startError) Error() string {
	return fmt.Sprintf("exec: %q: %s", e.command, e.reason)
}
