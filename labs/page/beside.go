package page

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Beside is a file that stands beside a page.
type Beside struct {
	Name string // its slash-separated path below the page's folder
	Mode fs.FileMode
	Data []byte
}

// Bounds of what is looked at beside a page.
const (
	maxEntries = 10_000
	maxDepth   = 6
	maxBeside  = 32 << 20 // bytes
	maxInProse = 1 << 20  // of a file that no code names: no command needs it
)

// Find gives the files of the page's folder that the page names, or that one of those
// names: no others, since the folder may be anybody's home. Hidden ones are left out.
// Folders that the page's code names, or anything by a path, come with all that is in
// them; what other pages name does not.
func Find(folder fs.FS, p Page) ([]Beside, error) {
	names, err := list(folder)
	if err != nil {
		return nil, fmt.Errorf("look for what page %s names: %w", p.File, err)
	}
	var prose, code []string
	for _, s := range p.Steps {
		if s.Kind == Prose || s.Kind == Heading {
			prose = append(prose, s.Text)
		} else {
			code = append(code, s.Text, s.Name)
		}
	}
	var found []Beside
	size := 0
	taken := map[string]bool{}
	for len(prose) > 0 || len(code) > 0 {
		words, inCode := wordsOf(append(prose, code...)), wordsOf(code)
		prose, code = nil, nil
		for _, name := range names {
			if taken[name] || !isNamed(words, inCode, name) {
				continue
			}
			taken[name] = true
			info, err := fs.Stat(folder, name)
			if err != nil || !info.Mode().IsRegular() || info.Size() > maxInProse && !isNamed(inCode, inCode, name) {
				continue
			}
			if size += int(info.Size()); size > maxBeside {
				return nil, fmt.Errorf("the files that page %s names have more than %d MiB", p.File, maxBeside>>20)
			}
			data, err := fs.ReadFile(folder, name)
			if err != nil {
				return nil, fmt.Errorf("read what page %s names: %w", p.File, err)
			}
			found = append(found, Beside{Name: name, Mode: info.Mode().Perm(), Data: data})
			if !Is(name) {
				prose = append(prose, string(data)) // its words may mean anything
			}
		}
	}
	slices.SortFunc(found, func(a, b Beside) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

func list(folder fs.FS) ([]string, error) {
	var names []string
	entries := 0
	err := fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if d != nil && d.IsDir() && name != "." {
				return fs.SkipDir // what may not be read is not the page's
			}
			return err
		}
		entries++
		switch {
		case entries > maxEntries:
			return fs.SkipAll
		case name != "." && strings.HasPrefix(d.Name(), "."), d.IsDir() && strings.Count(name, "/") >= maxDepth:
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.Type().IsRegular():
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

var pathWord = regexp.MustCompile(`[\w./@+-]+`)

// wordsOf are the words of texts that may be paths, without ./ before and / after them.
func wordsOf(texts []string) map[string]bool {
	words := map[string]bool{}
	for _, text := range texts {
		for _, w := range pathWord.FindAllString(text, -1) {
			if w = strings.Trim(strings.TrimPrefix(w, "./"), "/"); w != "" {
				words[strings.TrimRight(w, ".")] = true
			}
		}
	}
	return words
}

// isNamed says whether words have a file's path, its name, or that of a folder that it
// is in: by its path, or by its name alone where that is code.
func isNamed(words, code map[string]bool, name string) bool {
	if words[name] || strings.Contains(path.Base(name), ".") && words[path.Base(name)] {
		return true
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if words[dir] && strings.Contains(dir, "/") || code[dir] && !common[dir] {
			return true
		}
	}
	return false
}

// common are words of prose that many folders are called.
var common = map[string]bool{"test": true, "tests": true, "docs": true, "src": true, "bin": true, "home": true, "work": true, "images": true, "the": true}
