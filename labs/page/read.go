package page

import (
	"bytes"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// RST is the dialect that is no Markdown.
const RST = "reStructuredText"

// MaxSize is how many bytes a page may have.
const MaxSize = 4 << 20

// InvalidError is a file that is no page.
type InvalidError struct {
	File    string
	Line    int // 0 where the whole file is meant
	Message string
	Advice  string
}

func (e *InvalidError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
}

// Cure says what to do about it.
func (e *InvalidError) Cure() string { return e.Advice }

// Is says whether a file of that name is read as a page.
func Is(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".md", ".markdown", ".mdx", ".rst":
		return true
	}
	return false
}

// Read understands a page. Open gives the content of pages that it includes, by the
// name that it has for them; nil includes none. The error is an *InvalidError.
func Read(file string, src []byte, open func(name string) ([]byte, error)) (Page, error) {
	if err := check(file, src); err != nil {
		return Page{}, err
	}
	src = bytes.ReplaceAll(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")), []byte("\r\n"), []byte("\n"))
	p := Page{Schema: Schema, File: file}
	if strings.EqualFold(path.Ext(file), ".rst") {
		r := &rst{subs: map[string]string{}, told: map[string]bool{}, open: open}
		p.Dialect, p.Steps = RST, r.read(numberLines(src))
		p.Notes = r.notes
		understand(&p)
		return p, nil
	}
	front, body := frontMatter(src)
	p.Title = front["title"]
	d := dialectOf(file, body)
	p.Dialect = d.name
	body, notes := d.prepare(body, front)
	p.Notes = notes
	p.Steps = markdown(body)
	if n := openFence(body); n > 0 {
		p.Notes = append(p.Notes, Note{Line: n, Text: "this fence is never closed: what follows is read as its content"})
	}
	understand(&p)
	return p, nil
}

// TooLarge is the error of a file that is larger than a page may be.
func TooLarge(file string) *InvalidError {
	return &InvalidError{File: file, Message: fmt.Sprintf("is larger than the %d MiB that a page may have", MaxSize>>20), Advice: "split it"}
}

// check refuses what is no text.
func check(file string, src []byte) error {
	bad := func(line int, message, advice string) error {
		return &InvalidError{File: file, Line: line, Message: message, Advice: advice}
	}
	if len(src) > MaxSize {
		return TooLarge(file)
	}
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(src, []byte(mark)) {
			return bad(1, "is UTF-16", "convert it: iconv -f UTF-16 -t UTF-8")
		}
	}
	if i := bytes.IndexByte(src, 0); i >= 0 {
		return bad(lineAt(src, i), "holds a NUL byte, so it is no text", "remove it, or convert the file to UTF-8")
	}
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n == 1 {
			return bad(lineAt(src, i), "is not UTF-8", "convert it, such as: iconv -f ISO-8859-1 -t UTF-8")
		}
		i += n
	}
	return nil
}

// lineAt is the line of an offset, from 1.
func lineAt(src []byte, offset int) int {
	return 1 + bytes.Count(src[:min(offset, len(src))], []byte("\n"))
}

// frontMatter reads the strings at a page's top and blanks their lines, so that all
// others keep their numbers.
func frontMatter(src []byte) (map[string]string, []byte) {
	front := map[string]string{}
	lines := strings.Split(string(src), "\n")
	if len(lines) < 2 || strings.TrimSpace(lines[0]) != "---" {
		return front, src
	}
	for i := 1; i < len(lines); i++ {
		if strings.TrimSpace(lines[i]) == "---" {
			for j := range lines[:i+1] {
				lines[j] = ""
			}
			return front, []byte(strings.Join(lines, "\n"))
		}
		if key, value, ok := strings.Cut(lines[i], ":"); ok && !strings.HasPrefix(key, " ") {
			front[key] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return map[string]string{}, src
}
