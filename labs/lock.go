package labs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/labs/catalogue"
)

// LockFile is the file of a course that says which versions of its labs are meant.
const LockFile = "course.lock"

// LockSchema names the form of a course.lock.
const LockSchema = "netdojo.dev/course-lock/v1"

// Lock pins the labs of a course, and the netdojo that judges them.
type Lock struct {
	Schema  string            `yaml:"schema"`
	Netdojo string            `yaml:"netdojo"`
	Labs    map[string]string `yaml:"labs"` // digests by id
}

// LockError is a course.lock that cannot be used, or that a lab does not fit.
type LockError struct {
	File            string
	Line            int // 0 for the whole file
	Message, Advice string
}

func (e *LockError) Error() string {
	return Problem{File: e.File, Line: e.Line, Message: e.Message}.String()
}

// Cure says what to do about it.
func (e *LockError) Cure() string { return e.Advice }

// LockOf pins the labs in a folder as they are, for a netdojo.
func LockOf(fsys fs.FS, netdojo string) (*Lock, error) {
	l := &Lock{Schema: LockSchema, Netdojo: netdojo, Labs: map[string]string{}}
	for _, id := range folders(fsys) {
		sub, err := fs.Sub(fsys, id)
		if err != nil {
			return nil, fmt.Errorf("read lab %s: %w", id, err)
		}
		if l.Labs[id], err = DigestOf(sub); err != nil {
			return nil, err
		}
	}
	if len(l.Labs) == 0 {
		return nil, &LockError{LockFile, 0, "there are no labs to pin", "give the folder whose folders hold a " + FileName}
	}
	return l, nil
}

// LockOfCatalogue pins the embedded labs.
func LockOfCatalogue(netdojo string) (*Lock, error) { return LockOf(catalogue.FS, netdojo) }

// Encode is the lock's text.
func (l *Lock) Encode() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("# netdojo lab lock writes this file. It pins the labs as they are: netdojo grade refuses others.\n")
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(l), enc.Close()); err != nil {
		return nil, fmt.Errorf("write %s: %w", LockFile, err)
	}
	return out.Bytes(), nil
}

// ReadLock reads a course.lock; file names it in errors, which are *LockError.
func ReadLock(file string, data []byte) (*Lock, error) {
	const anew = "netdojo lab lock writes it anew"
	l := &Lock{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(l); err != nil {
		return nil, &LockError{file, 0, "it is no lock of a course: " + err.Error(), anew}
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &LockError{file, 0, "something follows its end", anew}
	}
	switch {
	case l.Schema != LockSchema:
		return nil, &LockError{file, 1, fmt.Sprintf("it is of the form %q, not %s", l.Schema, LockSchema), "use the netdojo that wrote it, " + l.Netdojo}
	case l.Netdojo == "" || len(l.Labs) == 0:
		return nil, &LockError{file, 1, "it pins nothing", anew}
	}
	return l, nil
}

// Fits says whether a lab is the one that is pinned, and netdojo too. The error is a
// *LockError.
func (l *Lock) Fits(file string, lab *Lab, netdojo string) error {
	digest, err := lab.Digest()
	if err != nil {
		return err
	}
	switch want, pinned := l.Labs[lab.ID]; {
	case !pinned:
		return &LockError{file, 0, "it does not pin lab " + lab.ID, "add the lab to the course, and pin it with netdojo lab lock"}
	case want != digest:
		return &LockError{
			file, 0, fmt.Sprintf("it pins lab %s as %s, and this is %s", lab.ID, want, digest),
			"take the lab as it was pinned, from the course's history or bundle; if the change is meant, netdojo lab lock pins the lab as it is",
		}
	case l.Netdojo != netdojo:
		return &LockError{
			file, 0, fmt.Sprintf("it pins netdojo %s, and this is %s", l.Netdojo, netdojo),
			"use that netdojo; if this one is meant, netdojo lab lock pins it",
		}
	}
	return nil
}

// lockProblems returns where a folder's labs are not those of its course.lock; none where
// there is no such file.
func lockProblems(fsys fs.FS) []Problem {
	data, err := fs.ReadFile(fsys, LockFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []Problem{{File: LockFile, Message: "cannot be read: " + reason(err)}}
	}
	l, err := ReadLock(LockFile, data)
	var broken *LockError
	if errors.As(err, &broken) {
		return []Problem{{File: LockFile, Line: broken.Line, Message: broken.Message, Cure: broken.Advice}}
	}
	const cure = "netdojo lab lock pins the labs as they are"
	var problems []Problem
	there := folders(fsys)
	for _, id := range slices.Sorted(maps.Keys(l.Labs)) {
		if !slices.Contains(there, id) {
			problems = append(problems, Problem{File: LockFile, Line: lineOf(data, id), Message: fmt.Sprintf("pins lab %q, which is not there", id), Cure: cure})
		}
	}
	for _, id := range there {
		sub, err := fs.Sub(fsys, id)
		if err != nil {
			continue // folders has named it, so that it is one
		}
		digest, err := DigestOf(sub)
		switch want, pinned := l.Labs[id]; {
		case err != nil:
			problems = append(problems, Problem{File: path.Join(id, FileName), Message: err.Error()})
		case !pinned:
			problems = append(problems, Problem{File: LockFile, Message: fmt.Sprintf("does not pin lab %q", id), Cure: cure})
		case want != digest:
			problems = append(problems, Problem{File: LockFile, Line: lineOf(data, id), Message: fmt.Sprintf("pins another lab %q than there is: %s, not %s", id, want, digest), Cure: "take the lab as it was, or pin it as it is with netdojo lab lock"})
		}
	}
	return problems
}

// lineOf is the line of a lab in a course.lock; 0 where it is in none.
func lineOf(data []byte, id string) int {
	var root yaml.Node
	if yaml.Unmarshal(data, &root) != nil || len(root.Content) == 0 {
		return 0
	}
	list := below(root.Content[0], "labs")
	if list == nil {
		return 0
	}
	for i := 0; i < len(list.Content); i += 2 {
		if list.Content[i].Value == id {
			return list.Content[i].Line
		}
	}
	return 0
}
