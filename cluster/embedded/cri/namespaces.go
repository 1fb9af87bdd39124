//go:build linux

package cri

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// namespace is an open namespace, or a pidfd of a process in several.
type namespace struct {
	file *os.File
	kind int // CLONE_NEW… flags
}

// onThread runs f on an operating-system thread that is in the given
// namespaces. The thread ends with it, so nothing else ever runs there.
func onThread(join []namespace, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, and /proc/self shows its namespaces: hold
			// it here while another one is used.
			err := onThread(join, f)
			runtime.UnlockOSThread()
			done <- err
			return
		}
		done <- enterAndRun(join, f) // never unlocked: the thread ends here
	}()
	return <-done
}

func enterAndRun(join []namespace, f func() error) error {
	for _, n := range join {
		if err := unix.Setns(int(n.file.Fd()), n.kind); err != nil {
			return fmt.Errorf("enter namespace: %w", err)
		}
	}
	return f()
}

// namespaces are those that the containers of a pod share. A nil file is the
// node's own namespace.
type namespaces struct {
	net, ipc, uts *os.File
	closing       sync.Once
}

// isolation says which namespaces a pod has for itself.
type isolation struct {
	net, ipc, uts bool
	hostname      string
	sysctls       map[string]string
}

// podSysctls lets a pod's processes listen on low ports and ping without
// privileges, as container runtimes do. A kernel or a user namespace that
// refuses one goes without.
var podSysctls = map[string]string{
	"net.ipv4.ip_unprivileged_port_start": "0",
	"net.ipv4.ping_group_range":           "0 2147483647",
}

func newNamespaces(iso isolation) (*namespaces, error) {
	ns := &namespaces{}
	flags := 0
	for flag, on := range map[int]bool{unix.CLONE_NEWNET: iso.net, unix.CLONE_NEWIPC: iso.ipc, unix.CLONE_NEWUTS: iso.uts} {
		if on {
			flags |= flag
		}
	}
	err := onThread(nil, func() error {
		if err := unix.Unshare(flags); err != nil {
			return fmt.Errorf("make the pod's namespaces: %w", err)
		}
		if iso.net {
			if err := loopbackUp(); err != nil {
				return err
			}
			for name, value := range podSysctls {
				if setSysctl(name, value) != nil && name == "net.ipv4.ping_group_range" {
					_ = setSysctl(name, "0 0") // only root's group is mapped here
				}
			}
		}
		if iso.uts && iso.hostname != "" {
			if err := unix.Sethostname([]byte(iso.hostname)); err != nil {
				return fmt.Errorf("set the pod's host name: %w", err)
			}
		}
		for name, value := range iso.sysctls {
			if err := setSysctl(name, value); err != nil {
				return fmt.Errorf("set sysctl %s: %w", name, err)
			}
		}
		return ns.open(iso)
	})
	if err != nil {
		return nil, errors.Join(err, ns.close())
	}
	return ns, nil
}

// open takes hold of the calling thread's namespaces.
func (n *namespaces) open(iso isolation) error {
	for _, x := range []struct {
		on   bool
		name string
		into **os.File
	}{{iso.net, "net", &n.net}, {iso.ipc, "ipc", &n.ipc}, {iso.uts, "uts", &n.uts}} {
		if !x.on {
			continue
		}
		f, err := os.Open("/proc/thread-self/ns/" + x.name)
		if err != nil {
			return fmt.Errorf("hold the pod's namespace: %w", err)
		}
		*x.into = f
	}
	return nil
}

func (n *namespaces) join() []namespace {
	var list []namespace
	if n.net != nil {
		list = append(list, namespace{n.net, unix.CLONE_NEWNET})
	}
	if n.ipc != nil {
		list = append(list, namespace{n.ipc, unix.CLONE_NEWIPC})
	}
	if n.uts != nil {
		list = append(list, namespace{n.uts, unix.CLONE_NEWUTS})
	}
	return list
}

// close lets the namespaces go; further calls do nothing.
func (n *namespaces) close() error {
	var errs []error
	n.closing.Do(func() {
		for _, f := range []*os.File{n.net, n.ipc, n.uts} {
			if f != nil {
				errs = append(errs, f.Close())
			}
		}
	})
	return errors.Join(errs...)
}

// netPath names the network namespace as long as it is held.
func (n *namespaces) netPath() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.net.Fd())
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set the pod's loopback up: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("set the pod's loopback up: %w", err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("set the pod's loopback up: %w", err)
	}
	return nil
}

// setSysctl writes for the calling thread's namespaces.
func setSysctl(name, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
