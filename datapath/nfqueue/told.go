package nfqueue

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// Of linux/netfilter/nfnetlink_log.h.
const (
	logSubsystem = 4 // NFNL_SUBSYS_ULOG

	logPacket = logSubsystem << 8
	logConfig = logSubsystem<<8 | 1

	logCmd, logMode, logTimeout = 1, 2, 4 // NFULA_CFG_CMD, NFULA_CFG_MODE, NFULA_CFG_TIMEOUT

	attrLogPayload, attrLogPrefix = 9, 10
)

const (
	// toldBuffer is the socket's buffer: what finds it full goes untold.
	toldBuffer = 1 << 20
	// toldDelay is how long the kernel may collect, in 1/100 s: waking the reader costs a
	// connection more than the packet's copy.
	toldDelay = 1
)

// ToldConfig says what to do with the later packets that a ruleset tells of.
type ToldConfig struct {
	Group uint16
	Sink  verdict.Sink
	// Peer names an address.
	Peer   func(netip.Addr) verdict.Peer
	Logger *slog.Logger
}

// Told reads a ruleset's group of later packets, and makes events of them.
type Told struct {
	cfg     ToldConfig
	conn    *netlink.Conn
	closing atomic.Bool
	wg      sync.WaitGroup
}

// StartTold binds the group in the calling thread's network namespace and reads it until
// Close.
func StartTold(cfg ToldConfig) (_ *Told, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Told{cfg: cfg}
	if t.conn, err = netlink.Dial(unix.NETLINK_NETFILTER, nil); err != nil {
		return nil, fmt.Errorf("bind netfilter log group %d: %w", cfg.Group, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("bind netfilter log group %d: %w", cfg.Group, err), t.conn.Close())
		}
	}()
	if err := t.conn.SetOption(netlink.NoENOBUFS, true); err != nil {
		return nil, err
	}
	if err := t.conn.SetReadBuffer(toldBuffer); err != nil {
		return nil, err
	}
	mode := append(network.AppendUint32(nil, ruleset.TellBytes), copyPacket, 0) // struct nfulnl_msg_config_mode
	if err := t.configure(attr(nil, logCmd, []byte{cmdBind}), attr(nil, logMode, mode),
		attr(nil, logTimeout, network.AppendUint32(nil, toldDelay))); err != nil {
		return nil, err
	}
	t.wg.Go(t.read)
	return t, nil
}

func (t *Told) configure(attrs ...[]byte) error {
	for _, data := range attrs {
		head := network.AppendUint16([]byte{unix.AF_UNSPEC, 0}, t.cfg.Group) // struct nfgenmsg
		if _, err := t.conn.Execute(netlink.Message{
			Header: netlink.Header{Type: logConfig, Flags: netlink.Request | netlink.Acknowledge}, Data: append(head, data...),
		}); err != nil {
			return err
		}
	}
	return nil
}

// Close lets go of the group.
func (t *Told) Close() error {
	t.closing.Store(true)
	err := t.conn.Close()
	t.wg.Wait()
	if err != nil {
		return fmt.Errorf("close netfilter log group %d: %w", t.cfg.Group, err)
	}
	return nil
}

func (t *Told) read() {
	for failures := 0; ; {
		messages, err := t.conn.Receive()
		switch {
		case err == nil:
			failures = 0
		case t.closing.Load():
			return
		case failures == maxFailures:
			t.cfg.Logger.Error("later packets of connections are not told of any more", "error", err)
			return
		default:
			failures++
		}
		for _, m := range messages {
			if m.Header.Type == logPacket {
				t.tell(m.Data)
			}
		}
	}
}

// tell makes an event of a message.
func (t *Told) tell(data []byte) {
	payload, prefix := parseTold(data)
	query, ok := parse(payload)
	if !ok {
		return
	}
	e := verdict.Event{Time: time.Now(), Query: query, Later: verdict.LaterForward}
	switch prefix {
	case ruleset.TellReply:
		e.Later = verdict.LaterReply
	case ruleset.TellProxied:
		e.Later = verdict.LaterProxied
	}
	e.Action, e.Src, e.Dst = verdict.Allow, t.cfg.Peer(query.Src), t.cfg.Peer(query.Dst)
	t.cfg.Sink.Publish(e)
}

// parseTold finds the packet and the prefix in a message, behind its struct nfgenmsg.
func parseTold(b []byte) (payload []byte, prefix string) {
	for b = b[min(4, len(b)):]; len(b) >= 4; {
		size := int(native.Uint16(b))
		if size < 4 || size > len(b) {
			return nil, ""
		}
		switch data := b[4:size]; native.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER) {
		case attrLogPayload:
			payload = data
		case attrLogPrefix:
			prefix = strings.TrimRight(string(data), "\x00")
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return payload, prefix
}
