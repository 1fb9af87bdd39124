package grade

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/grade/result"
)

// Bounds of what is taken for residue.
const (
	leastComment = 16 // letters, of three words or more
	leastName    = 6
	mostTraces   = 50 // of a submission
)

// wordsOf are the words of the lab's own files in one text. What a learner writes in
// them tells nothing of where it is from.
func wordsOf(lab *labs.Lab) (string, error) {
	var all strings.Builder
	err := fs.WalkDir(lab.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(lab.FS, name)
		if err != nil {
			return fmt.Errorf("read %s of the lab: %w", name, err)
		}
		all.WriteString(plainWords(string(data)) + "\n")
		return nil
	})
	return all.String(), err
}

// plainWords is a text in lower case, with one blank between its words.
func plainWords(text string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune(" \t\r\n#-_./", r) }), " ")
}

// traces are comments and names of a submission that are its own: not of the lab, nor
// made of the lab's words. They are kept as digests, since people write what they like.
func traces(objects []object.Object, own string) []result.Trace {
	var out []result.Trace
	seen := map[string]bool{}
	add := func(kind, text, file string, line int) {
		sum := sha256.Sum256([]byte(kind + " " + text))
		t := result.Trace{Kind: kind, Digest: hex.EncodeToString(sum[:8]), File: file, Line: line}
		if !seen[t.Digest] && len(out) < mostTraces {
			seen[t.Digest] = true
			out = append(out, t)
		}
	}
	for _, o := range objects {
		comments(&o.Node, func(text string, line int) {
			text = plainWords(text)
			if len(text) >= leastComment && strings.Count(text, " ") >= 2 && !strings.Contains(own, text) {
				add(result.TraceComment, text, o.File, line)
			}
		})
		if name := o.GetName(); len(name) >= leastName && odd(name, own) {
			add(result.TraceName, name, o.File, o.Line)
		}
	}
	return out
}

// odd says whether a name has a word that is none of the lab's.
func odd(name, own string) bool {
	for word := range strings.FieldsSeq(plainWords(name)) {
		if !strings.Contains(own, word) {
			return true
		}
	}
	return false
}

// comments visits the comments of a document, a line at a time.
func comments(n *yaml.Node, visit func(text string, line int)) {
	for _, text := range []string{n.HeadComment, n.LineComment, n.FootComment} {
		for line := range strings.Lines(text) {
			visit(line, n.Line)
		}
	}
	for _, below := range n.Content {
		comments(below, visit)
	}
}
