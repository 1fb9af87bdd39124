// Package submission reads what a class handed in: a folder or an archive of
// submissions, each of them a folder, an archive or a file of manifests, as learning
// platforms export them. What it reads was written by others: it is bounded, no link
// is followed, and nothing of it is executed or unpacked onto a disk. It knows no
// lab and no cluster.
package submission

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// Bounds of what is read.
const (
	MaxFile     = 1 << 20  // bytes of one manifest
	MaxContent  = 4 << 20  // bytes of all manifests of a submission
	MaxFiles    = 200      // manifests of a submission
	MaxEntries  = 20_000   // files of an archive, of whatever kind
	MaxArchive  = 64 << 20 // bytes of an archive
	MaxInflated = 64 << 20 // bytes of an archive's files, inflated
	maxNested   = 8 << 20  // bytes of an archive inside a submission
	maxDepth    = 16       // folders inside a submission
	maxClass    = 5_000    // submissions
)

// Submission is what one person or group handed in. Its content is read by Load.
type Submission struct {
	// Key is who handed it in, as the export names them: a user's number or login,
	// or the folder's name.
	Key string
	// Name is the person's name where the export has it; "" where not.
	Name string
	// Attempt tells several of one Key apart: higher is later.
	Attempt int
	// At is when it was handed in as far as the export says; zero where it does not.
	At time.Time
	// Late is the platform's own mark.
	Late bool
	// Source is the path of the first file or folder, below what was read.
	Source string

	parts []part
	take  taker
}

// part is a file, archive or folder of a submission.
type part struct {
	fsys fs.FS
	path string // in fsys
	as   string // its name inside the submission; "" for a folder whose files are the submission's own
	dir  bool
}

// Problem is something of a submission that is not taken. It costs itself only.
type Problem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Message string `json:"message"`
	Cure    string `json:"cure,omitempty"`
}

func (p Problem) String() string {
	switch {
	case p.File == "":
		return p.Message
	case p.Line == 0:
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// Error is a class that cannot be read at all.
type Error struct {
	Path, Message, Advice string
	Err                   error // nil where Message says all
}

func (e *Error) Error() string { return "read the submissions of " + e.Path + ": " + e.Message }
func (e *Error) Unwrap() error { return e.Err }

// Cure says what to give instead.
func (e *Error) Cure() string { return e.Advice }

// Class is what was handed in.
type Class struct {
	// Submissions are the latest attempt of each Key, sorted by Key.
	Submissions []Submission
	// Earlier counts the attempts of each Key that a later one replaces.
	Earlier map[string]int
	// Problems are what is nobody's submission.
	Problems []Problem
	// Scripts says that scripts are submissions' too.
	Scripts bool
}

// Options say what is read.
type Options struct {
	// Scripts takes the scripts of submissions (.sh) beside their manifests. They are read
	// as all else is: what runs them, and where, is the caller's business.
	Scripts bool
}

// taker says whether a file of this name is a submission's.
type taker func(name string) bool

func (o Options) taker() taker {
	if o.Scripts {
		return func(name string) bool { return isManifest(name) || isScript(name) }
	}
	return isManifest
}

// Read finds the submissions in a folder or an archive (.zip, .tar, .tar.gz, .tgz).
// Errors are *Error, or ctx's.
func Read(ctx context.Context, name string, o Options) (*Class, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, &Error{Path: name, Message: reason(err), Err: err, Advice: "give the folder or the archive that holds the submissions"}
	}
	class, take := &Class{Earlier: map[string]int{}, Scripts: o.Scripts}, o.taker()
	var fsys fs.FS
	if info.IsDir() {
		fsys = hostfile.DirFS(name, MaxArchive)
	} else {
		if !isArchive(name) {
			return nil, &Error{Path: name, Message: "it is neither a folder nor a .zip, .tar or .tar.gz", Advice: "give the folder or the archive that holds the submissions"}
		}
		data, err := hostfile.ReadNamed(ctx, name, hostfile.Limits{Size: MaxArchive, Regular: true})
		if err != nil {
			return nil, err
		}
		var problems []Problem
		if fsys, problems, err = unpack(filepath.Base(name), data, take); err != nil {
			return nil, &Error{Path: name, Message: err.Error(), Err: err, Advice: "export the submissions again, or unpack them into a folder"}
		}
		class.Problems = append(class.Problems, problems...)
	}
	if err := class.find(ctx, fsys, take); err != nil {
		return nil, &Error{Path: name, Message: reason(err), Err: err, Advice: "give a folder of submissions: one folder, archive or manifest each"}
	}
	return class, ctx.Err()
}

// find collects what lies at the top, and keeps the latest attempts.
func (c *Class) find(ctx context.Context, fsys fs.FS, take taker) error {
	root, entries, err := top(fsys, take)
	if err != nil {
		return err
	}
	all := map[string]*Submission{} // by key and attempt
	var order []string
	for _, e := range entries {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		name := e.Name()
		if hidden(name) {
			continue
		}
		at := path.Join(root, name)
		dir := e.IsDir()
		switch {
		case !dir && !e.Type().IsRegular():
			c.Problems = append(c.Problems, Problem{File: at, Message: "it is " + kind(e.Type()) + ", which is not followed"})
			continue
		case !dir && !take(name) && !isArchive(name):
			continue // a grade sheet, a note
		}
		who := owner(name, dir)
		id := fmt.Sprintf("%s\x00%d\x00%d", who.key, who.attempt, who.at.Unix())
		s, known := all[id]
		if !known {
			s = &Submission{Key: who.key, Name: who.name, Attempt: who.attempt, At: who.at, Source: at, take: take}
			all[id] = s
			order = append(order, id)
		}
		s.Late = s.Late || who.late
		s.parts = append(s.parts, part{fsys: fsys, path: at, as: who.file, dir: dir})
		if len(all) > maxClass {
			return fmt.Errorf("there are more than %d submissions", maxClass)
		}
	}
	latest := map[string]*Submission{}
	for _, id := range order {
		s := all[id]
		was, twice := latest[s.Key]
		if twice {
			c.Earlier[s.Key]++
		}
		if !twice || cmp.Or(s.At.Compare(was.At), cmp.Compare(s.Attempt, was.Attempt)) > 0 {
			latest[s.Key] = s
		}
	}
	for _, s := range latest {
		c.Submissions = append(c.Submissions, *s)
	}
	slices.SortFunc(c.Submissions, func(a, b Submission) int { return cmp.Compare(a.Key, b.Key) })
	if len(c.Submissions) == 0 {
		return errors.New("there is no submission in it")
	}
	return nil
}

// top is the folder whose entries are the submissions: a folder that holds one
// folder and nothing else is passed through, unless that is a submission itself.
func top(fsys fs.FS, take taker) (string, []fs.DirEntry, error) {
	dir := "."
	for range maxDepth {
		entries, err := fs.ReadDir(fsys, dir)
		if err != nil {
			return "", nil, err
		}
		visible := slices.DeleteFunc(slices.Clone(entries), func(e fs.DirEntry) bool { return hidden(e.Name()) })
		if len(visible) != 1 || !visible[0].IsDir() {
			return dir, visible, nil
		}
		below, err := fs.ReadDir(fsys, path.Join(dir, visible[0].Name()))
		if err != nil {
			return "", nil, err
		}
		below = slices.DeleteFunc(below, func(e fs.DirEntry) bool { return hidden(e.Name()) })
		folders := len(below) > 0 && !slices.ContainsFunc(below, func(e fs.DirEntry) bool {
			return !e.IsDir() && !isArchive(e.Name()) && !(take(e.Name()) && owner(e.Name(), false).exported)
		})
		if !folders {
			return dir, visible, nil
		}
		dir = path.Join(dir, visible[0].Name())
	}
	return "", nil, fmt.Errorf("its folders are deeper than %d", maxDepth)
}

// hidden are files that systems leave: .DS_Store, __MACOSX, Thumbs.db.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || name == "__MACOSX" || name == "Thumbs.db"
}

func isManifest(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(path.Ext(name)))
}

func isScript(name string) bool { return strings.EqualFold(path.Ext(name), ".sh") }

func isArchive(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{".zip", ".tar", ".tar.gz", ".tgz"}, func(ext string) bool { return strings.HasSuffix(name, ext) })
}

func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}

// reason is an error without the path, which the caller names.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
