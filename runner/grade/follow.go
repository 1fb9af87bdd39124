package grade

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
	"github.com/netdojo/netdojo/runner/record"
)

// Following is a results folder that is looked at again and again, also while a run
// writes it. Look is for one caller at a time.
type Following struct {
	dir   string
	stamp string           // of the files, at the last look
	known map[string]noted // by pseudonym
	last  Seen             // as it was looked at then
}

// noted is a record without its evidence, so that a large class is not in memory.
type noted struct {
	digest string
	result.Record
}

// Seen is what a results folder holds at a moment.
type Seen struct {
	Class  result.Class
	People *roster.People // with no entries where the map is not there
	// Waiting are the submissions that have no record yet.
	Waiting []string
	// Now is what the run is at that goes on; nil for none.
	Now *Now
	// Signed says that there is a signature over the log as it is. Whose, evidence.Verify
	// says.
	Signed bool
}

// Follow looks at a results folder.
func Follow(dir string) *Following { return &Following{dir: dir, known: map[string]noted{}} }

// Look is what the folder holds now. Only records that came since the last look are
// read. While a run goes on, what does not fit together yet is as it was at the last
// look.
func (f *Following) Look() (Seen, error) {
	stamp := ""
	for _, name := range []string{evidence.LogFile, evidence.SigFile, roster.MapFile} {
		if info, err := os.Lstat(filepath.Join(f.dir, name)); err == nil {
			stamp += fmt.Sprintln(info.Size(), info.ModTime().UnixNano())
		}
	}
	now := readNow(f.dir, time.Now())
	if stamp != f.stamp || stamp == "" {
		seen, err := f.read()
		switch {
		case err == nil:
			f.stamp, f.last = stamp, seen
		case now == nil || f.last.People == nil:
			return Seen{}, err
		}
	}
	f.last.Now = now
	return f.last, nil
}

func (f *Following) read() (Seen, error) {
	people, err := roster.Load(f.dir)
	if err != nil {
		return Seen{}, err
	}
	entries, err := evidence.ReadLog(f.dir)
	if err != nil {
		return Seen{}, err
	}
	s := Seen{People: people}
	if s.Class, err = classOf(entries, f.note, people); err != nil {
		return Seen{}, err
	}
	standing := evidence.Standing(entries)
	for _, e := range people.Entries {
		if _, there := standing[e.ID]; !there && e.Key != "" && !e.Forgotten {
			s.Waiting = append(s.Waiting, e.ID)
		}
	}
	for id := range f.known {
		if _, there := standing[id]; !there {
			delete(f.known, id)
		}
	}
	s.Signed = evidence.Signed(f.dir)
	return s, nil
}

// note reads a record, unless it is known by its digest.
func (f *Following) note(id, digest string) (result.Record, error) {
	if n, ok := f.known[id]; ok && n.digest == digest {
		return n.Record, nil
	}
	r, err := intact(func(id string) ([]byte, error) { return evidence.ReadRecord(f.dir, id) })(id, digest)
	if err != nil {
		return r, err
	}
	for i, t := range r.Run.Tasks {
		short := record.Task{ID: t.ID, Title: t.Title, Hint: t.Hint}
		for _, c := range t.Checks {
			if c.Phase == checks.After {
				short.Checks = append(short.Checks, record.Check{ID: c.ID, Title: c.Title, Phase: c.Phase, Passed: c.Passed, Expect: c.Expect, Verdict: c.Verdict, Cause: c.Cause})
			}
		}
		r.Run.Tasks[i] = short
	}
	f.known[id] = noted{digest, r}
	return r, nil
}

// Record reads the record of a pseudonym, with its evidence.
func (f *Following) Record(id string) (result.Record, error) {
	return (&Results{Dir: f.dir}).Record(id)
}
