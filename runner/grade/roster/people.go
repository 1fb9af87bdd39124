package roster

import (
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/runner/grade/submission"
)

// MapFile is the file of a results folder in which names stand.
const MapFile = "people.json"

const (
	mapSchema = "netdojo.dev/grade-people/v1"
	maxMap    = 32 << 20
)

// People are the pseudonyms of a class and whose they are.
type People struct {
	Schema string `json:"schema"`
	// Roster is the list of people as it was given, RosterFile its name; "" for none.
	Roster     string  `json:"roster,omitempty"`
	RosterFile string  `json:"rosterFile,omitempty"`
	Entries    []Entry `json:"entries"` // in the order in which they came
}

// Entry is one submission, or people who handed nothing in.
type Entry struct {
	ID  string `json:"id"`  // the pseudonym
	Key string `json:"key"` // the submission's; "" where nothing was handed in
	// Source is where the submission lies in what was graded.
	Source  string   `json:"source,omitempty"`
	Members []Person `json:"members,omitempty"` // none for somebody who is not on the roster
	// Files are the names that the files had, by those that records have.
	Files map[string]string `json:"files,omitempty"`
	// Forgotten says that the record was removed at somebody's wish.
	Forgotten bool `json:"forgotten,omitempty"`
}

// Load reads the map of a results folder; an empty one where there is none.
func Load(dir string) (*People, error) {
	p := &People{Schema: mapSchema}
	data, err := hostfile.ReadIn(dir, MapFile, maxMap)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, p); err != nil || p.Schema != mapSchema {
		return nil, &Error{filepath.Join(dir, MapFile), 0, "it is no map of people and pseudonyms", "restore it from a copy; the records themselves name nobody"}
	}
	return p, nil
}

// Save writes the map, readable by its owner alone.
func (p *People) Save(dir string) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return hostfile.WriteDurable(filepath.Join(dir, MapFile), append(data, '\n'), 0o600)
}

// Assign gives each submission its pseudonym and its people, and those on the roster
// who handed nothing in one too. Pseudonyms that are there already stay. Of people
// who handed in together several times, the latest counts. It returns the
// submissions that count, by pseudonym, and what is odd.
func (p *People) Assign(class *submission.Class, r *Roster) (map[string]submission.Submission, []submission.Problem) {
	var problems []submission.Problem
	chosen := map[string]submission.Submission{}
	type owned struct {
		submission.Submission
		members []Person
	}
	byRow := map[int]int{} // roster row → index in all
	var all []owned
	for _, s := range class.Submissions {
		members, err := r.Find(s)
		switch {
		case err != nil:
			problems = append(problems, submission.Problem{File: s.Source, Message: err.Error(), Cure: "name its folder by the id that the roster has"})
		case members == nil && r != nil:
			problems = append(problems, submission.Problem{File: s.Source, Message: "nobody on the roster is called so; it is graded, and in no gradebook"})
		}
		if len(members) > 0 {
			if i, twice := byRow[members[0].Row]; twice {
				problems = append(problems, submission.Problem{File: s.Source, Message: "it is of the same people as " + all[i].Source + "; the later one counts"})
				if s.At.After(all[i].At) || s.At.Equal(all[i].At) && s.Attempt > all[i].Attempt {
					all[i].Submission = s
				}
				continue
			}
			for _, m := range members {
				byRow[m.Row] = len(all)
			}
		}
		all = append(all, owned{s, members})
	}
	for _, o := range all {
		e := p.entry(o.Key, o.members)
		e.Key, e.Source, e.Members = o.Key, o.Source, o.members
		chosen[e.ID] = o.Submission
	}
	if r != nil {
		for _, person := range r.People {
			if _, ok := byRow[person.Row]; !ok {
				e := p.entry("", []Person{person})
				e.Members = []Person{person}
			}
		}
	}
	return chosen, problems
}

// entry finds or makes the entry of a submission or of people.
func (p *People) entry(key string, members []Person) *Entry {
	i := slices.IndexFunc(p.Entries, func(e Entry) bool {
		if len(members) > 0 && len(e.Members) > 0 {
			return e.Members[0].ID == members[0].ID
		}
		return key != "" && e.Key == key
	})
	if i < 0 {
		i = len(p.Entries)
		p.Entries = append(p.Entries, Entry{ID: p.pseudonym()})
	}
	return &p.Entries[i]
}

// pseudonym is a new one, which says nothing about whose it is.
func (p *People) pseudonym() string {
	for {
		var raw [5]byte
		_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
		id := "s-" + strings.ToLower(base32.StdEncoding.EncodeToString(raw[:]))
		if p.Of(id) == nil {
			return id
		}
	}
}

// Of is the entry of a pseudonym, nil where there is none.
func (p *People) Of(id string) *Entry {
	for i := range p.Entries {
		if p.Entries[i].ID == id {
			return &p.Entries[i]
		}
	}
	return nil
}

// Resolve finds the entry that a person means: a pseudonym, a submission's key, or
// somebody's ID or name. The error says what is wrong with the word.
func (p *People) Resolve(word string) (*Entry, error) {
	if e := p.Of(word); e != nil {
		return e, nil
	}
	var found []*Entry
	for i := range p.Entries {
		e := &p.Entries[i]
		is := e.Key != "" && fold(e.Key) == fold(word) || slices.ContainsFunc(e.Members, func(m Person) bool {
			return fold(m.ID) == fold(word) || m.Name != "" && fold(m.Name) == fold(word) || slices.ContainsFunc(m.IDs, func(id string) bool { return fold(id) == fold(word) })
		})
		if is {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return nil, &Error{MapFile, 0, fmt.Sprintf("nobody is called %q in these results", word), "give a pseudonym such as s-k3j9ab2c, or an id of the roster"}
	case 1:
		return found[0], nil
	}
	return nil, &Error{MapFile, 0, fmt.Sprintf("%d submissions are called %q", len(found), word), "give the pseudonym"}
}

// Extensions are the later due times that people were given, by pseudonym; of a
// group the latest.
func (p *People) Extensions() map[string]time.Time {
	var all map[string]time.Time
	for _, e := range p.Entries {
		for _, m := range e.Members {
			if m.Due.After(all[e.ID]) {
				if all == nil {
					all = map[string]time.Time{}
				}
				all[e.ID] = m.Due.UTC()
			}
		}
	}
	return all
}

// ExtraMinutes are the minutes that people were given in addition in an exam, by
// pseudonym; of a group the most. Nobody is in it where the roster does not say.
func (p *People) ExtraMinutes() map[string]int {
	var all map[string]int
	for _, e := range p.Entries {
		for _, m := range e.Members {
			if m.Extra == nil {
				continue
			}
			if all == nil {
				all = map[string]int{}
			}
			all[e.ID] = max(all[e.ID], *m.Extra)
		}
	}
	return all
}

// Seeds are those that the roster gives people, by pseudonym; of a group those of all.
// Nobody is in it to whom the roster gives none.
func (p *People) Seeds() map[string][]string {
	all := map[string][]string{}
	for _, e := range p.Entries {
		for _, m := range e.Members {
			if m.Seed != "" {
				all[e.ID] = append(all[e.ID], m.Seed)
			}
		}
	}
	return all
}

// List is the roster that the map holds, nil for none.
func (p *People) List() (*Roster, error) {
	if p.Roster == "" {
		return nil, nil
	}
	return Parse(cmp.Or(p.RosterFile, "roster"), []byte(p.Roster))
}

// Called is how people name whose an entry is: the names of its members, or the
// submission's key.
func (e *Entry) Called() string {
	if e == nil {
		return ""
	}
	var names []string
	for _, m := range e.Members {
		names = append(names, cmp.Or(m.Name, m.ID))
	}
	return cmp.Or(strings.Join(names, " and "), e.Key, e.ID)
}

// Forget takes everything out of the map that says whose a pseudonym is, the
// roster's line too.
func (p *People) Forget(id string) error {
	e := p.Of(id)
	if e == nil {
		return nil
	}
	list, err := p.List()
	if err != nil {
		return err
	}
	gone := map[int]bool{}
	for _, m := range e.Members {
		gone[m.Row] = true
	}
	*e = Entry{ID: id, Forgotten: true}
	if list == nil {
		return nil
	}
	var rows [][]string
	for i, row := range list.Rows {
		if !gone[i] {
			rows = append(rows, row)
		}
	}
	list.Rows = rows
	text, err := list.Text()
	if err != nil {
		return err
	}
	left, err := Parse(cmp.Or(p.RosterFile, "roster"), text)
	if err != nil {
		return err
	}
	p.Renew(left, p.RosterFile, text)
	return nil
}

// Renew takes another roster: people keep their pseudonyms.
func (p *People) Renew(r *Roster, file string, text []byte) {
	p.Roster = string(text)
	if file != "" {
		p.RosterFile = filepath.Base(file)
	}
	for i := range p.Entries {
		e := &p.Entries[i]
		for k, m := range e.Members {
			if at := slices.IndexFunc(r.People, func(q Person) bool { return q.ID == m.ID }); at >= 0 {
				e.Members[k] = r.People[at]
			}
		}
	}
}
