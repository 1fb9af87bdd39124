package apart

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Args[0] == Name {
		os.Exit(Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// shell is a Shell whose terminal is read.
type shell struct {
	*Shell
	t     *testing.T
	mu    sync.Mutex
	shown strings.Builder
}

func start(t *testing.T, c Config) *shell {
	t.Helper()
	if c.Kubeconfig == nil {
		c.Kubeconfig = func(server string) []byte { return []byte("server: " + server + "\n") }
	}
	s, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	return watched(t, s)
}

// watched reads a shell's terminal, and closes it with the test.
func watched(t *testing.T, s *Shell) *shell {
	t.Helper()
	sh := &shell{Shell: s, t: t}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := s.Terminal.Read(b)
			sh.mu.Lock()
			if sh.shown.Len() < 1<<20 {
				sh.shown.Write(b[:n])
			}
			sh.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-read
	})
	return sh
}

// run runs a command and gives what it printed on the terminal, and its code; -1 when
// the shell ended.
func (s *shell) run(text string) (string, int) {
	s.t.Helper()
	s.mu.Lock()
	s.shown.Reset()
	s.mu.Unlock()
	if err := s.Run(text); err != nil {
		return "", -1
	}
	select {
	case code, ok := <-s.Ends:
		if !ok {
			return "", -1
		}
		for deadline := time.Now().Add(time.Minute); ; {
			s.mu.Lock()
			shown := strings.ReplaceAll(s.shown.String(), "\r\n", "\n")
			s.mu.Unlock()
			if before, _, ok := strings.Cut(shown, Mark); ok || time.Now().After(deadline) {
				return strings.TrimSpace(before), code
			}
		}
	case <-time.After(2 * time.Minute):
		s.t.Fatalf("%q does not end", text)
	}
	return "", 0
}

// asUser runs the test that calls it once more as a user of no name.
func asUser(t *testing.T) {
	if os.Getuid() != 0 {
		return
	}
	t.Run("user", func(t *testing.T) {
		name, _, _ := strings.Cut(t.Name(), "/")
		cmd := exec.Command("/proc/self/exe", "-test.run", "^"+name+"$", "-test.count=1")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=/tmp", "HOME=/nonexistent"}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 61234, Gid: 61234}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestStateCarriesOver(t *testing.T) {
	asUser(t)
	s := start(t, Config{Files: []File{{Name: "a/b.txt", Mode: 0o644, Data: []byte("hello\n")}}})
	for _, tc := range []struct {
		text, want string
		code       int
	}{
		{"cat a/b.txt; pwd", "hello\n" + Home, 0},
		{"X=1; cd a; alias k='echo k'", "", 0},
		{"k $X; pwd", "k 1\n" + Home + "/a", 0},
		{"false", "", 1},
		{"[ -t 0 ] && [ -t 1 ] && tty", "/dev/pts/0", 0},
		{"cat ~/.kube/config", "server: http://127.0.0.1:6443", 0},
		{"cat <&3", "", 1}, // commands have no hold of the loop's descriptors
		{"cat <<E\nx\nE", "x", 0},
	} {
		got, code := s.run(tc.text)
		if tc.text == "cat <&3" {
			got = ""
		}
		if got != tc.want || code != tc.code {
			t.Errorf("%q shows %q with code %d, want %q with %d", tc.text, got, code, tc.want, tc.code)
		}
	}
}

// TestApart: what a page may not do to the machine, as root and as a user.
func TestApart(t *testing.T) {
	asUser(t)
	mine := filepath.Join(t.TempDir(), "mine")
	if err := os.WriteFile(mine, []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho mine\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	host, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	port := strconv.Itoa(host.Addr().(*net.TCPAddr).Port)
	s := start(t, Config{Programs: map[string]string{"program": program}})

	for _, text := range []string{
		"cat " + mine,                           // the host's files
		"ls /home/* /root/.ssh /etc/shadow",     // people's
		"echo x >/usr/netdojo-test",             // its programs
		"echo x >/netdojo-test",                 // the root
		"echo x >/etc/passwd",                   //
		"echo x >/dev/netdojo-test",             //
		"echo x >" + bin + "/program",           // what it is shown
		"mount -o remount,rw,bind /usr",         //
		"mount -t tmpfs x /usr",                 //
		"umount /usr",                           //
		"mknod ~/null c 1 3",                    //
		"exec 9<>/dev/tcp/127.0.0.1/" + port,    // the host's loopback
		"exec 9<>/dev/tcp/192.0.2.1/80",         // the network
		"kill -9 1 && kill -0 1 && false",       // the first process; see below
		"echo x >/proc/sys/kernel/core_pattern", //
		"hostname other",                        //
		"unshare -Urm mount -o remount,rw,bind /usr && unshare -Urm sh -c 'mount -o remount,rw,bind /usr && echo x >/usr/netdojo-test'",
	} {
		if shown, code := s.run("(" + text + ") 2>&1"); code == 0 {
			t.Errorf("%q succeeds: %s", text, shown)
		}
	}
	if shown, code := s.run("program; kill -TERM 1; kill -INT 1; grep CapEff /proc/self/status"); code != 0 || !strings.Contains(shown, "mine") || !strings.Contains(shown, "0000000000000000") {
		t.Errorf("programs are shown and have no capability: %q, code %d", shown, code)
	}
	if shown, _ := s.run("ps ax | wc -l; ls /proc | grep -c '^[0-9]'"); strings.HasPrefix(shown, "0") {
		t.Errorf("processes: %q", shown)
	}
	if b, err := os.ReadFile(program); err != nil || !strings.Contains(string(b), "mine") {
		t.Errorf("the program is %q, %v", b, err)
	}
	if shown, code := s.run("echo mine >~/file; cat /root/file; grep ' /root ' /proc/self/mounts | tail -n 1 | grep -c nosuid,nodev"); code != 0 || shown != "mine\n1" {
		t.Errorf("root's home is the work folder: %q, code %d", shown, code)
	}
	// rm -rf ~ and the shell's end.
	if shown, _ := s.run("rm -rf ~ / --no-preserve-root 2>/dev/null; ls -A ~"); shown != "" {
		t.Errorf("home holds %q", shown)
	}
	if _, err := os.Stat("/usr/bin/env"); err != nil {
		t.Fatal(err)
	}
	if _, code := s.run("kill -9 $$"); code != -1 {
		t.Errorf("the shell goes on, code %d", code)
	}
}

func TestListener(t *testing.T) {
	asUser(t)
	s := start(t, Config{})
	go func() {
		conn, err := s.API.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "from the host\n")
		conn.Close()
	}()
	if shown, code := s.run("cat </dev/tcp/127.0.0.1/6443"); shown != "from the host" || code != 0 {
		t.Errorf("the listener gives %q, code %d", shown, code)
	}
}

func TestBounds(t *testing.T) {
	asUser(t)
	t.Run("forks", func(t *testing.T) {
		s := start(t, Config{})
		if err := s.Run(`bomb() { bomb | bomb & }; bomb; sleep 1000`); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { return s.Processes() > maxProcesses/2 })
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		select {
		case _, ok := <-s.Ends:
			if !ok {
				t.Fatal("the shell ended too")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the bomb goes on")
		}
		await(t, func() bool { return s.Processes() == 0 })
		if shown, code := s.run("echo on"); !strings.HasSuffix(shown, "on") || code != 0 {
			t.Errorf("afterwards the shell says %q, code %d", shown, code)
		}
	})
	t.Run("memory", func(t *testing.T) {
		s := start(t, Config{})
		// Each takes less than one process may.
		if err := s.Run(`for i in 1 2 3; do (head -c 500m /dev/zero | tail -c 500m | sleep 1000) & done; sleep 1000`); err != nil {
			t.Fatal(err)
		}
		select {
		case text := <-s.Told:
			if !strings.Contains(text, "memory") {
				t.Errorf("told %q", text)
			}
		case <-time.After(60 * time.Second):
			t.Fatal("nothing is told")
		}
	})
	t.Run("disk", func(t *testing.T) {
		s := start(t, Config{})
		if shown, code := s.run("head -c 1g /dev/zero >~/big 2>&1"); code == 0 {
			t.Errorf("a gigabyte fits: %s", shown)
		}
		if shown, code := s.run("head -c 1g /dev/zero >/tmp/big 2>&1"); code == 0 {
			t.Errorf("a gigabyte fits: %s", shown)
		}
	})
	t.Run("interrupt", func(t *testing.T) {
		s := start(t, Config{})
		if err := s.Run("sleep 1000"); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { return s.Processes() == 1 })
		if err := s.Interrupt(); err != nil {
			t.Fatal(err)
		}
		if code, ok := <-s.Ends; !ok || code != 130 {
			t.Errorf("code %d, %v", code, ok)
		}
	})
}

func TestCloseEndsAll(t *testing.T) {
	s := start(t, Config{})
	if err := s.Run("setsid sleep 98765 & sleep 98765"); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return s.Processes() == 2 && runs(t, "sleep\x0098765\x00") })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return !runs(t, "sleep\x0098765\x00") })
}

// runs says whether a process of this machine has the command line.
func runs(t *testing.T, cmdline string) bool {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Fatal("no processes", err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && string(b) == cmdline {
			return true
		}
	}
	return false
}

func TestTooManyFiles(t *testing.T) {
	_, err := Start(Config{Files: []File{{Name: "big", Data: make([]byte, maxFiles+1)}}, Kubeconfig: func(string) []byte { return nil }})
	if err == nil || errors.Is(err, ErrUnsupported) {
		t.Errorf("error %v", err)
	}
}

// await waits until something is so.
func await(t *testing.T, so func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); !so(); {
		select {
		case <-deadline:
			t.Fatal("it never comes to be so")
		case <-tick.C:
		}
	}
}
