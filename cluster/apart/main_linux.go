package apart

import (
	"archive/tar"
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/embedded/userns"
)

// root is where the outer process builds, a folder that exists everywhere. It is
// hidden in that process's own mount namespace alone.
const root = "/tmp"

// startAndWait starts cmd on a thread that lives until it ends, and closes ended then.
func startAndWait(cmd *exec.Cmd, started chan<- error, ended chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err == nil {
		_ = cmd.Wait() // it is killed
		close(ended)
	}
}

// Main is the outer and the inner process. It returns their exit code.
func Main(args []string) int {
	runtime.LockOSThread()
	var err error
	switch {
	case len(args) == 1 && args[0] == "outer":
		err = outer()
	case len(args) == 1 && args[0] == "inner":
		err = inner()
	default:
		err = errors.New("this name is netdojo's own, and not meant to be called by hand")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	return 0
}

// outer builds the root and starts inner.
func outer() error {
	unix.Umask(0o022)
	if err := userns.LeaveKeys(); err != nil {
		return err
	}
	line, err := bufio.NewReaderSize(os.Stdin, 1<<16).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("hear what is to be done: %w", err)
	}
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("hear what is to be done: %w", err)
	}
	show := map[string]string{}
	for name, path := range o.Programs {
		show[filepath.Join(bin, name)] = path
	}
	if err := (userns.Plain{Root: root, Show: show, Folders: []string{Home, bin}}).Build(); err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{Name, "inner"}
	cmd.Env = os.Environ()
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	for _, fd := range []int{fdControl, fdFiles, fdCommands, fdEnds} {
		unix.CloseOnExec(fd)
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fd), "given"))
	}
	cmd.SysProcAttr = userns.Inner()
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return userns.NamespaceProblem(err)
	}
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	if _, err := in.Write(line); err != nil {
		return fmt.Errorf("tell the first process: %w", err)
	}
	return cmd.Wait()
}

// inner is PID 1: it enters the root, makes what the caller gets, starts the shell,
// and watches over what that starts.
func inner() error {
	unix.Umask(0o022)
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	var o order
	line, err := bufio.NewReaderSize(os.Stdin, 1<<16).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &o)
	}
	if err != nil {
		return fmt.Errorf("hear what is to be done: %w", err)
	}
	// A signal from inside must not end the first process.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	for _, fd := range []int{fdControl, fdFiles, fdCommands, fdEnds} {
		unix.CloseOnExec(fd)
	}
	if err := unix.Sethostname([]byte("netdojo")); err != nil {
		return fmt.Errorf("set the host's name: %w", err)
	}
	if err := userns.EnterPlain(root); err != nil {
		return err
	}
	if err := bound(); err != nil {
		return err
	}
	if err := unpack(os.NewFile(fdFiles, "files"), o.Kubeconfig); err != nil {
		return err
	}
	control, err := unixConn(os.NewFile(fdControl, "control"))
	if err != nil {
		return err
	}
	tty, err := give(control)
	if err != nil {
		return err
	}
	bash, err := startBash(tty)
	if err != nil {
		return err
	}
	tty.Close()
	w := &watcher{control: control, bash: bash.Process.Pid}
	go w.obey()
	go w.watch()
	return w.reap()
}

// bound mounts the work folder and bounds the others.
func bound() error {
	if err := unix.Mount("netdojo", Home, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size="+maxWork); err != nil {
		return fmt.Errorf("mount the work folder: %w", err)
	}
	// Pages and scenarios that count on being root name root's home.
	if err := unix.Mount(Home, "/root", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("show the work folder as /root: %w", err)
	}
	for dir, options := range map[string]string{"/tmp": "size=64m,mode=1777", "/run": "size=1m", "/dev/shm": "size=1m"} {
		if err := unix.Mount("netdojo", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
			return fmt.Errorf("bound %s: %w", dir, err)
		}
	}
	return nil
}

// unpack fills the work folder.
func unpack(files *os.File, kubeconfig []byte) error {
	defer files.Close()
	r := tar.NewReader(files)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("fill the work folder: %w", err)
		}
		if !filepath.IsLocal(h.Name) {
			return fmt.Errorf("fill the work folder: %q is not below it", h.Name)
		}
		at := filepath.Join(Home, h.Name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return fmt.Errorf("fill the work folder: %w", err)
		}
		f, err := os.OpenFile(at, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, os.FileMode(h.Mode).Perm())
		if err != nil {
			return fmt.Errorf("fill the work folder: %w", err)
		}
		_, err = io.Copy(f, r)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("fill the work folder: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Join(Home, ".kube"), 0o755); err != nil {
		return fmt.Errorf("fill the work folder: %w", err)
	}
	return os.WriteFile(filepath.Join(Home, ".kube", "config"), kubeconfig, 0o600)
}

// give makes the terminal and the listener and gives the caller its ends.
func give(control *net.UnixConn) (tty *os.File, err error) {
	if err := loopbackUp(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", server)
	if err != nil {
		return nil, fmt.Errorf("listen for the API's clients: %w", err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, fmt.Errorf("give the listener: %w", err)
	}
	defer f.Close()
	terminal, tty, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("make a terminal: %w", err)
	}
	defer terminal.Close()
	if err := pty.Setsize(terminal, &size); err != nil {
		return nil, fmt.Errorf("size the terminal: %w", err)
	}
	rights := unix.UnixRights(int(terminal.Fd()), int(f.Fd()))
	if _, _, err := control.WriteMsgUnix([]byte("ready"), rights, nil); err != nil {
		return nil, fmt.Errorf("give the terminal: %w", err)
	}
	return tty, nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	return nil
}

// limits come before the driver: what the shell and its children may have.
var limits = fmt.Sprintf("ulimit -u %d -n 1024 -c 0 -d %d\n", maxProcesses, maxMemory>>10)

// startBash starts the shell without any capability, now or by an exec.
func startBash(tty *os.File) (*exec.Cmd, error) {
	for c := 0; c <= 63; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			if errors.Is(err, unix.EINVAL) {
				break // the kernel has no more
			}
			return nil, fmt.Errorf("give up capabilities: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("give up privileges: %w", err)
	}
	cmd := exec.Command("/bin/bash", "--noprofile", "--norc", "-c", limits+driver, "bash")
	cmd.Dir = Home
	// Hubble's client finds its server where kubectl does.
	cmd.Env = append([]string{"HUBBLE_SERVER=" + server}, environment(Home, strings.Join([]string{bin, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}, ":"), "xterm")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.ExtraFiles = []*os.File{os.NewFile(fdCommands, "commands"), os.NewFile(fdEnds, "ends")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start bash: %w", err)
	}
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	return cmd, nil
}
