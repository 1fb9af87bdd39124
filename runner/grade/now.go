package grade

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// NowFile is the file of a results folder that tells what a run is at. It is there while
// one goes on, and proves nothing.
const NowFile = "now.json"

const (
	nowSchema = "netdojo.dev/grade-now/v1"
	maxNow    = 1 << 20
	// nowEvery is how often a run writes it, and staleTime how old it is where the run was
	// killed.
	nowEvery  = 5 * time.Second
	staleTime = 30 * time.Second
)

// Now is what a run is at.
type Now struct {
	Schema  string    `json:"schema"`
	At      time.Time `json:"at"`   // when this was so
	Done    int       `json:"done"` // submissions that have a record
	Total   int       `json:"total"`
	Judging []Turn    `json:"judging"` // in the order in which they began
	// RemainingMs is an estimate for those that are left; 0 when nothing is known.
	RemainingMs int64 `json:"remainingMs,omitempty"`
}

// Turn is a submission that is being judged.
type Turn struct {
	ID    string    `json:"id"` // a pseudonym
	Since time.Time `json:"since"`
}

// bulletin keeps a results folder's NowFile by the events of the run.
type bulletin struct {
	dir string
	log *slog.Logger

	mu    sync.Mutex // guards what follows
	begun bool
	now   Now
}

// take takes an event of the run.
func (b *bulletin) take(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone := func(id string) {
		b.now.Judging = slices.DeleteFunc(b.now.Judging, func(t Turn) bool { return t.ID == id })
	}
	switch e := e.(type) {
	case Started:
		b.begun, b.now = true, Now{Schema: nowSchema, Done: e.Kept, Total: e.Total, Judging: []Turn{}}
	case Judging:
		gone(e.ID)
		b.now.Judging = append(b.now.Judging, Turn{e.ID, time.Now().UTC()})
	case Judged:
		gone(e.Record.ID)
		b.now.Done, b.now.Total, b.now.RemainingMs = e.Done, e.Total, e.Remaining.Milliseconds()
	default:
		return
	}
	b.write()
}

// keep writes it again and again, also when ctx has ended, so that a run which was
// killed is told from one that takes its time. The function that it returns removes it.
func (b *bulletin) keep(ctx context.Context) (remove func()) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var keeping sync.WaitGroup
	keeping.Go(func() {
		tick := time.NewTicker(nowEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				b.mu.Lock()
				if b.begun {
					b.write()
				}
				b.mu.Unlock()
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		stop()
		keeping.Wait()
		if err := os.Remove(filepath.Join(b.dir, NowFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.log.Warn("what the run was at is not removed", slog.Any("error", err))
		}
	}
}

// write writes the file. The caller holds mu.
func (b *bulletin) write() {
	b.now.At = time.Now().UTC()
	data, err := json.Marshal(b.now)
	if err == nil {
		err = hostfile.Write(filepath.Join(b.dir, NowFile), append(data, '\n'), 0o600)
	}
	if err != nil {
		b.log.Warn("what the run is at is not written", slog.Any("error", err))
	}
}

// readNow is what a run is at, at a time, by its folder; nil where none goes on.
func readNow(dir string, at time.Time) *Now {
	data, err := hostfile.ReadIn(dir, NowFile, maxNow)
	if err != nil {
		return nil
	}
	var n Now
	if json.Unmarshal(data, &n) != nil || n.Schema != nowSchema || at.Sub(n.At) > staleTime {
		return nil
	}
	return &n
}
