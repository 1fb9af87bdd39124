package labs

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/internal/typo"
	"github.com/netdojo/netdojo/labs/individual"
)

// LintSeed is the seed that lint tries, and lab test beside none.
const LintSeed = "jane"

// lintValues finds values that no file has, choices that a file has already, and what
// is wrong with the lab by a seed that is not without one. plain are the problems
// that it has without.
func (l *Lab) lintValues(root *yaml.Node, plain []Problem) []Problem {
	v := &verifier{format: labFormat, fs: l.FS, root: root}
	v.problems = append(v.problems, templates(l.FS)...)
	if len(l.Values) == 0 {
		return v.problems
	}
	texts := l.texts()
	v.unusedValues(l.Values, texts)
	v.takenChoices(l.Values, texts)
	if len(v.problems) > 0 || len(plain) > 0 {
		return v.problems
	}
	made, _, problems := load(l.seededFS(LintSeed), format.read)
	if len(problems) == 0 {
		problems = Lint(made.FS)
	}
	if len(problems) == 0 {
		problems = made.varies(l)
	}
	for _, p := range problems {
		p.Message = "by seed " + LintSeed + ": " + p.Message
		p.Column = 0 // the words have other lengths
		v.problems = append(v.problems, p)
	}
	return v.problems
}

// texts are the lab's files, lab.yaml without its values.
func (l *Lab) texts() [][]byte {
	var texts [][]byte
	for _, name := range files(l.FS) {
		text, err := fs.ReadFile(l.FS, name)
		if err != nil {
			continue // of which lint tells where it is named
		}
		if name == FileName {
			text = withoutValues(text)
		}
		texts = append(texts, text)
	}
	return texts
}

// countWords is how often each word of the values is in the texts; of a range of ports,
// how often the port that is there least.
func countWords(words []individual.Word, texts [][]byte) map[string]int {
	counts := map[string]int{}
	for _, w := range words {
		counts[w.Old] = 0
	}
	r := individual.NewReplacer(words)
	for _, text := range texts {
		r.Count(text, counts)
	}
	return counts
}

// unusedValues tells of words that no file has.
func (v *verifier) unusedValues(values []Value, texts [][]byte) {
	var all []individual.Word
	for _, value := range values {
		kind, words := value.kind()
		for _, w := range words {
			all = append(all, replacements(kind, w, "1")...)
		}
	}
	counts := countWords(all, texts)
	for i, value := range values {
		kind, words := value.kind()
		for j, w := range words {
			for _, r := range replacements(kind, w, "1") {
				if counts[r.Old] > 0 {
					continue
				}
				cure := "write it as the files do, or remove it"
				if near := typo.Nearest(r.Old, tokens(texts, kind)); near != "" && (kind == individual.Name || kind == individual.Label) {
					cure = fmt.Sprintf("did you mean %q?", near)
				}
				v.add([]string{"values", itoa(i), value.field(), itoa(j)}, fmt.Sprintf("no file of the lab has the %s %q", kind, r.Old), cure)
				break
			}
		}
	}
}

// takenChoices tells of choices that a file has already: two things would be called
// the same.
func (v *verifier) takenChoices(values []Value, texts [][]byte) {
	var all []individual.Word
	of := func(kind individual.Kind, words []string, choice string) []individual.Word {
		var taken []individual.Word
		switch kind {
		case individual.Label:
			for _, w := range words {
				key, _ := individual.SplitLabel(w)
				taken = append(taken, individual.Word{Kind: kind, Old: key + "=" + choice, New: w})
			}
		case individual.Port:
			base, _ := strconv.Atoi(choice)
			for i := range widest(words) {
				taken = append(taken, individual.Word{Kind: kind, Old: strconv.Itoa(base + i), New: "1"})
			}
		default:
			taken = append(taken, individual.Word{Kind: kind, Old: choice, New: choice})
		}
		return taken
	}
	for _, value := range values {
		kind, words := value.kind()
		for _, choice := range value.From {
			all = append(all, of(kind, words, choice)...)
		}
	}
	counts := countWords(all, texts)
	for i, value := range values {
		kind, words := value.kind()
		for j, choice := range value.From {
			for _, taken := range of(kind, words, choice) {
				if counts[taken.Old] > 0 {
					v.add([]string{"values", itoa(i), "from", itoa(j)}, fmt.Sprintf("the lab's files have the %s %q already", kind, taken.Old), "choose another: two things would be called the same")
					break
				}
			}
		}
	}
}

var (
	wordToken  = regexp.MustCompile(`[A-Za-z0-9][A-Za-z0-9_-]*`)
	labelToken = regexp.MustCompile(`([A-Za-z0-9][A-Za-z0-9._/-]*)["']?[:=][ \t]*["']?([A-Za-z0-9][A-Za-z0-9_-]*)`)
)

// tokens are what in the texts could be names, or labels.
func tokens(texts [][]byte, kind individual.Kind) []string {
	seen := map[string]bool{}
	for _, text := range texts {
		if kind == individual.Label {
			for _, m := range labelToken.FindAllSubmatch(text, -1) {
				seen[string(m[1])+"="+string(m[2])] = true
			}
			continue
		}
		for _, m := range wordToken.FindAll(text, -1) {
			seen[string(m)] = true
		}
	}
	var all []string
	for t := range seen {
		all = append(all, t)
	}
	slices.Sort(all)
	return all
}

// template is a place for a value, as templates have them.
var template = regexp.MustCompile(`\{\{-?\s*\.?[A-Za-z][A-Za-z0-9_.]*\s*-?\}\}|\$\{[A-Za-z][A-Za-z0-9_]*\}`)

// templates tells of places for values in the files that are applied: nobody fills them.
func templates(fsys fs.FS) []Problem {
	var problems []Problem
	for _, name := range files(fsys) {
		if ext := path.Ext(name); ext != ".yaml" && ext != ".yml" || name == FileName {
			continue
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			continue
		}
		for i, line := range strings.Split(string(text), "\n") {
			if at := template.FindStringIndex(line); at != nil {
				problems = append(problems, Problem{
					File: name, Line: i + 1, Column: at[0] + 1, Message: fmt.Sprintf("the template %s names no value: files are applied as they stand", line[at[0]:at[1]]),
					Cure: "write the word that stands there without a seed, and declare it below values in " + FileName,
				})
			}
		}
	}
	return problems
}

// varies are the differences between the lab by a seed and without that no seed may
// make: what is expected, asked, earned and run is the same for all.
func (l *Lab) varies(from *Lab) []Problem {
	for i, t := range from.Tasks {
		var was, is []string
		for _, pair := range []struct {
			lab *Lab
			out *[]string
		}{{from, &was}, {l, &is}} {
			*pair.out = pair.lab.expectations(i)
		}
		for j := range was {
			if j >= len(is) || was[j] != is[j] {
				return []Problem{{
					File: FileName, Line: from.TaskPlace(t.ID).Line, Message: fmt.Sprintf("task %s expects other than without a seed: %s", t.ID, was[j]),
					Cure: "take the word that does so out of values",
				}}
			}
		}
	}
	return nil
}

// expectations are a task's, without the words that may vary.
func (l *Lab) expectations(task int) []string {
	if task >= len(l.Tasks) {
		return nil
	}
	t := l.Tasks[task]
	all := []string{"its id is " + t.ID, fmt.Sprintf("the lab is %s, %v, %v, exam %v", l.ID, l.Needs, l.World.Names, l.Exam != nil)}
	for i, c := range t.Checks {
		all = append(all, fmt.Sprintf("check %d, %s, is %s, then %s, status %d, by %T", i+1, c.ID, c.Before, c.After, c.Status, c.Probe.Probe))
	}
	for i, p := range t.Pairs {
		all = append(all, fmt.Sprintf("pair %d is worth %d", i+1, p.Worth()))
	}
	for i, w := range t.Wrong {
		for j, f := range w.Fails {
			all = append(all, fmt.Sprintf("wrong answer %d fails, as its %d., as %s %s %s", i+1, j+1, f.Verdict, f.Cause, f.By))
		}
	}
	for _, name := range slices.Concat(l.Workloads, t.Solution) {
		text, err := fs.ReadFile(l.FS, name)
		if err != nil {
			continue
		}
		for _, m := range imageLine.FindAll(text, -1) {
			all = append(all, name+" has "+strings.Join(strings.Fields(string(m)), " "))
		}
	}
	return all
}

var imageLine = regexp.MustCompile(`(?m)^[ \t-]*(image|kind|apiVersion|protocol):.*$`)
