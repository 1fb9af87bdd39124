package live

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long the events of one save are gathered: an editor writes, renames
	// and removes.
	settle = 20 * time.Millisecond
	// again is how often a folder is looked at that cannot be watched.
	again = time.Second
)

// Watch calls saved at once and after each change of the YAML files in a folder, until
// ctx ends. Where the system does not tell of changes, it calls saved every second.
func Watch(ctx context.Context, dir string, saved func()) {
	var events chan fsnotify.Event
	var errs chan error
	w, err := fsnotify.NewWatcher()
	if err != nil {
		w = nil
	} else {
		defer w.Close()
		events, errs = w.Events, w.Errors
	}
	look := time.NewTimer(again)
	defer look.Stop()
	if w != nil && w.Add(dir) == nil {
		look.Stop()
	}
	settled := time.NewTimer(0) // what was saved before it watched is looked at too
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if filepath.Clean(e.Name) == filepath.Clean(dir) && e.Op.Has(fsnotify.Remove|fsnotify.Rename) {
				look.Reset(again)
			}
			if ofObjects(e.Name) && e.Op != fsnotify.Chmod {
				settled.Reset(settle)
			}
		case err := <-errs: // events were lost, or what they told of was
			if err != nil {
				settled.Reset(settle)
			}
		case <-settled.C:
			saved()
		case <-look.C:
			if w == nil || w.Add(dir) != nil {
				look.Reset(again)
			}
			saved()
		}
	}
}
