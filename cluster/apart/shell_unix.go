//go:build unix

package apart

import (
	"bufio"
	_ "embed"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/creack/pty"
)

//go:embed driver.sh
var driver string

// size is that of terminals.
var size = pty.Winsize{Rows: 50, Cols: 200}

// pipes are how commands come to the shell and exit codes from it.
type pipes struct {
	commandsR, commandsW *os.File
	endsR, endsW         *os.File
}

func newPipes() (p pipes, err error) {
	if p.commandsR, p.commandsW, err = os.Pipe(); err != nil {
		return p, fmt.Errorf("make a pipe: %w", err)
	}
	if p.endsR, p.endsW, err = os.Pipe(); err != nil {
		p.commandsR.Close()
		p.commandsW.Close()
		return p, fmt.Errorf("make a pipe: %w", err)
	}
	return p, nil
}

// given closes the ends that the shell has.
func (p pipes) given() {
	p.commandsR.Close()
	p.endsW.Close()
}

func (p pipes) closeAll() {
	for _, f := range []*os.File{p.commandsR, p.commandsW, p.endsR, p.endsW} {
		f.Close()
	}
}

// readEnds gives exit codes as they come, until the shell ends.
func readEnds(f *os.File) <-chan int {
	ends := make(chan int, 1)
	go func() {
		defer close(ends)
		defer f.Close()
		for sc := bufio.NewScanner(f); sc.Scan(); {
			code, err := strconv.Atoi(strings.TrimSpace(sc.Text()))
			if err != nil {
				return
			}
			ends <- code
		}
	}()
	return ends
}

// environment is the shell's whole.
func environment(home, path, term string) []string {
	return []string{
		"HOME=" + home, "PATH=" + path, "TERM=" + term, "LANG=C.UTF-8", "USER=root", "SHELL=/bin/bash", "PWD=" + home,
		"KUBECACHEDIR=" + home + "/.kube/cache",
	}
}
