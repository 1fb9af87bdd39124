//go:build linux

// Package outside is the one way by which a node, which has no network, reaches the
// host's, and the host reaches the node. A small server in the host's namespaces
// connects, listens and pulls images when the node asks; what it may do is fixed
// before the node starts, whoever asks later.
//
// No socket of the host's network crosses. A process that holds one could connect it
// anew, to anything that the host reaches. The node gets ends of unix socket pairs,
// and the server relays.
//
// The package needs the standard library and x/sys only, for the small program that
// serves.
package outside

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Operations of a request.
const (
	opDial   = "dial"   // Network, Addr → a socket
	opListen = "listen" // Network, Addr → a stream of sockets, or of datagrams
	opTake   = "take"   // Name → a stream of sockets
	opPull   = "pull"   // Image → nothing
	opCancel = "cancel" // ID is that of the request that is given up
)

// request is what the node sends: one packet, JSON.
type request struct {
	ID      uint64 `json:"id"`
	Op      string `json:"op"`
	Network string `json:"network,omitempty"` // tcp4, udp4, tcp6 or udp6
	Addr    string `json:"addr,omitempty"`    // numeric; empty in a dial: the host's resolver
	Name    string `json:"name,omitempty"`    // of a listener that was open before the node
	Image   Image  `json:"image,omitzero"`
}

// Image is what is pulled.
type Image struct {
	Ref  string          `json:"ref"`
	Auth json.RawMessage `json:"auth,omitempty"` // how the registry is told who asks; the puller's form
}

// answer is what the server sends back, with one socket unless it is to a pull or
// there is an error.
type answer struct {
	ID     uint64         `json:"id"`
	Errno  syscall.Errno  `json:"errno,omitempty"`
	Error  string         `json:"error,omitempty"`
	Local  netip.AddrPort `json:"local,omitzero"` // what the socket has in the host's network; none for unix sockets
	Remote netip.AddrPort `json:"remote,omitzero"`
}

// arrival is what comes over a stream of sockets with each of them.
type arrival struct {
	Local  netip.AddrPort `json:"local,omitzero"`
	Remote netip.AddrPort `json:"remote,omitzero"`
}

// maxPacket bounds a request and an answer. Tokens of registries take some kilobytes.
const maxPacket = 64 << 10

// err turns an answer's failure into an error that unwraps to its errno.
func (a answer) err() error {
	switch {
	case a.Error == "":
		return nil
	case a.Errno != 0:
		return fmt.Errorf("%s: %w", a.Error, a.Errno)
	}
	return errors.New(a.Error)
}

// Pair makes the two ends that Server.Serve and NewDialer talk over. The file is for
// the node; the caller closes its copy after starting that.
func Pair() (server *net.UnixConn, node *os.File, err error) { return pair(unix.SOCK_SEQPACKET) }

// pair makes two connected sockets: one to use here, one to give away.
func pair(kind int) (here *net.UnixConn, away *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	away = os.NewFile(uintptr(fds[1]), "outside")
	here, err = unixConn(os.NewFile(uintptr(fds[0]), "outside"))
	if err != nil {
		return nil, nil, errors.Join(err, away.Close())
	}
	return here, away, nil
}

// unixConn takes the file over.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("use the socket to the outside: %w", err)
	}
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("the socket to the outside is no unix socket"), conn.Close())
	}
	return c, nil
}

// send writes one packet of JSON, with a file where one is given.
func send(conn *net.UnixConn, v any, file *os.File) error {
	packet, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	_, _, err = conn.WriteMsgUnix(packet, rights, nil)
	return err
}

// receive reads one packet of JSON, and the one file that may come with it.
func receive(conn *net.UnixConn, v any) (*os.File, error) {
	packet, rights := make([]byte, maxPacket), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := conn.ReadMsgUnix(packet, rights)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, net.ErrClosed
	}
	var file *os.File
	if m > 0 {
		if file, err = fileOf(rights[:m]); err != nil {
			return nil, err
		}
	}
	if err := json.Unmarshal(packet[:n], v); err != nil {
		return nil, errors.Join(fmt.Errorf("read a packet from outside: %w", err), closeFile(file))
	}
	return file, nil
}

func fileOf(rights []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("read a socket from outside"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("read a socket from outside"), err)
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "outside"), nil
}

func closeFile(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}
