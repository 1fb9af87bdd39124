// Package imported makes the folder of a lab of pages that nobody wrote for netdojo.
// It follows the pages' commands without running any: what they apply becomes
// workloads and solutions, what the pages promise of connections becomes checks. What
// it had to guess, and what a lab has beside that, is left to the author, in comments
// that begin with Unfinished. Nothing here runs anything.
package imported

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/labs/scaffold"
)

// Source is what a lab is made of.
type Source struct {
	ID    string // of the lab
	Pages []Page // in their order
	// Beside are the files beside the pages, and Setup the manifests that are applied
	// before the first.
	Beside []page.Beside
	Setup  []File
}

// Page is a page with its own text.
type Page struct {
	page.Page
	Text []byte
}

// File is a file of the lab's folder, by its slash-separated path.
type File struct {
	Name string
	Data []byte
}

// Remark is what is to be told about a line of a file. A line of 0 means the whole file.
type Remark struct {
	File string
	Line int
	Text string
}

// String is FILE:LINE: TEXT.
func (r Remark) String() string {
	if r.Line == 0 {
		return r.File + ": " + r.Text
	}
	return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Text)
}

// Lab is a lab that was made of pages.
type Lab struct {
	Files         []File
	Tasks, Checks int
	// Claims are those of the pages' commands, and Kept those that checks say.
	Claims, Kept int
	// Unfinished is what the author has to do, with the lines of the lab's files whose
	// comments say the same; LeftOut is what of the pages the lab does not have.
	Unfinished, LeftOut []Remark
}

// Unfinished begins the comments that tell the author what to do.
const Unfinished = "To finish: "

// EmptyError is a page that no lab can be made of.
type EmptyError struct {
	File    string
	Message string
	Advice  string
	LeftOut []Remark
}

func (e *EmptyError) Error() string { return e.File + ": " + e.Message }

// Cure says what can be done.
func (e *EmptyError) Cure() string { return e.Advice }

// Make makes a lab. The error is an *EmptyError, or a *scaffold.NameError.
func Make(s Source) (Lab, error) {
	if err := (scaffold.Lab{ID: s.ID, Title: "a title", Namespace: "a-namespace"}).Check(); err != nil {
		return Lab{}, err
	}
	r := newReader(s)
	for _, f := range s.Setup {
		r.at = place{file: f.Name}
		r.apply(f.Name, f.Data, "")
	}
	for i := range s.Pages {
		r.read(i)
	}
	b := builder{reader: r}
	return b.build()
}

// Write makes the folder dir with the lab in it. A dir that is there already is an error
// that wraps fs.ErrExist, and stays as it is.
func Write(dir string, l Lab) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make the lab's folder: %w", err)
	}
	if err := write(dir, l); err != nil {
		return errors.Join(fmt.Errorf("write the lab: %w", err), os.RemoveAll(dir))
	}
	return nil
}

func write(dir string, l Lab) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range l.Files {
		if folder := path.Dir(f.Name); folder != "." {
			if err := root.MkdirAll(filepath.FromSlash(folder), 0o755); err != nil {
				return err
			}
		}
		if err := root.WriteFile(filepath.FromSlash(f.Name), f.Data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// unfinished are the comments of the files that tell the author what to do.
func unfinished(files []File) []Remark {
	var all []Remark
	for _, f := range files {
		if path.Ext(f.Name) != ".yaml" {
			continue
		}
		for i, line := range strings.Split(string(f.Data), "\n") {
			if _, text, ok := strings.Cut(line, "# "+Unfinished); ok {
				all = append(all, Remark{f.Name, i + 1, text})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Remark) int {
		return strings.Compare(a.File, b.File)
	})
	return all
}

// normalize makes text files alike: no mark before them, LF, a line feed at the end.
func normalize(data []byte) []byte {
	data = bytes.ReplaceAll(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), []byte("\r\n"), []byte("\n"))
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	return data
}
