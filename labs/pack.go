package labs

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Exam makes an exam of a lab.
type Exam struct {
	// How long it takes, without the time that a person is given in addition.
	Minutes int `yaml:"minutes" jsonschema:"required,minimum=1,maximum=1440"`
	// That the lab is a pack, which netdojo exam pack writes for those who take the exam: it has no checks, hints and answers.
	Pack bool `yaml:"pack"`
}

// Pack is what of a lab those who take it as an exam are given: its pages, workloads
// and skeletons. It is the part of the lab that they share with their instructor.
type Pack struct {
	Files []PackFile // sorted by name; lab.yaml among them
	// Digest is that of what is shared, in the form sha256:HEX. A lab and a pack of it
	// have the same, however lab.yaml is written.
	Digest string
}

// PackFile is a file of a pack, by its path in the lab's folder.
type PackFile struct {
	Name string
	Data []byte
}

// packed is lab.yaml in a pack. What it does not name is left out: what a lab
// declares of its checks, hints and answers is named nowhere here.
type packed struct {
	ID        string   `yaml:"id"`
	Title     string   `yaml:"title"`
	Summary   string   `yaml:"summary,omitempty"`
	Namespace string   `yaml:"namespace,omitempty"`
	Needs     []string `yaml:"needs,omitempty"`
	World     *World   `yaml:"world,omitempty"`
	Workloads Files    `yaml:"workloads,omitempty"`
	Accepts   []string `yaml:"accepts,omitempty"`
	Exam      Exam     `yaml:"exam"`
	// What a seed chooses is in the digest where it was chosen, in the files.
	Values []Value      `yaml:"values,omitempty" json:"-"`
	Seed   string       `yaml:"seed,omitempty" json:",omitempty"`
	Tasks  []packedTask `yaml:"tasks"`
}

type packedTask struct {
	ID       string `yaml:"id"`
	Title    string `yaml:"title"`
	Page     string `yaml:"page,omitempty"`
	Skeleton string `yaml:"skeleton,omitempty"`
}

// NoExamError is a lab that is no exam.
type NoExamError struct{ Lab string }

func (e *NoExamError) Error() string { return "lab " + e.Lab + " is no exam" }

// Cure says what makes it one.
func (e *NoExamError) Cure() string {
	return "say in its lab.yaml how long it takes: exam: {minutes: 60}; labs that are exams have it: e1, e2"
}

// Pack makes the pack of a lab, or of a pack. A lab that is no exam is a
// *NoExamError.
func (l *Lab) Pack() (*Pack, error) {
	if l.Exam == nil {
		return nil, &NoExamError{l.ID}
	}
	p := packed{
		ID: l.ID, Title: l.Title, Summary: l.Summary, Namespace: l.Namespace, Needs: l.Needs,
		Workloads: l.Workloads, Accepts: l.Accepts, Exam: Exam{Minutes: l.Exam.Minutes, Pack: true},
		Values: l.Values, Seed: l.Seed,
	}
	if len(l.World.Names) > 0 {
		p.World = &l.World
	}
	names := slices.Clone(l.Workloads)
	for _, t := range l.Tasks {
		p.Tasks = append(p.Tasks, packedTask{t.ID, t.Title, t.Page, t.Skeleton})
		for _, name := range []string{t.Page, t.Skeleton} {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	out := &Pack{}
	sum := sha256.New()
	// Plain data of ours always encodes, and a hash takes every write.
	_ = json.NewEncoder(sum).Encode(p)
	for _, name := range slices.Compact(names) {
		data, err := fs.ReadFile(l.FS, name)
		if err != nil {
			return nil, fmt.Errorf("read %s of lab %s: %w", name, l.ID, err)
		}
		out.Files = append(out.Files, PackFile{name, data})
		fmt.Fprintf(sum, "%q %d\n", name, len(data))
		sum.Write(data)
	}
	var text bytes.Buffer
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(p), enc.Close()); err != nil {
		return nil, fmt.Errorf("write the pack of lab %s: %w", l.ID, err)
	}
	out.Files = append(out.Files, PackFile{FileName, text.Bytes()})
	slices.SortFunc(out.Files, func(a, b PackFile) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	out.Digest = digestText(sum)
	return out, nil
}

// Write makes the folder dir with the pack in it. A dir that is there already is an
// error that wraps fs.ErrExist, and stays as it is.
func (p *Pack) Write(dir string) (err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make the pack's folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the pack's folder: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	for _, f := range p.Files {
		name := filepath.FromSlash(f.Name)
		if above := path.Dir(f.Name); above != "." {
			if err := root.MkdirAll(filepath.FromSlash(above), 0o755); err != nil {
				return fmt.Errorf("write the pack: %w", err)
			}
		}
		if err := root.WriteFile(name, f.Data, 0o644); err != nil {
			return fmt.Errorf("write the pack: %w", err)
		}
	}
	return nil
}

// examProblems returns what an exam, or a pack of one, must not have.
func (l *Lab) examProblems(v *verifier) {
	if l.Exam == nil || !l.Exam.Pack {
		return
	}
	for i, t := range l.Tasks {
		if len(t.Checks) > 0 || len(t.Quiz) > 0 || len(t.Pairs) > 0 || len(t.Solution) > 0 || len(t.Wrong) > 0 || len(t.Unnoticed) > 0 || len(t.Hints.Levels()) > 0 {
			v.add([]string{"tasks", itoa(i)}, "has what no pack has: checks, a quiz, pairs, hints or answers", "make the pack anew with netdojo exam pack; the lab that the instructor keeps has no pack: true")
		}
	}
}
