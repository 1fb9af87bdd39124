package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	memberName = "netdojo"
	// peerURL and clientURL are what the only member is known by. Nobody listens
	// there: etcd takes no socket's path for them.
	peerURL   = "http://127.0.0.1:2380"
	clientURL = "http://127.0.0.1:2379"
	// maxSocketPath is what the kernel takes for a unix socket, less its NUL.
	maxSocketPath = 107
)

// etcd is the store: one member, reachable only through a unix socket.
type etcd struct {
	server  *embed.Etcd // nil until started
	gaveUp  gaveUp
	dir     string
	socket  string
	cleanup func() error
}

// newEtcd chooses the path of the store's socket, so that its endpoint is known before it
// is served. close removes what it made.
func newEtcd(dir string) (*etcd, error) {
	socket, cleanup, err := socketPath(dir)
	if err != nil {
		return nil, fmt.Errorf("place etcd's socket: %w", err)
	}
	return &etcd{dir: dir, socket: socket, cleanup: cleanup, gaveUp: make(gaveUp, 1)}, nil
}

func (e *etcd) endpoint() string { return "unix://" + e.socket }

// start returns when the member has elected itself and serves. It does not sync to
// disk: a kill of the process loses nothing, and a crash of the machine may lose a lab.
func (e *etcd) start(ctx context.Context, logger *slog.Logger) error {
	client := url.URL{Scheme: "unix", Path: e.socket}
	peer, err := url.Parse(peerURL)
	if err != nil {
		return err
	}
	advertised, err := url.Parse(clientURL)
	if err != nil {
		return err
	}
	// Segments are allocated whole: the default of 64 MB is a lot for a lab.
	wal.SegmentSizeBytes = 8 << 20

	cfg := embed.NewConfig()
	cfg.Name = memberName
	cfg.Dir = filepath.Join(e.dir, "etcd")
	cfg.ListenClientUrls = []url.URL{client}
	cfg.AdvertiseClientUrls = []url.URL{*advertised}
	cfg.ListenPeerUrls = nil
	cfg.AdvertisePeerUrls = []url.URL{*peer}
	cfg.InitialCluster = memberName + "=" + peerURL
	cfg.UnsafeNoFsync = true
	cfg.TickMs = 20
	cfg.ElectionMs = 100
	cfg.SnapshotCount = 2000
	cfg.SnapshotCatchUpEntries = 200
	cfg.MaxTxnOps = 1024
	cfg.EnableGRPCGateway = false
	cfg.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	cfg.WarningApplyDuration = embed.DefaultWarningApplyDuration
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(logger.With("component", "etcd"), e.gaveUp))

	started := make(chan *embed.Etcd, 1)
	go func() {
		defer func() {
			if said := recover(); said != nil {
				e.gaveUp.tell(fmt.Errorf("%v", said))
			}
		}()
		server, err := embed.StartEtcd(cfg)
		if err != nil {
			e.gaveUp.tell(err)
			return
		}
		started <- server
	}()
	select {
	case e.server = <-started:
	case err := <-e.gaveUp:
		return &unreadableStore{cfg.Dir, err}
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-e.server.Server.ReadyNotify():
		return nil
	case err := <-e.gaveUp:
		e.server = nil // it has no end of its own any more
		return &unreadableStore{cfg.Dir, err}
	case err := <-e.server.Err():
		return fmt.Errorf("start etcd: %w", err)
	case <-e.server.Server.StopNotify():
		return errors.New("start etcd: it stopped at once")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unreadableStore is a store that etcd cannot use, or no longer.
type unreadableStore struct {
	dir string
	err error
}

func (u *unreadableStore) Error() string {
	return fmt.Sprintf("etcd cannot use its files in %s of the node: %v", u.dir, u.err)
}

func (u *unreadableStore) Unwrap() error { return u.err }

// Cure says what the user can do about it.
func (u *unreadableStore) Cure() string {
	if errors.Is(u.err, syscall.ENOSPC) {
		return "make room on the disk of the state folder"
	}
	return "the cluster's objects cannot be read: begin empty with `netdojo up --fresh`"
}

// gaveUp takes why etcd ends the process. It does so from any of its goroutines, by its
// logger; the one that does is held instead, so that somebody can tell.
type gaveUp chan error

func (g gaveUp) tell(why error) {
	select {
	case g <- why:
	default: // what comes second follows from the first
	}
}

// OnWrite implements zapcore.CheckWriteHook.
func (g gaveUp) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	enc := zapcore.NewMapObjectEncoder()
	why, cause := e.Message, errors.New("it says no more")
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			cause = err
			continue
		}
		f.AddTo(enc)
	}
	for _, name := range slices.Sorted(maps.Keys(enc.Fields)) {
		why += fmt.Sprintf(", %s %v", name, enc.Fields[name])
	}
	g.tell(fmt.Errorf("%s: %w", why, cause))
	runtime.Goexit()
}

// wait returns why a store that started has ended, nil when ctx did.
func (e *etcd) wait(ctx context.Context) error {
	select {
	case err := <-e.gaveUp:
		e.server = nil // it has no end of its own any more
		return &unreadableStore{filepath.Join(e.dir, "etcd"), err}
	case err := <-e.server.Err():
		return err
	case <-e.server.Server.StopNotify():
		return errors.New("the store stopped")
	case <-ctx.Done():
		return nil
	}
}

// socketsGrace is how long the end of etcd's sockets is waited for.
const socketsGrace = 200 * time.Millisecond

// close ends the store, its data first. etcd's own order is the reverse: it
// would wait five seconds for the streams of a client that does not end, and the
// API server, which is not waited for to its end, keeps its watches open.
func (e *etcd) close() error {
	if e.server == nil {
		return e.cleanup()
	}
	e.server.Server.HardStop()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		e.server.Close()
	}()
	select {
	case <-closed:
	case <-time.After(socketsGrace): // they end with the process
	}
	return e.cleanup()
}

// socketPath keeps the socket beside the data when the kernel takes that path,
// else in a private folder made for it.
func socketPath(dir string) (string, func() error, error) {
	path := filepath.Join(dir, "etcd.sock")
	if len(path) <= maxSocketPath {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", nil, err
		}
		return path, func() error { return nil }, nil
	}
	short, err := os.MkdirTemp("", "etcd")
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(short, "etcd.sock"), func() error { return os.RemoveAll(short) }, nil
}

// zapLogger hands etcd's warnings and errors to slog, and what would end the process to
// end.
func zapLogger(logger *slog.Logger, end zapcore.CheckWriteHook) *zap.Logger {
	return zap.New(&slogCore{logger: logger}, zap.WithPanicHook(end), zap.WithFatalHook(end))
}

type slogCore struct {
	logger *slog.Logger
	fields []zapcore.Field
}

func (c *slogCore) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

func (c *slogCore) With(fields []zapcore.Field) zapcore.Core {
	return &slogCore{logger: c.logger, fields: append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

func (c *slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(c.fields[:len(c.fields):len(c.fields)], fields...) {
		f.AddTo(enc)
	}
	args := make([]any, 0, 2*len(enc.Fields))
	for k, v := range enc.Fields {
		args = append(args, k, v)
	}
	level := slog.LevelWarn
	if e.Level > zapcore.WarnLevel {
		level = slog.LevelError
	}
	c.logger.Log(context.Background(), level, e.Message, args...)
	return nil
}

func (c *slogCore) Sync() error { return nil }
