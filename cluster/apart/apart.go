// Package apart runs one shell apart from the host: in user, mount, PID, network, IPC
// and UTS namespaces of its own. Of the host it sees the programs, read-only; what it
// may write is a work folder in memory, with the files that it is given. Its network is
// a loopback with one listener, which is the caller's. Processes, memory and disk are
// bounded.
//
// Two processes stand above the shell, each the running program under the name Name:
// the outer one builds the root, the inner one is PID 1. Each dies with the one above.
package apart

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
)

// Name is what the running program is called, as os.Args[0], when it is to be Main.
const Name = "netdojo-apart"

// Where things are inside.
const (
	Home = "/work"
	bin  = "/opt/netdojo/bin"
)

// Bounds of what runs inside, beside those of its caller.
const (
	maxProcesses = 400     // and threads
	maxMemory    = 1 << 30 // of all processes and folders, in bytes
	maxWork      = "256m"
	maxFiles     = 64 << 20 // bytes that it is given
	maxSeconds   = 8        // terminals beside the shell's own
)

// Config says what a shell is given.
type Config struct {
	// Files are put into the work folder.
	Files []File
	// Programs are shown by their names, before all others: NAME → path on the host.
	Programs map[string]string
	// Kubeconfig makes the file that kubectl reads, for the server's URL.
	Kubeconfig func(server string) []byte
}

// File is a file of the work folder. Name is a slash-separated path below it.
type File struct {
	Name string
	Mode fs.FileMode
	Data []byte
}

// Mark is what the terminal gets after what a command has shown.
const Mark = "\x1enetdojo end\x1e"

// ErrUnsupported is wrapped where a machine cannot run a shell apart.
var ErrUnsupported = errors.New("this machine cannot run a page's commands apart from itself")

// Shell is a bash that reads commands from its caller, on a terminal of its own.
type Shell struct {
	// API takes the connections that the shell's programs make to the kubeconfig's
	// server. Close closes it.
	API net.Listener
	// Prefix is the path of that server's URL, "" for none.
	Prefix string
	// Terminal is what the shell's programs have as their terminal: reading it gives
	// what they show, and Mark after each command.
	Terminal *os.File
	// Ends gets the exit code of each command, and is closed when the shell ends.
	Ends <-chan int
	// Told gets what was ended because it took too much, in words.
	Told <-chan string

	commands *os.File
	control  control
	close    func() error
	seconds  []*os.File
}

// control acts on what runs in the shell.
type control interface {
	interrupt() error // SIGINT for all but the shell and what has a second terminal
	kill() error      // SIGKILL for all but the shell
	count() int       // how many processes there are beside the shell, -1 when unknown
	// second makes a terminal: what reads it, and its path inside.
	second() (*os.File, string, error)
}

// Second makes one more terminal, for what runs beside the shell's commands: reading it
// gives what is shown there, and path is what a command of the shell opens as its
// terminal. What has it is no part of what Interrupt ends. It is closed with the shell.
func (s *Shell) Second() (terminal *os.File, path string, err error) {
	if len(s.seconds) >= maxSeconds {
		return nil, "", fmt.Errorf("there are %d terminals already", maxSeconds)
	}
	if terminal, path, err = s.control.second(); err != nil {
		return nil, "", fmt.Errorf("make a terminal: %w", err)
	}
	s.seconds = append(s.seconds, terminal)
	return terminal, path, nil
}

// Run has the shell run a command. Its end comes on Ends.
func (s *Shell) Run(text string) error {
	_, err := s.commands.Write(append([]byte(text), 0))
	return err
}

// Interrupt is Ctrl-C for everything that runs on the shell's own terminal.
func (s *Shell) Interrupt() error { return s.control.interrupt() }

// Kill ends everything that runs in the shell, but the shell.
func (s *Shell) Kill() error { return s.control.kill() }

// Processes counts what runs in the shell; -1 when that is not known.
func (s *Shell) Processes() int { return s.control.count() }

// Close ends the shell with all that it started, and waits for that.
func (s *Shell) Close() error {
	err := s.close()
	for _, f := range s.seconds {
		err = errors.Join(err, ignoreClosed(f.Close()))
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
