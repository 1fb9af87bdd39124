// Package saved is the file in which a lab is taken elsewhere: what is on the cluster,
// the learner's files and progress. It is one JSON document with the digest of its own
// content, and holds no secrets. Whoever opens one may have been given it by anybody:
// what is read is bounded, and names of files stay inside one folder.
package saved

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/netdojo/netdojo/labs/progress"
	"github.com/netdojo/netdojo/manifests/object"
)

// Schema names the file's shape. One of another shape is not read.
const Schema = "netdojo.dev/saved/v1"

// SchemaExam is the shape of a file that was saved in an exam: its progress has the
// exam, and its lab's digest is that of the pack. It is what is handed in.
const SchemaExam = "netdojo.dev/saved/v2"

const schemaPrefix = "netdojo.dev/saved/"

// Bounds of a file.
const (
	MaxSize    = 16 << 20 // of the whole
	MaxFile    = 1 << 20
	MaxFiles   = 200
	MaxObjects = 500
)

// File is what a saved file holds.
type File struct {
	Schema  string    `json:"schema"`
	Netdojo string    `json:"netdojo"` // the version that wrote it
	Saved   time.Time `json:"saved"`
	Lab     Lab       `json:"lab"`
	// Seed is what the lab's names were made from; "" for a lab that is the same for all.
	Seed     string `json:"seed,omitempty"`
	Provider string `json:"provider,omitempty"` // of the cluster that it was saved from
	Datapath string `json:"datapath,omitempty"`
	// Progress is absent where there was none. It has the exam in which the file was saved.
	Progress *progress.Lab `json:"progress,omitempty"`
	// Objects are the policies of the lab's namespaces, and what of the lab's workloads
	// can be changed, as Kubernetes objects.
	Objects []map[string]any `json:"objects"`
	Files   []Text           `json:"files"`
	// Digest is that of all else, in the form sha256:HEX.
	Digest string `json:"digest"`
}

// Exam is the exam in which the file was saved, nil where it was in none.
func (f File) Exam() *progress.Exam {
	if f.Progress == nil {
		return nil
	}
	return f.Progress.Exam
}

// shape is the schema that the file's content has.
func (f File) shape() string {
	if f.Exam() != nil {
		return SchemaExam
	}
	return Schema
}

// Lab is the lab as it was when it was saved.
type Lab struct {
	ID     string `json:"id"`
	Digest string `json:"digest"`
}

// Text is a file of the learner's, below their folder, with slashes.
type Text struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Error is a file that is not opened.
type Error struct{ Message, Advice string }

func (e *Error) Error() string { return e.Message }

// Cure says what to do about it.
func (e *Error) Cure() string { return e.Advice }

// digest is that of the content without it.
func (f File) digest() (string, error) {
	f.Digest = ""
	data, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("encode the saved file: %w", err)
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// Encode is the file's text, with its digest.
func (f File) Encode() ([]byte, error) {
	f.Schema, f.Saved = f.shape(), f.Saved.UTC().Truncate(time.Second)
	var err error
	if f.Digest, err = f.digest(); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(f); err != nil {
		return nil, fmt.Errorf("encode the saved file: %w", err)
	}
	if out.Len() > MaxSize {
		return nil, &Error{fmt.Sprintf("the file would have more than %d MiB", MaxSize>>20), "save fewer files"}
	}
	return out.Bytes(), nil
}

// Decode reads a file's text. The error is an *Error: no saved file, one of another
// shape, one that was changed, or one with names that lead elsewhere.
func Decode(data []byte) (File, error) {
	var f File
	var head struct {
		Schema  string `json:"schema"`
		Netdojo string `json:"netdojo"`
	}
	if err := json.Unmarshal(data, &head); err != nil && bytes.Contains(data, []byte(schemaPrefix)) {
		return f, changed(err)
	} else if err != nil || !strings.HasPrefix(head.Schema, schemaPrefix) {
		return f, &Error{"it is no file that netdojo save wrote", "give one that it did"}
	}
	if head.Schema != Schema && head.Schema != SchemaExam {
		return f, &Error{
			fmt.Sprintf("it is of another netdojo, %s, and of the form %s", head.Netdojo, head.Schema),
			fmt.Sprintf("open it with netdojo %s", head.Netdojo),
		}
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(&f); err != nil {
		return f, changed(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return f, changed(errors.New("something follows its end"))
	}
	want, err := f.digest()
	if err != nil {
		return f, err
	}
	if f.Digest != want {
		return f, changed(errors.New("its digest is another"))
	}
	for _, o := range f.Objects {
		if err := numbers(o); err != nil {
			return f, changed(err)
		}
	}
	return f, f.check()
}

func changed(err error) error {
	return &Error{fmt.Sprintf("it was changed since it was saved: %v", err), "take it again from whom you have it, or save it again"}
}

// numbers makes of JSON's numbers those that objects have, everywhere in a value.
func numbers(v any) error {
	replace := func(v any) (any, error) {
		n, ok := v.(json.Number)
		if !ok {
			return v, numbers(v)
		}
		if i, err := n.Int64(); err == nil {
			return i, nil
		}
		return n.Float64()
	}
	var err error
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			if v[key], err = replace(below); err != nil {
				return err
			}
		}
	case []any:
		for i, below := range v {
			if v[i], err = replace(below); err != nil {
				return err
			}
		}
	}
	return nil
}

// check says what of a file is beyond its bounds or leads elsewhere.
func (f File) check() error {
	if len(f.Files) > MaxFiles || len(f.Objects) > MaxObjects {
		return &Error{
			fmt.Sprintf("it holds %d files and %d objects", len(f.Files), len(f.Objects)),
			fmt.Sprintf("netdojo takes at most %d and %d", MaxFiles, MaxObjects),
		}
	}
	seen := map[string]bool{}
	for _, t := range f.Files {
		switch {
		case !ValidName(t.Name) || seen[strings.ToLower(t.Name)]:
			return &Error{fmt.Sprintf("the name %q of a file in it leads elsewhere, or comes twice", t.Name), "do not open it; ask whom you have it from"}
		case len(t.Text) > MaxFile:
			return &Error{fmt.Sprintf("the file %s in it has more than %d MiB", t.Name, MaxFile>>20), "leave it out"}
		}
		seen[strings.ToLower(t.Name)] = true
	}
	return nil
}

// ValidName says whether a name is that of a file below one folder on every system,
// and not hidden there.
func ValidName(name string) bool {
	if !fs.ValidPath(name) || name == "." || !filepath.IsLocal(filepath.FromSlash(name)) || len(name) > 200 || strings.ContainsAny(name, `\:*?"<>|`) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// texts are the endings of files that are saved.
var texts = []string{".yaml", ".yml", ".json", ".md", ".txt", ".sh"}

// Gather reads a learner's folder. Left are the names of files that are not taken:
// those that are no text, hold a Secret or a kubeconfig, or are too long.
func Gather(fsys fs.FS) (files []Text, left []string, err error) {
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() || !slices.Contains(texts, strings.ToLower(path.Ext(name))):
			return nil
		case len(files) >= MaxFiles:
			left = append(left, name)
			return fs.SkipAll
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil || !ValidName(name) || len(data) > MaxFile || !utf8.Valid(data) || isSecret(name, data) {
			left = append(left, name)
			return nil
		}
		files = append(files, Text{Name: name, Text: string(data)})
		return nil
	})
	return files, left, err
}

// isSecret says whether a file holds what is nobody else's business.
func isSecret(name string, data []byte) bool {
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) || bytes.Contains(data, []byte("client-key-data:")) {
		return true
	}
	objects, err := object.Parse(name, data)
	if err != nil { // half-written YAML is a learner's too
		return bytes.Contains(data, []byte("kind: Secret"))
	}
	return slices.ContainsFunc(objects, func(o object.Object) bool { return Private(o.Object) })
}

// Private says whether an object is not saved, whatever it is named.
func Private(o map[string]any) bool {
	kind, _ := o["kind"].(string)
	return kind == "Secret" || kind == "Config"
}
