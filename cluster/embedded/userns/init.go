//go:build linux

package userns

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Init is the helper's role "init": PID 1 of the node. It enters the
// root that enter built, starts the node's program, passes SIGTERM on, and reaps what loses its
// parent. When it returns, the kernel kills everything that is left.
func Init() int {
	runtime.LockOSThread()
	dieWithSpeaker()
	unix.Umask(0o022)
	code, err := initNode()
	if err != nil {
		return report(err)
	}
	return code
}

func initNode() (int, error) {
	var in toInit
	if err := hear(&in); err != nil {
		return 0, err
	}
	if err := unix.Sethostname([]byte("netdojo")); err != nil {
		return 0, fmt.Errorf("set the node's name: %w", err)
	}
	if err := enterRoot(in.Root); err != nil {
		return 0, err
	}
	told, err := tell(in.Node)
	if err != nil {
		return 0, err
	}
	defer told.close()
	own, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, NodeLog+1)
	if err != nil {
		return 0, fmt.Errorf("start the node: %w", err)
	}
	ownLog := os.NewFile(uintptr(own), "own log")
	nodeLog := os.NewFile(NodeLog, "log")
	node, err := os.StartProcess(NodeBinDir+"/netdojo-cluster", []string{"netdojo-cluster", "node"}, &os.ProcAttr{
		Dir:   "/",
		Env:   append(shortEnv(), "ETCD_CLIENT_DEBUG=error"), // etcd's client writes past our log, a line for each retry
		Files: []*os.File{told.r, ownLog, ownLog, NodeOutside: os.NewFile(NodeOutside, "outside"), NodeLog: nodeLog},
	})
	if err != nil {
		return 0, fmt.Errorf("start the node: %w", err)
	}
	unix.Close(NodeOutside)
	// No pod runs before the node does: until here nobody else could speak.
	if err := errors.Join(SpeakAsNode(), ownLog.Close()); err != nil {
		return 0, err
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
