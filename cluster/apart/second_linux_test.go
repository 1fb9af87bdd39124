package apart

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// linesOf reads what a terminal shows, line by line.
func linesOf(f *os.File) <-chan string {
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for sc := bufio.NewScanner(f); sc.Scan(); {
			lines <- strings.TrimRight(sc.Text(), "\r")
		}
	}()
	return lines
}

// awaitLine waits for a line.
func awaitLine(t *testing.T, lines <-chan string, want string) {
	t.Helper()
	for limit := time.After(time.Minute); ; {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("the terminal ended before %q", want)
			}
			if line == want {
				return
			}
		case <-limit:
			t.Fatalf("%q is not shown", want)
		}
	}
}

// TestSecondTerminal: what runs on a second terminal has what the shell has, goes on
// when what runs in the shell is interrupted, and ends with all others.
func TestSecondTerminal(t *testing.T) {
	asUser(t)
	s := start(t, Config{})
	terminal, path, err := s.Second()
	if err != nil {
		t.Fatal(err)
	}
	lines := linesOf(terminal)
	// With job control bash does not have it ignore an interrupt, as some programs do not.
	const program = `trap "echo interrupted" INT; echo "begun $WORD"; while :; do sleep 0.2; test -e go && echo goes; done`
	s.run("export WORD=carried")
	if _, code := s.run(fmt.Sprintf("set -m; bash -c '%s' <%s >%[2]s 2>&1 & set +m", program, path)); code != 0 {
		t.Fatalf("it does not begin: code %d", code)
	}
	awaitLine(t, lines, "begun carried")
	if err := s.Run("sleep 1000"); err != nil {
		t.Fatal(err)
	}
	interrupted(t, s)
	s.run("touch go")
	for limit := time.After(time.Minute); ; {
		select {
		case line := <-lines:
			if line == "interrupted" {
				t.Fatal("Ctrl-C reached the second terminal")
			}
			if line != "goes" {
				continue
			}
		case <-limit:
			t.Fatal("it does not go on")
		}
		break
	}
	if n := s.Processes(); n < 1 {
		t.Fatalf("there are %d processes", n)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(time.Minute); s.Processes() > 0; {
		if time.Now().After(limit) {
			t.Fatal("it is not ended with all others")
		}
	}
}

// interrupted interrupts what runs until it ends: an interrupt before it begins does
// nothing.
func interrupted(t *testing.T, s *shell) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); ; {
		if err := s.Interrupt(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.Ends:
			return
		case <-tick.C:
		case <-limit:
			t.Fatal("the command goes on")
		}
	}
}

// TestSecondTerminalsAreBounded: there are so many, and what shows without end on one
// that nobody reads holds up nobody.
func TestSecondTerminalsAreBounded(t *testing.T) {
	s := start(t, Config{})
	for range maxSeconds {
		_, path, err := s.Second()
		if err != nil {
			t.Fatal(err)
		}
		if !terminalPath.MatchString(path) {
			t.Errorf("its path is %q", path)
		}
		s.run("yes <" + path + " >" + path + " 2>&1 &")
	}
	if _, _, err := s.Second(); err == nil {
		t.Error("there is no end of terminals")
	}
	if shown, code := s.run("echo still here"); shown != "still here" || code != 0 {
		t.Errorf("the shell shows %q, code %d", shown, code)
	}
}
