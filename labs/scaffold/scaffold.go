// Package scaffold writes the folder of a new lab: one that works, to be rewritten.
package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

//go:embed all:template
var template embed.FS

// Lab is what a new lab is called.
type Lab struct {
	ID    string
	Title string
	// Namespace is where its objects live; a second one, for namesakes, gets -next
	// after it.
	Namespace string
}

var (
	idForm        = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	namespaceForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
)

// longest is how long a namespace's name may be, with -next after it.
const longest = 63 - len("-next")

// NameError is a name that a lab cannot have.
type NameError struct{ What, Name, Advice string }

func (e *NameError) Error() string { return fmt.Sprintf("%q cannot be the %s", e.Name, e.What) }

// Cure says which names can.
func (e *NameError) Cure() string { return e.Advice }

// Defaults fills what is empty, from the id.
func (l Lab) Defaults() Lab {
	if l.Title == "" {
		l.Title = "Lab " + l.ID
	}
	if l.Namespace == "" {
		// The first word may be a number: namespaces read better with a letter.
		l.Namespace = "lab-" + strings.ReplaceAll(l.ID, ".", "-")
	}
	return l
}

// Check says whether the names are ones that a lab can have. The error is a
// *NameError.
func (l Lab) Check() error {
	switch {
	case !idForm.MatchString(l.ID):
		return &NameError{"lab's id", l.ID, "use lower-case letters, digits, dots and dashes"}
	case strings.TrimSpace(l.Title) == "" || strings.ContainsAny(l.Title, "\n\r\t"):
		return &NameError{"lab's title", l.Title, "write it in one line"}
	case !namespaceForm.MatchString(l.Namespace) || len(l.Namespace) > longest:
		return &NameError{"lab's namespace", l.Namespace, fmt.Sprintf("use at most %d lower-case letters, digits and dashes", longest)}
	case l.Namespace == "default" || strings.HasPrefix(l.Namespace, "kube-"):
		return &NameError{"lab's namespace", l.Namespace, "give the lab a namespace of its own: it is made and removed with the lab"}
	}
	return nil
}

// Write makes the folder dir with the lab in it. A dir that is there already is an
// error that wraps fs.ErrExist, and stays as it is.
func Write(dir string, l Lab) error {
	if err := l.Check(); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make the lab's folder: %w", err)
	}
	if err := l.write(dir); err != nil {
		return errors.Join(fmt.Errorf("write the lab: %w", err), os.RemoveAll(dir))
	}
	return nil
}

func (l Lab) write(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	fill := strings.NewReplacer("@ID@", l.ID, "@TITLE@", strconv.Quote(l.Title), "@HEADING@", l.Title, "@NAMESPACE@", l.Namespace)
	sub, err := fs.Sub(template, "template")
	if err != nil {
		return err
	}
	return fs.WalkDir(sub, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case d.IsDir():
			return root.Mkdir(filepath.FromSlash(name), 0o755)
		}
		data, err := fs.ReadFile(sub, name)
		if err != nil {
			return err
		}
		return root.WriteFile(filepath.FromSlash(name), []byte(fill.Replace(string(data))), 0o644)
	})
}
