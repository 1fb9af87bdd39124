package nfqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Of linux/netfilter/nfnetlink_queue.h.
const (
	subsystem = 3 // NFNL_SUBSYS_QUEUE

	msgPacket  = subsystem << 8
	msgVerdict = subsystem<<8 | 1
	msgConfig  = subsystem<<8 | 2

	cfgCmd, cfgParams, cfgMaxLen, cfgMask, cfgFlags = 1, 2, 3, 4, 5

	cmdBind, cmdUnbind = 1, 2
	copyPacket         = 2
	flagGSO            = 1 << 2 // packets are not cut up for us

	attrPacketHdr, attrVerdictHdr, attrMark, attrPayload, attrPriority = 1, 2, 3, 10, 21

	verdictDrop, verdictAccept = 0, 1
)

const headerLen = 16 + 4 // struct nlmsghdr and struct nfgenmsg

// Netlink's own fields are in the host's order, netfilter's in the network's.
var (
	native  = binary.NativeEndian
	network = binary.BigEndian
)

// queued is a packet that the kernel holds for a verdict. Its payload is valid
// until the next one is read.
type queued struct {
	id, mark, priority uint32
	payload            []byte
}

// socket is a netlink socket bound to one queue. One goroutine reads it. It
// blocks in the system call: a packet waits for one wake-up of one thread, where
// the runtime's poller would add its own and a look at the message's size.
type socket struct {
	fd    int
	queue uint16
	in    []byte
	out   [headerLen + 12 + 8]byte
}

func openSocket(queue uint16) (_ *socket, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{fd: fd, queue: queue, in: make([]byte, 64<<10)}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	// Without CAP_NET_ADMIN over the machine the buffer has the system's limit.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, readBuffer) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, readBuffer); err != nil {
			return nil, os.NewSyscallError("setsockopt", err)
		}
	}
	// A packet that finds the buffer full is dropped and no error for the reader.
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	params := append(network.AppendUint32(nil, copyBytes), copyPacket)
	flags := network.AppendUint32(nil, flagGSO)
	for _, attrs := range [][]byte{
		attr(nil, cfgCmd, command(cmdBind)),
		attr(nil, cfgParams, params),
		attr(attr(nil, cfgFlags, flags), cfgMask, flags),
		attr(nil, cfgMaxLen, network.AppendUint32(nil, maxWaiting)),
	} {
		if err := s.configure(attrs); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// command is struct nfqnl_msg_config_cmd for IPv4.
func command(c byte) []byte { return []byte{c, 0, 0, unix.AF_INET} }

// attr appends a netlink attribute, padded.
func attr(b []byte, kind uint16, data []byte) []byte {
	b = native.AppendUint16(b, uint16(4+len(data)))
	b = native.AppendUint16(b, kind)
	b = append(b, data...)
	return append(b, make([]byte, (4-len(data)%4)%4)...)
}

func (s *socket) putHeader(b []byte, kind, flags uint16) {
	native.PutUint32(b, uint32(len(b)))
	native.PutUint16(b[4:], kind)
	native.PutUint16(b[6:], flags)
	b[16] = unix.AF_INET
	network.PutUint16(b[18:], s.queue)
}

// send asks for a configuration; the kernel answers with a message of type
// NLMSG_ERROR.
func (s *socket) send(attrs []byte) error {
	msg := append(make([]byte, headerLen), attrs...)
	s.putHeader(msg, msgConfig, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	_, err := unix.Write(s.fd, msg)
	return os.NewSyscallError("write", err)
}

// configure sends and waits for the answer. Packets that come before it are
// dropped: they can only be of the first moments.
func (s *socket) configure(attrs []byte) error {
	if err := s.send(attrs); err != nil {
		return err
	}
	answered := errors.New("answered")
	for {
		err := s.read(func(p queued) { _ = s.answer(p.id, verdictDrop, 0) }, func(errno error) error {
			if errno != nil {
				return fmt.Errorf("configure: %w", errno)
			}
			return answered
		})
		switch {
		case errors.Is(err, answered):
			return nil
		case err != nil:
			return err
		}
	}
}

// unbind has the kernel answer, which wakes the reader.
func (s *socket) unbind() error { return s.send(attr(nil, cfgCmd, command(cmdUnbind))) }

func (s *socket) close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

// read waits for what the kernel sends next and hands packets to one function
// and answers to requests to the other, whose error it returns.
func (s *socket) read(packet func(queued), answer func(error) error) error {
	n, err := unix.Read(s.fd, s.in)
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("read", err)
	}
	for b := s.in[:n]; len(b) >= 16; {
		size := int(native.Uint32(b))
		if size < 16 || size > len(b) {
			return fmt.Errorf("netlink message of %d bytes in %d", size, len(b))
		}
		msg := b[:size]
		b = b[min((size+3)&^3, len(b)):]
		switch native.Uint16(msg[4:]) {
		case unix.NLMSG_ERROR:
			if len(msg) < 20 {
				continue
			}
			var errno error
			if code := int32(native.Uint32(msg[16:])); code != 0 {
				errno = unix.Errno(-code)
			}
			if err := answer(errno); err != nil {
				return err
			}
		case msgPacket:
			if p, ok := parseQueued(msg); ok {
				packet(p)
			}
		}
	}
	return nil
}

// parseQueued reads a packet message.
func parseQueued(msg []byte) (p queued, ok bool) {
	if len(msg) < headerLen {
		return p, false
	}
	for b := msg[headerLen:]; len(b) >= 4; {
		size := int(native.Uint16(b))
		if size < 4 || size > len(b) {
			return p, false
		}
		data := b[4:size]
		switch native.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER) {
		case attrPacketHdr:
			if len(data) >= 4 {
				p.id, ok = network.Uint32(data), true
			}
		case attrMark:
			if len(data) >= 4 {
				p.mark = network.Uint32(data)
			}
		case attrPriority:
			if len(data) >= 4 {
				p.priority = network.Uint32(data)
			}
		case attrPayload:
			p.payload = data
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return p, ok
}

// answer gives the kernel the verdict about a packet. The mark goes with an
// accepted one.
func (s *socket) answer(id uint32, verdict, mark uint32) error {
	msg := s.out[:headerLen+12]
	if verdict == verdictAccept {
		msg = s.out[:]
		native.PutUint16(msg[headerLen+12:], 8)
		native.PutUint16(msg[headerLen+14:], attrMark)
		network.PutUint32(msg[headerLen+16:], mark)
	}
	s.putHeader(msg, msgVerdict, unix.NLM_F_REQUEST)
	native.PutUint16(msg[headerLen:], 12)
	native.PutUint16(msg[headerLen+2:], attrVerdictHdr)
	network.PutUint32(msg[headerLen+4:], verdict)
	network.PutUint32(msg[headerLen+8:], id)
	_, err := unix.Write(s.fd, msg)
	return os.NewSyscallError("write", err)
}
