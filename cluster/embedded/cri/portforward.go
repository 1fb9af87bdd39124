//go:build linux

package cri

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// PortForward prepares a URL under which connections to a pod's loopback are
// carried.
func (s *service) PortForward(_ context.Context, req *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	p, err := s.sandboxByID(req.PodSandboxId)
	if err != nil {
		return nil, err
	}
	if err := s.requireReady(p); err != nil {
		return nil, err
	}
	return s.streams.GetPortForward(req)
}

func (s *service) requireReady(p *podSandbox) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !p.ready {
		return fmt.Errorf("pod sandbox %s is not ready", p.id)
	}
	return nil
}

// PortForward implements streaming.Runtime.
func (r streamRuntime) PortForward(ctx context.Context, id string, port int32, stream io.ReadWriteCloser) error {
	p, err := r.s.sandboxByID(id)
	if err != nil {
		return err
	}
	if err := r.s.requireReady(p); err != nil {
		return err
	}
	conn, err := dialInside(ctx, p.ns, port)
	if err != nil {
		return fmt.Errorf("connect to port %d inside pod %s: %w", port, p.config.Metadata.Name, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close(); stream.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(conn, stream) // either side may go at any time
		_ = conn.CloseWrite()
	})
	_, _ = io.Copy(stream, conn)
	// The pod has closed: the client has nothing to say to anyone any more.
	stream.Close()
	wg.Wait()
	return nil
}

// dialInside connects to the pod's loopback, IPv4 first. A socket belongs to
// the network namespace of the thread that made it, wherever it is used.
func dialInside(ctx context.Context, ns *namespaces, port int32) (*net.TCPConn, error) {
	var first error
	for _, addr := range []unix.Sockaddr{
		&unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}},
		&unix.SockaddrInet6{Port: int(port), Addr: [16]byte{15: 1}},
	} {
		conn, err := dialOne(ctx, ns, addr)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func dialOne(ctx context.Context, ns *namespaces, addr unix.Sockaddr) (*net.TCPConn, error) {
	family := unix.AF_INET
	if _, ok := addr.(*unix.SockaddrInet6); ok {
		family = unix.AF_INET6
	}
	var join []namespace
	if ns.net != nil {
		join = []namespace{{ns.net, unix.CLONE_NEWNET}}
	}
	fd := -1
	err := onThread(join, func() error {
		var err error
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "port "+strconv.Itoa(fd))
	defer f.Close() // FileConn takes a copy
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// On a loopback device connect answers at once.
	if err := unix.Connect(fd, addr); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(errors.New("not a TCP connection"), conn.Close())
	}
	return tcp, nil
}
