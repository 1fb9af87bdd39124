//go:build linux

package userns

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// listeners opens the host's sockets and records the addresses that those of TCP got.
func listeners(c Config) (map[string]net.Listener, error) {
	all := map[string]net.Listener{}
	var addrs []string
	for i, addr := range c.Listen {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, &Problem{What: "listen on " + addr, Err: err,
				Fix: "choose another port, or end the program that holds this one (ss -ltnp)"}
		}
		all[ListenerName(i)] = l
		addrs = append(addrs, l.Addr().String())
	}
	for _, name := range []string{ControlSocket, FlowSocket} {
		l, err := listenUnix(c.Dir, name)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", filepath.Join(c.Dir, name), err)
		}
		all[name] = l
	}
	b, err := json.Marshal(addrs)
	if err == nil {
		err = hostfile.Write(filepath.Join(c.Dir, PortsFile), b, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("record the addresses: %w", err)
	}
	return all, nil
}

// listenUnix binds through the folder's descriptor, which is short whatever its path
// is, in place of what an earlier run left.
func listenUnix(dir, name string) (*net.UnixListener, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	path := fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // its name is that of a descriptor that is closed by then
	return l, nil
}

// isOwner says whether a peer is the cluster's user, or root. Only the launcher can
// tell: inside, all other users look alike.
func isOwner(peer *net.UnixConn) bool {
	raw, err := peer.SyscallConn()
	if err != nil {
		return false
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || credErr != nil {
		return false
	}
	return cred.Uid == 0 || int(cred.Uid) == os.Getuid()
}
