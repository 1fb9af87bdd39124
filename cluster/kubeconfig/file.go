package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// lockPoll and lockWait bound the wait for another program's lock, which has no
// way of telling that it is free.
const (
	lockPoll = 20 * time.Millisecond
	lockWait = 10 * time.Second
)

// Error is what kept a kubeconfig from being read or changed.
type Error struct {
	Act  string
	Err  error
	cure string
}

func (e *Error) Error() string { return e.Act + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Cure says what to do about it.
func (e *Error) Cure() string { return e.cure }

// update reads path under its lock, lets change work on it and writes it when it
// changed. A file that change leaves with nothing but what we made goes away.
func update(ctx context.Context, path string, change func(*document) error) (err error) {
	unlock, err := lock(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	doc, err := read(ctx, path)
	if err != nil {
		return err
	}
	if err := change(doc); err != nil {
		return err
	}
	if !doc.dirty {
		return nil
	}
	if doc.spent {
		if err := os.Remove(hostfile.Target(path)); err != nil {
			return fmt.Errorf("remove the emptied kubeconfig: %w", err)
		}
		return nil
	}
	data, err := doc.encode()
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	// It holds keys: readable by its owner alone.
	if err := hostfile.WriteNamed(path, data, 0o600); err != nil {
		return &Error{Act: "change the kubeconfig", Err: err, cure: "make the file and its folder writable, or set KUBECONFIG to another file"}
	}
	return nil
}

// lock takes the lock that kubectl and kind take: FILE.lock, made exclusively.
func lock(ctx context.Context, path string) (unlock func() error, err error) {
	name := path + ".lock"
	if err := hostfile.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, &Error{Act: "lock " + path, Err: err, cure: "set KUBECONFIG to a file in a folder that you may write"}
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			if err := f.Close(); err != nil {
				return nil, errors.Join(err, os.Remove(name))
			}
			return func() error { return os.Remove(name) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, &Error{Act: "lock " + path, Err: err, cure: "set KUBECONFIG to a file in a folder that you may write"}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, &Error{
					Act: "lock " + path, Err: fmt.Errorf("%s is held since more than %s", name, lockWait),
					cure: "when no kubectl, kind or netdojo is changing it, remove " + name,
				}
			}
			return nil, context.Cause(ctx)
		}
	}
}
