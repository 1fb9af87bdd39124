//go:build linux

package userns

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Init is the helper's role "init": PID 1 of the node. It builds the root,
// starts the node's program, passes SIGTERM on, and reaps what loses its
// parent. When it returns, the kernel kills everything that is left.
func Init() int {
	runtime.LockOSThread()
	dieWithParent()
	code, err := initNode()
	if err != nil {
		return report(err)
	}
	return code
}

func initNode() (int, error) {
	c, err := configFromEnv()
	if err != nil {
		return 0, err
	}
	if err := unix.Sethostname([]byte("netdojo")); err != nil {
		return 0, fmt.Errorf("set the node's name: %w", err)
	}
	if err := buildRoot(c); err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(os.Getenv(EnvListeners))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", EnvListeners, err)
	}
	files := []*os.File{nil, os.Stdout, os.Stderr}
	if files[0], err = os.Open("/dev/null"); err != nil {
		return 0, fmt.Errorf("open /dev/null: %w", err)
	}
	for i := range n {
		files = append(files, os.NewFile(uintptr(3+i), "listener"))
	}
	node, err := os.StartProcess(NodeBinDir+"/netdojo-cluster", []string{"netdojo-cluster", "node"}, &os.ProcAttr{
		Dir:   "/",
		Env:   nodeEnv(n),
		Files: files,
	})
	if err != nil {
		return 0, fmt.Errorf("start the node: %w", err)
	}
	for _, f := range files[3:] {
		f.Close()
	}
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for range stop {
			_ = node.Signal(syscall.SIGTERM)
		}
	}()
	return reap(node.Pid)
}

// nodeEnv is what the node's program may know of the host: little.
func nodeEnv(listeners int) []string {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "TMPDIR=/tmp",
		"ETCD_CLIENT_DEBUG=error", // etcd's client writes past our log, a line for each retry
		EnvListeners + "=" + strconv.Itoa(listeners),
	}
	for _, name := range []string{"NETDOJO_DEBUG", "GOGC", "GOMEMLIMIT", "GODEBUG", "GOCOVERDIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// reap waits for every child until the node's process ends, and gives its code.
func reap(node int) (int, error) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for the node: %w", err)
		case pid != node:
		case status.Signaled():
			return 128 + int(status.Signal()), nil
		default:
			return status.ExitStatus(), nil
		}
	}
}
