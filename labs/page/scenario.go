package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// ScenarioFile makes a scenario of a folder: Killercoda's index, and Katacoda's before it.
const ScenarioFile = "index.json"

// Scenario is a piece of training material in several pages that are done in one shell,
// one after another.
type Scenario struct {
	Title string
	Pages []Page
	Texts [][]byte // of each page
	// Files are what the scenario puts into the work folder: its assets, and the scripts
	// that it runs there.
	Files []Beside
}

// index is what is read of a scenario's file, https://killercoda.com/creators. Code and
// courseData are Katacoda's words for foreground and background.
type index struct {
	Title   string `json:"title"`
	Details struct {
		Intro  part              `json:"intro"`
		Steps  []part            `json:"steps"`
		Finish part              `json:"finish"`
		Assets map[string][]file `json:"assets"`
	} `json:"details"`
}

type part struct {
	Title      string `json:"title"`
	Text       string `json:"text"`
	Verify     string `json:"verify"`
	Foreground string `json:"foreground"`
	Background string `json:"background"`
	Code       string `json:"code"`
	CourseData string `json:"courseData"`
}

type file struct {
	File   string `json:"file"`
	Target string `json:"target"`
	Chmod  string `json:"chmod"`
}

// IsScenario says whether a folder is a scenario: its index names pages.
func IsScenario(folder fs.FS) bool {
	src, err := fs.ReadFile(folder, ScenarioFile)
	if err != nil {
		return false
	}
	var x index
	// A broken index is one all the same: reading it tells what is wrong.
	if json.Unmarshal(src, &x) != nil {
		return bytes.Contains(src, []byte(`"details"`))
	}
	return len(x.Details.Steps) > 0 || x.Details.Intro.Text != ""
}

// ReadScenario understands the scenario in a folder, whose name is what the pages' files
// begin with. Of each part the background script is run first and to its end, then the
// foreground's, then the page's commands, and at last the script that verifies them,
// whose success is a claim. Commands are numbered through all pages. The error is an
// *InvalidError, or that of a file which cannot be read.
func ReadScenario(folder fs.FS, name string) (Scenario, error) {
	at := path.Join(name, ScenarioFile)
	src, err := fs.ReadFile(folder, ScenarioFile)
	if err != nil {
		return Scenario{}, fmt.Errorf("read the scenario: %w", err)
	}
	if err := check(at, src); err != nil {
		return Scenario{}, err
	}
	x, err := readIndex(at, bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")))
	if err != nil {
		return Scenario{}, err
	}
	r := scenarioReader{folder: folder, name: name, s: Scenario{Title: x.Title}}
	d := x.Details
	for _, p := range slices.Concat([]part{d.Intro}, d.Steps, []part{d.Finish}) {
		if err := r.part(p); err != nil {
			return Scenario{}, err
		}
	}
	if len(r.s.Pages) == 0 {
		return Scenario{}, &InvalidError{File: at, Message: "names no page", Advice: `name its pages: {"details": {"steps": [{"title": "First", "text": "step1.md"}]}}`}
	}
	if err := r.assets(d.Assets["host01"]); err != nil {
		return Scenario{}, err
	}
	return r.s, nil
}

func readIndex(at string, src []byte) (index, error) {
	var x index
	err := json.Unmarshal(src, &x)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return x, &InvalidError{File: at, Line: lineAt(src, int(syntax.Offset)-1), Message: "is not JSON: " + syntax.Error(), Advice: "correct it there"}
	case errors.As(err, &kind):
		return x, &InvalidError{
			File: at, Line: lineAt(src, int(kind.Offset)-1),
			Message: fmt.Sprintf("%s is a %s, and has to be of kind %s", kind.Field, kind.Value, kind.Type.Kind()), Advice: "correct it there",
		}
	case err != nil:
		return x, &InvalidError{File: at, Message: err.Error(), Advice: "correct it"}
	}
	return x, nil
}

type scenarioReader struct {
	folder   fs.FS
	name     string
	s        Scenario
	commands int // so far
}

// part adds a page, with the scripts around it.
func (r *scenarioReader) part(p part) error {
	if p.Text == "" {
		return nil
	}
	src, err := r.read(p.Text, "a page")
	if err != nil {
		return err
	}
	folder, err := fs.Sub(r.folder, path.Dir(path.Clean(p.Text)))
	if err != nil {
		return err
	}
	pg, err := Read(path.Join(r.name, p.Text), src, func(name string) ([]byte, error) { return fs.ReadFile(folder, path.Clean(name)) })
	if err != nil {
		return err
	}
	if p.Title != "" {
		pg.Title = p.Title
	}
	var before []Step
	for _, script := range []string{p.Background, p.CourseData, p.Foreground, p.Code} {
		if script == "" {
			continue
		}
		st, err := r.script(script, 1, "the scenario runs it before the page is read")
		if err != nil {
			return err
		}
		before = append(before, st)
	}
	pg.Steps = append(before, pg.Steps...)
	if p.Verify != "" {
		end := bytes.Count(bytes.TrimRight(src, "\n"), []byte("\n")) + 1
		st, err := r.script(p.Verify, end, "the scenario lets nobody go on before it succeeds")
		if err != nil {
			return err
		}
		st.Commands[0].Claims = []Claim{{Line: end, Kind: Succeeds, Says: p.Verify, From: Hidden}}
		pg.Steps = append(pg.Steps, st)
	}
	r.number(&pg)
	r.s.Pages, r.s.Texts = append(r.s.Pages, pg), append(r.s.Texts, src)
	return nil
}

// script is a step that runs one of the scenario's scripts, which comes into the work
// folder with it.
func (r *scenarioReader) script(name string, line int, why string) (Step, error) {
	src, err := r.read(name, "a script")
	if err != nil {
		return Step{}, err
	}
	name = path.Clean(name)
	if !slices.ContainsFunc(r.s.Files, func(f Beside) bool { return f.Name == name }) {
		r.s.Files = append(r.s.Files, Beside{Name: name, Mode: 0o755, Data: bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))})
	}
	return Step{
		Kind: Hidden, Line: line, End: line, Lang: "sh", Text: string(src), Why: why, Name: name,
		Commands: []Command{{Line: line, Text: "bash ~/" + name}},
	}, nil
}

func (r *scenarioReader) read(name, what string) ([]byte, error) {
	bad := func(why string) error {
		return &InvalidError{File: path.Join(r.name, ScenarioFile), Message: fmt.Sprintf("names %s that %s: %s", what, why, name), Advice: "correct the path; it is relative to the scenario's folder"}
	}
	if !fs.ValidPath(path.Clean(name)) {
		return nil, bad("is not in its folder")
	}
	src, err := fs.ReadFile(r.folder, path.Clean(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, bad("is not there")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of the scenario: %w", what, err)
	}
	return src, nil
}

// number lets the page's commands count on from those of the pages before.
func (r *scenarioReader) number(pg *Page) {
	old := map[int]int{} // a command's number on its page → in the scenario
	for i := range pg.Steps {
		for j := range pg.Steps[i].Commands {
			c := &pg.Steps[i].Commands[j]
			r.commands++
			if c.Number != 0 {
				old[c.Number] = r.commands
			}
			c.Number = r.commands
		}
	}
	for i := range pg.Steps {
		for j := range pg.Steps[i].Commands {
			for k := range pg.Steps[i].Commands[j].Claims {
				if c := &pg.Steps[i].Commands[j].Claims[k]; c.Since != 0 {
					c.Since = old[c.Since]
				}
			}
		}
	}
}

// assets brings the files of the folder assets to where the scenario wants them. What is
// for a folder that no page may write to comes into the work folder, with a note.
func (r *scenarioReader) assets(wanted []file) error {
	if len(wanted) == 0 {
		return nil
	}
	folder, err := fs.Sub(r.folder, "assets")
	if err != nil {
		return err
	}
	names, err := list(folder)
	if err != nil {
		return fmt.Errorf("look for the scenario's assets: %w", err)
	}
	size := 0
	for _, w := range wanted {
		target, inside := workFolder(w.Target)
		found := false
		for _, name := range names {
			if !matches(w.File, name) {
				continue
			}
			found = true
			data, err := fs.ReadFile(folder, name)
			if err != nil {
				return fmt.Errorf("read an asset of the scenario: %w", err)
			}
			if size += len(data); size > maxBeside {
				return &InvalidError{File: path.Join(r.name, ScenarioFile), Message: fmt.Sprintf("has assets of more than %d MiB", maxBeside>>20), Advice: "leave out what no command needs"}
			}
			b := Beside{Name: path.Join(target, name), Mode: 0o644, Data: data}
			if strings.Contains(w.Chmod, "x") || strings.HasPrefix(w.Chmod, "7") || strings.HasPrefix(w.Chmod, "07") {
				b.Mode = 0o755
			}
			r.s.Files = append(slices.DeleteFunc(r.s.Files, func(f Beside) bool { return f.Name == b.Name }), b)
		}
		switch {
		case !found:
			r.note("no asset is called " + w.File)
		case !inside:
			r.note(fmt.Sprintf("assets for %s are in the work folder", w.Target))
		}
	}
	return nil
}

func (r *scenarioReader) note(text string) {
	first := &r.s.Pages[0]
	first.Notes = append(first.Notes, Note{Line: 1, Text: text})
}

// workFolder is a target's path below the work folder, which stands for root's home.
func workFolder(target string) (string, bool) {
	target = path.Clean("/" + target)
	for _, home := range []string{"/root", "/~"} {
		if rest, ok := strings.CutPrefix(target, home); ok && (rest == "" || rest[0] == '/') {
			return strings.TrimPrefix(rest, "/"), true
		}
	}
	return "", false
}

// matches says whether a pattern of assets means a file: * is any name, ** any folders.
func matches(pattern, name string) bool {
	pattern = strings.TrimPrefix(strings.TrimPrefix(pattern, "assets/"), "./")
	if rest, ok := strings.CutPrefix(pattern, "**/"); ok {
		pattern, name = rest, path.Base(name)
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil || pattern == "*" || pattern == "**"
}
