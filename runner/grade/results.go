package grade

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
	"github.com/netdojo/netdojo/runner/grade/rubric"
)

// Results are those of a folder, as they are read back.
type Results struct {
	Dir    string
	Class  result.Class
	People *roster.People
	// Scripts says that the scripts of submissions were run.
	Scripts bool
}

// Read reads a results folder. It follows the log's chain and the records' digests,
// and asks for no key: whether the signature holds, evidence.Verify says.
func Read(dir string) (*Results, error) {
	people, err := roster.Load(dir)
	if err != nil {
		return nil, err
	}
	entries, err := evidence.ReadLog(dir)
	if err != nil {
		return nil, err
	}
	r := &Results{Dir: dir, People: people}
	if b, err := beginning(entries); err == nil {
		r.Scripts = b.Scripts
	}
	r.Class, err = classOf(entries, intact(func(id string) ([]byte, error) { return evidence.ReadRecord(dir, id) }), people)
	return r, err
}

// intact reads records by their pseudonym, and refuses those whose digest is not the
// log's.
func intact(read func(id string) ([]byte, error)) func(id, digest string) (result.Record, error) {
	return func(id, digest string) (result.Record, error) {
		data, err := read(id)
		if err == nil && evidence.Digest(data) != digest {
			err = &evidence.BrokenError{File: evidence.RecordsDir + "/" + id + ".json", Message: "the record is not the one that was written"}
		}
		if err != nil {
			return result.Record{}, err
		}
		return decode(id, data)
	}
}

// Record reads the record of a pseudonym.
func (r *Results) Record(id string) (result.Record, error) {
	data, err := evidence.ReadRecord(r.Dir, id)
	if err != nil {
		return result.Record{}, err
	}
	return decode(id, data)
}

func decode(id string, data []byte) (result.Record, error) {
	var rec result.Record
	if err := json.Unmarshal(data, &rec); err != nil {
		return rec, fmt.Errorf("read the record %s: %w", id, err)
	}
	if rec.Schema != result.RecordSchema {
		return rec, &Error{
			Message: fmt.Sprintf("the record %s has the schema %q, not %q", id, rec.Schema, result.RecordSchema),
			Advice:  "read it with the version of netdojo that wrote it",
		}
	}
	return rec, nil
}

// classOf makes the class of a log, its records and the map of people. Read is given a
// record's pseudonym and its digest.
func classOf(entries []evidence.Entry, read func(id, digest string) (result.Record, error), people *roster.People) (result.Class, error) {
	b, err := beginning(entries)
	if err != nil {
		return result.Class{}, err
	}
	w, _ := weights(entries)
	overrides := map[string]result.Override{}
	for _, e := range entries {
		switch e.Kind {
		case evidence.Overridden:
			var o result.Override
			if err := json.Unmarshal(e.Data, &o); err != nil {
				return result.Class{}, &evidence.BrokenError{File: evidence.LogFile, Line: e.N + 1, Message: "it is no override"}
			}
			o.At = e.At
			overrides[e.ID] = o
		case evidence.Forgotten:
			delete(overrides, e.ID)
		}
	}
	builder := result.NewBuilder(b.Lab, b.Netdojo, b.Max, w, overrides)
	standing := evidence.Standing(entries)
	for _, id := range slices.Sorted(maps.Keys(standing)) {
		rec, err := read(id, standing[id])
		if err != nil {
			return result.Class{}, err
		}
		builder.Add(rec)
	}
	for _, e := range people.Entries {
		if _, there := standing[e.ID]; !there && e.Key == "" && !e.Forgotten {
			builder.Absent(e.ID)
		}
	}
	return builder.Class(), nil
}

// Change opens a results folder, has change append to its log, and signs it anew.
func Change(dir string, signer ssh.Signer, change func(*evidence.Folder, *roster.People) error) (err error) {
	people, err := roster.Load(dir)
	if err != nil {
		return err
	}
	if _, err := evidence.ReadLog(dir); err != nil { // nothing is made where there is nothing
		return err
	}
	folder, err := evidence.Open(dir, signer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	if err := change(folder, people); err != nil {
		return err
	}
	return folder.Sign(signer)
}

// Override gives a submission other points, for a reason. The record stays.
func Override(dir string, signer ssh.Signer, who string, points float64, reason string) (*roster.Entry, error) {
	var entry *roster.Entry
	err := Change(dir, signer, func(f *evidence.Folder, people *roster.People) error {
		var err error
		if entry, err = people.Resolve(who); err != nil {
			return err
		}
		return f.Append(evidence.Overridden, entry.ID, time.Now(), result.Override{Points: points, Reason: reason})
	})
	return entry, err
}

// Forget removes a submission's record, its recording and whose it was. The rest still verifies.
func Forget(dir string, signer ssh.Signer, who string) (string, error) {
	var id string
	err := Change(dir, signer, func(f *evidence.Folder, people *roster.People) error {
		entry, err := people.Resolve(who)
		if err != nil {
			return err
		}
		id = entry.ID
		if err := f.Forget(id, time.Now()); err != nil {
			return err
		}
		if err := keepRecording(dir, id, nil); err != nil {
			return err
		}
		if err := people.Forget(id); err != nil {
			return err
		}
		return people.Save(dir)
	})
	return id, err
}

// Rescore weighs the results anew, with other times, another rubric or another roster,
// and runs nothing. A nil rubric counts the lab's points; a nil text leaves the roster
// as it is.
func Rescore(dir string, signer ssh.Signer, w result.Weights, by *rubric.File, rosterFile string, text []byte) error {
	return Change(dir, signer, func(f *evidence.Folder, people *roster.People) error {
		if by != nil {
			tasks, err := tasksOf(f)
			if err == nil {
				w.Rubric, err = by.Resolve(tasks)
			}
			if err != nil {
				return err
			}
		}
		if text != nil {
			list, err := roster.Parse(rosterFile, text)
			if err != nil {
				return err
			}
			people.Renew(list, rosterFile, text)
			if err := people.Save(dir); err != nil {
				return err
			}
		}
		return weigh(f, w, people)
	})
}

// tasksOf are the lab's tasks as the records of a folder have them.
func tasksOf(f *evidence.Folder) ([]result.Task, error) {
	for _, id := range slices.Sorted(maps.Keys(evidence.Standing(f.Entries()))) {
		data, err := f.Record(id)
		if err != nil {
			return nil, err
		}
		r, err := decode(id, data)
		if err != nil || len(r.Tasks) > 0 {
			return r.Tasks, err
		}
	}
	return nil, &Error{Message: "there is no record to weigh", Advice: "grade submissions first"}
}
