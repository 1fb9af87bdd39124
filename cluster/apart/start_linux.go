package apart

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/embedded/userns"
)

// Descriptors of the outer and the inner process.
const (
	fdControl  = 3 // a socket of packets
	fdFiles    = 4 // a tar of the work folder
	fdCommands = 5
	fdEnds     = 6
)

// order is what the two processes are told, on their standard input.
type order struct {
	Programs   map[string]string `json:"programs"`
	Kubeconfig []byte            `json:"kubeconfig"`
}

// server is what the kubeconfig names.
const server = "127.0.0.1:6443"

// Start starts a shell. The error wraps ErrUnsupported where the machine makes no
// namespaces.
func Start(c Config) (*Shell, error) {
	files, err := pack(c.Files)
	if err != nil {
		return nil, err
	}
	defer files.Close()
	p, err := newPipes()
	if err != nil {
		return nil, err
	}
	control, away, err := packets()
	if err != nil {
		p.closeAll()
		return nil, err
	}
	told, err := json.Marshal(order{Programs: c.Programs, Kubeconfig: c.Kubeconfig("http://" + server)})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{Name, "outer"}
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	var said tail
	cmd.Stderr = &said
	cmd.ExtraFiles = []*os.File{away, files, p.commandsR, p.endsW}
	cmd.SysProcAttr = userns.Outer()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// The parent-death signal is for the end of the thread that starts it.
	started := make(chan error, 1)
	ended := make(chan struct{})
	go startAndWait(cmd, started, ended)
	err = <-started
	away.Close()
	p.given()
	if err != nil {
		p.commandsW.Close()
		p.endsR.Close()
		control.Close()
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, userns.NamespaceProblem(err))
	}
	s := &Shell{commands: p.commandsW, Ends: readEnds(p.endsR)}
	end := sync.OnceValue(func() error {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		err := errors.Join(in.Close(), p.commandsW.Close(), control.Close())
		if s.API != nil {
			err = errors.Join(err, ignoreClosed(s.API.Close()), ignoreClosed(s.Terminal.Close()))
		}
		return ignoreClosed(err)
	})
	s.close = end
	if _, err = in.Write(append(told, '\n')); err == nil {
		s.Terminal, s.API, err = receive(control)
	}
	if err != nil {
		_ = end()
		if text := said.String(); text != "" {
			err = errors.New(text)
		}
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	remote := &remote{conn: control, counts: make(chan int, 1), seconds: make(chan second, 1)}
	s.control, s.Told = remote, remote.listen()
	return s, nil
}

// pack makes a tar in a file without a name.
func pack(files []File) (*os.File, error) {
	f, err := os.CreateTemp("", "netdojo-page-")
	if err != nil {
		return nil, fmt.Errorf("pack the work folder: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("pack the work folder: %w", err)
	}
	w := tar.NewWriter(f)
	size := 0
	for _, file := range files {
		if size += len(file.Data); size > maxFiles {
			f.Close()
			return nil, fmt.Errorf("the page's files have more than %d MiB", maxFiles>>20)
		}
		if err = w.WriteHeader(&tar.Header{Name: file.Name, Mode: int64(file.Mode.Perm()), Size: int64(len(file.Data))}); err != nil {
			break
		}
		if _, err = w.Write(file.Data); err != nil {
			break
		}
	}
	if err = errors.Join(err, w.Close()); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("pack the work folder: %w", err)
	}
	return f, nil
}

// packets makes a socket pair of packets: one end to use here, one to give away.
func packets() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	conn, err := unixConn(os.NewFile(uintptr(fds[0]), "control"))
	return conn, os.NewFile(uintptr(fds[1]), "control"), err
}

func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("the socket is no unix socket")
	}
	return conn, nil
}

// receive takes the terminal and the listener that were made inside.
func receive(conn *net.UnixConn) (terminal *os.File, api net.Listener, err error) {
	data, oob := make([]byte, 16), make([]byte, unix.CmsgSpace(2*4))
	_, n, _, _, err := conn.ReadMsgUnix(data, oob)
	if err != nil {
		return nil, nil, fmt.Errorf("hear from the shell: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, nil, errors.New("the shell did not begin")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 2 {
		return nil, nil, errors.New("the shell did not begin")
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	listener := os.NewFile(uintptr(fds[1]), "api")
	defer listener.Close()
	// Non-blocking, so that closing the terminal ends a read.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, err
	}
	terminal = os.NewFile(uintptr(fds[0]), "terminal")
	if api, err = net.FileListener(listener); err != nil {
		terminal.Close()
		return nil, nil, fmt.Errorf("take the listener: %w", err)
	}
	return terminal, api, nil
}

// packet is what the two sides say to each other after that.
type packet struct {
	Op    string `json:"op"` // interrupt, kill, count, second; counted, told, made
	Count int    `json:"count,omitempty"`
	Text  string `json:"text,omitempty"`
}

// remote is the control of a shell whose first process is asked.
type remote struct {
	conn    *net.UnixConn
	counts  chan int
	seconds chan second
}

// second is a terminal that was made inside, and its path there.
type second struct {
	terminal *os.File
	path     string
}

func (r *remote) send(op string) error {
	b, err := json.Marshal(packet{Op: op})
	if err != nil {
		return err
	}
	_, err = r.conn.Write(b)
	return err
}

func (r *remote) interrupt() error { return r.send("interrupt") }
func (r *remote) kill() error      { return r.send("kill") }

func (r *remote) count() int {
	if r.send("count") != nil {
		return -1
	}
	n, ok := <-r.counts
	if !ok {
		return -1
	}
	return n
}

// terminalPath is what the path of a terminal inside looks like.
var terminalPath = regexp.MustCompile(`^/dev/pts/[0-9]+$`)

func (r *remote) second() (*os.File, string, error) {
	if err := r.send("second"); err != nil {
		return nil, "", err
	}
	made, ok := <-r.seconds
	switch {
	case !ok:
		return nil, "", errors.New("the shell is gone")
	case made.terminal == nil:
		return nil, "", errors.New("the shell makes no more")
	case !terminalPath.MatchString(made.path):
		return nil, "", errors.Join(fmt.Errorf("%q is no terminal", made.path), made.terminal.Close())
	}
	return made.terminal, made.path, nil
}

// taken are the descriptors of a message, as files; others than one are closed.
func taken(oob []byte) *os.File {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var fds []int
	for i := range messages {
		if rights, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, rights...)
		}
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	if len(fds) == 1 && unix.SetNonblock(fds[0], true) == nil {
		return os.NewFile(uintptr(fds[0]), "terminal")
	}
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
	return nil
}

func (r *remote) listen() <-chan string {
	told := make(chan string, 8)
	go func() {
		defer close(told)
		defer close(r.counts)
		defer close(r.seconds)
		b, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
		for {
			n, oobn, _, _, err := r.conn.ReadMsgUnix(b, oob)
			if err != nil || n == 0 {
				return
			}
			given := taken(oob[:oobn])
			var p packet
			if json.Unmarshal(b[:n], &p) != nil {
				p = packet{}
			}
			if p.Op == "made" {
				select {
				case r.seconds <- second{given, p.Text}:
					given = nil
				default:
				}
			}
			if given != nil {
				_ = given.Close() // nobody asked for it
			}
			switch p.Op {
			case "counted":
				select {
				case r.counts <- p.Count:
				default:
				}
			case "told":
				select {
				case told <- p.Text:
				default:
				}
			}
		}
	}()
	return told
}

// tail keeps the last words of a process.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	t.buf = t.buf[max(len(t.buf)-4096, 0):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
