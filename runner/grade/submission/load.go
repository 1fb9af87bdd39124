package submission

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/netdojo/netdojo/manifests/object"
)

// File is a manifest of a submission, or a script.
type File struct {
	// Name is file1.yaml, file2.yaml, ...: the order in which they are applied. What
	// a person called it may hold their own name.
	Name   string `json:"name"`
	Digest string `json:"digest"` // sha256:HEX of the file as it was handed in
	Size   int    `json:"size"`
}

// Content is what a submission holds.
type Content struct {
	Files    []File
	Objects  []object.Object // of Files, in their order
	Problems []Problem
	// Saved are files that netdojo save wrote, as they were handed in: whoever knows the
	// lab reads them. They are among Files, and none of their objects among Objects.
	Saved []Saved
	// Scripts are the scripts, where they are wanted, in the order of Files, of which they are.
	Scripts []Script
	// Given are the names that files were handed in by, by those that Files and
	// Problems have.
	Given map[string]string
	// Digest is sha256:HEX of the files' digests and of the problems: submissions of
	// the same content have the same.
	Digest string
	// Work are all Files by the names that they were handed in by, where there are Scripts.
	Work map[string][]byte
}

// Saved is a file that netdojo save wrote, as its first words say.
type Saved struct {
	Name string // as File has it
	Data []byte
}

// Script is a script of a submission. What it needs stands beside it: see Content.Work.
type Script struct {
	Name string // as File has it
	Data []byte
}

// isSaved says whether a file begins as those that netdojo save writes, also where its
// end is lost.
func isSaved(data []byte) bool {
	return bytes.Contains(Text(data[:min(len(data), 200)]), []byte(`"schema": "netdojo.dev/saved/`))
}

// Load reads the submission's manifests, and its scripts where they are wanted. What cannot be read or parsed is a problem
// and costs itself only. The error is ctx's.
func (s Submission) Load(ctx context.Context) (Content, error) {
	l := &loader{take: s.take}
	if l.take == nil {
		l.take = isManifest
	}
	for _, p := range s.parts {
		if ctx.Err() != nil {
			return Content{}, ctx.Err()
		}
		switch {
		case p.dir:
			l.folder(p.fsys, p.path, "", 0, false)
		default:
			l.file(p.fsys, p.path, p.as, false)
		}
	}
	return l.content(), ctx.Err()
}

type loader struct {
	take     taker
	found    []text
	size     int
	problems []Problem
	full     bool // a bound was met, which is told once
}

// text is a manifest as it was handed in.
type text struct {
	given string
	data  []byte
}

func (l *loader) problem(file, format string, args ...any) {
	if len(l.problems) < MaxFiles {
		l.problems = append(l.problems, Problem{File: file, Message: fmt.Sprintf(format, args...)})
	}
}

// folder reads a folder of fsys whose files are called below as. Packed says that it
// lies in an archive of the submission.
func (l *loader) folder(fsys fs.FS, dir, as string, depth int, packed bool) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		l.problem(as, "it cannot be read: %s", reason(err))
		return
	}
	if depth > maxDepth {
		l.problem(as, "its folders are deeper than %d", maxDepth)
		return
	}
	for _, e := range entries {
		name, shown := path.Join(dir, e.Name()), path.Join(as, e.Name())
		switch {
		case l.full:
			return
		case hidden(e.Name()):
		case e.IsDir():
			l.folder(fsys, name, shown, depth+1, packed)
		case !e.Type().IsRegular():
			l.problem(shown, "it is %s, which is not followed", kind(e.Type()))
		default:
			l.file(fsys, name, shown, packed)
		}
	}
}

// file reads a manifest or an archive of them.
func (l *loader) file(fsys fs.FS, name, shown string, packed bool) {
	archive := isArchive(name)
	if !archive && !l.take(name) {
		what := "it is no manifest: only .yaml, .yml and .json are read, and nothing is run"
		if l.take(".sh") {
			what = "it is neither a manifest nor a script: only .yaml, .yml, .json and .sh are read"
		}
		l.problem(shown, "%s", what)
		return
	}
	if archive && packed {
		l.problem(shown, "an archive inside an archive is not opened")
		return
	}
	limit := mostOf(name)
	info, err := fs.Stat(fsys, name)
	if err == nil && info.Size() > limit {
		l.problem(shown, "it is longer than %d MiB", limit>>20)
		return
	}
	var data []byte
	if err == nil {
		data, err = fs.ReadFile(fsys, name)
	}
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it is longer than %d MiB", limit>>20)
	}
	if err != nil {
		l.problem(shown, "it cannot be read: %s", reason(err))
		return
	}
	if !archive {
		l.add(shown, data)
		return
	}
	inside, problems, err := unpack(name, data, l.take)
	if err != nil {
		l.problem(shown, "it cannot be unpacked: %v", err)
		return
	}
	for _, p := range problems {
		l.problem(path.Join(shown, p.File), "%s", p.Message)
	}
	l.folder(inside, ".", shown, 0, true)
}

func (l *loader) add(shown string, data []byte) {
	if len(l.found) >= MaxFiles || l.size+len(data) > MaxContent {
		l.full = true
		l.problem(shown, "it and what follows are not read: a submission holds up to %d manifests of %d MiB in all", MaxFiles, MaxContent>>20)
		return
	}
	if len(data) > MaxFile && !isSaved(data) {
		l.problem(shown, "it is longer than %d MiB", MaxFile>>20)
		return
	}
	l.size += len(data)
	if !validName(shown) {
		shown = strings.ToValidUTF8(shown, "\uFFFD")
	}
	l.found = append(l.found, text{shown, data})
}

// content numbers the files and parses them.
func (l *loader) content() Content {
	slices.SortStableFunc(l.found, func(a, b text) int { return strings.Compare(a.given, b.given) })
	c := Content{Given: map[string]string{}}
	sum := sha256.New()
	numbered := map[string]string{}
	for i, t := range l.found {
		digest := sha256.Sum256(t.data)
		f := File{
			Name:   fmt.Sprintf("file%d%s", i+1, strings.ToLower(path.Ext(t.given))),
			Digest: "sha256:" + hex.EncodeToString(digest[:]), Size: len(t.data),
		}
		c.Files = append(c.Files, f)
		numbered[t.given], c.Given[f.Name] = f.Name, t.given
		fmt.Fprintf(sum, "%s\n", f.Digest)
		if isScript(t.given) {
			c.Scripts = append(c.Scripts, Script{f.Name, t.data})
			continue
		}
		if isSaved(t.data) {
			c.Saved = append(c.Saved, Saved{f.Name, Text(t.data)})
			continue
		}
		objects, err := object.Parse(f.Name, Text(t.data))
		c.Objects = append(c.Objects, objects...)
		c.Problems = append(c.Problems, syntax(err)...)
	}
	if len(c.Scripts) > 0 {
		c.Work = map[string][]byte{}
		for _, t := range l.found {
			c.Work[t.given] = t.data
		}
	}
	for i, p := range l.problems {
		// The names that people gave to what is not read stay out of records.
		fmt.Fprintf(sum, "%q %q\n", p.File, p.Message)
		given := p.File
		if p.File = numbered[given]; p.File == "" && given != "" {
			p.File = fmt.Sprintf("other%d%s", i+1, known(given))
			c.Given[p.File] = given
		}
		c.Problems = append(c.Problems, p)
	}
	c.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return c
}

// known is the extension of a file that is refused where it says something.
func known(name string) string {
	ext := strings.ToLower(extension(name))
	if slices.Contains([]string{".yaml", ".yml", ".json", ".zip", ".tar", ".gz", ".tar.gz", ".tgz", ".sh", ".py", ".txt", ".md", ".pdf"}, ext) {
		return ext
	}
	return ""
}

// syntax makes problems of the joined errors of object.Parse.
func syntax(err error) []Problem {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var problems []Problem
		for _, e := range joined.Unwrap() {
			problems = append(problems, syntax(e)...)
		}
		return problems
	}
	var s *object.SyntaxError
	if errors.As(err, &s) {
		return []Problem{{File: s.File, Line: s.Line, Message: s.Message, Cure: s.Advice}}
	}
	if err != nil {
		return []Problem{{Message: err.Error()}}
	}
	return nil
}

// Text is a text file in UTF-8 without a byte order mark, which editors on Windows do
// not always write.
func Text(data []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return data[3:]
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		order = binary.BigEndian
	default:
		return data
	}
	var units []uint16
	for i := 2; i+1 < len(data); i += 2 {
		units = append(units, order.Uint16(data[i:]))
	}
	return []byte(string(utf16.Decode(units)))
}
