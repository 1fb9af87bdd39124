// Package individual gives each person a lab of their own: of the words that a lab's
// files have, some are replaced by others, which a seed chooses. The files stay what
// they are without a seed, so they are applied, read and checked as they stand. It
// knows texts and words, and nothing of labs.
package individual

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind is what a word is, which says where in a text it is meant.
type Kind string

// Kinds of words.
const (
	// Name is a word of its own, in lower case, or with a capital at its beginning.
	Name Kind = "name"
	// Label is a label, KEY=VALUE: also as KEY: VALUE, with or without quotes.
	Label Kind = "label"
	// Port is a number of its own.
	Port Kind = "port"
	// Address is an IP address, or a range in CIDR notation.
	Address Kind = "address"
)

// Word is one that is replaced. Of a label Old and New are KEY=VALUE.
type Word struct {
	Kind     Kind
	Old, New string
}

// Draw chooses, for a seed, n of the pool without repetition. What it chooses depends
// on the seed, the salt and the order of the pool alone, and is the same in every
// version of netdojo: it is a shuffle after Fisher and Yates, with SHA-256 in counter
// mode for its numbers. n is at most the length of the pool.
func Draw(seed, salt string, pool []string, n int) []string {
	left := slices.Clone(pool)
	for i := range n {
		sum := sha256.Sum256(fmt.Appendf(nil, "netdojo/individual/v1\n%q\n%q\n%d", seed, salt, i))
		// A pool has some dozen words: the bias of the remainder is below 2^-58.
		at := i + int(binary.BigEndian.Uint64(sum[:])%uint64(len(left)-i))
		left[i], left[at] = left[at], left[i]
	}
	return left[:n]
}

// Replacer replaces words in texts. It is safe for concurrent use.
type Replacer struct {
	pattern *regexp.Regexp // nil where there is no word
	words   map[string]Word
}

// NewReplacer replaces the words, each wherever it is meant, and all in one pass: what
// was put in is not replaced again. Names of files stay.
func NewReplacer(words []Word) *Replacer {
	r := &Replacer{words: map[string]Word{}}
	var patterns []string
	for _, w := range words {
		for _, form := range w.forms() {
			r.words[form.Old] = form
			patterns = append(patterns, form.pattern())
		}
	}
	// The longest first: of two words that begin alike it is the one that is meant.
	slices.SortStableFunc(patterns, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	if len(patterns) > 0 {
		r.pattern = regexp.MustCompile(strings.Join(patterns, "|"))
	}
	return r
}

// forms are the spellings in which a word is replaced.
func (w Word) forms() []Word {
	if w.Kind != Name {
		return []Word{w}
	}
	return []Word{w, {w.Kind, capital(w.Old), capital(w.New)}}
}

func capital(word string) string {
	first, size := utf8.DecodeRuneInString(word)
	return string(unicode.ToUpper(first)) + word[size:]
}

// labelForm is a label in a text: KEY: VALUE, KEY=VALUE, "KEY": "VALUE".
const labelForm = `["']?[ \t]*[:=][ \t]*["']?`

func (w Word) pattern() string {
	if w.Kind != Label {
		return regexp.QuoteMeta(w.Old)
	}
	key, value := SplitLabel(w.Old)
	return regexp.QuoteMeta(key) + labelForm + regexp.QuoteMeta(value)
}

// SplitLabel is the key and the value of a label KEY=VALUE.
func SplitLabel(label string) (key, value string) {
	key, value, _ = strings.Cut(label, "=")
	return key, value
}

// Text is a text with other words in it.
func (r *Replacer) Text(text []byte) []byte {
	var out []byte
	done := 0
	r.each(text, func(start, end int, w Word) {
		out = append(out, text[done:start]...)
		if w.Kind == Label { // what stands between key and value stays
			_, old := SplitLabel(w.Old)
			key, value := SplitLabel(w.New)
			oldKey, _ := SplitLabel(w.Old)
			out = append(out, key...)
			out = append(out, text[start+len(oldKey):end-len(old)]...)
			out = append(out, value...)
		} else {
			out = append(out, w.New...)
		}
		done = end
	})
	if done == 0 {
		return text
	}
	return append(out, text[done:]...)
}

// Count adds up how often each word, by its Old, is in a text.
func (r *Replacer) Count(text []byte, counts map[string]int) {
	r.each(text, func(_, _ int, w Word) {
		old := w.Old
		if _, plain := counts[old]; !plain && w.Kind == Name {
			old = strings.ToLower(old[:1]) + old[1:]
		}
		counts[old]++
	})
}

// each finds the words of a text in their order.
func (r *Replacer) each(text []byte, found func(start, end int, w Word)) {
	if r.pattern == nil {
		return
	}
	for at := 0; at < len(text); {
		loc := r.pattern.FindIndex(text[at:])
		if loc == nil {
			return
		}
		start, end := at+loc[0], at+loc[1]
		w, ok := r.wordAt(text[start:end])
		if ok && bounded(text, start, end, w.Kind) && !r.inFile(text, start, end) {
			found(start, end, w)
			at = end
			continue
		}
		at = start + 1
	}
}

// wordAt is the word that a match is of.
func (r *Replacer) wordAt(match []byte) (Word, bool) {
	if w, ok := r.words[string(match)]; ok {
		return w, true
	}
	// A label: what stands between key and value differs from text to text.
	at := bytes.IndexAny(match, ":=")
	if at < 0 {
		return Word{}, false
	}
	w, ok := r.words[string(bytes.TrimRight(match[:at], " \t\"'"))+"="+string(bytes.TrimLeft(match[at+1:], " \t\"'"))]
	return w, ok
}

// bounded says whether what stands before and after a match leaves it a word of its own.
func bounded(text []byte, start, end int, kind Kind) bool {
	before, after, then := at(text, start-1), at(text, end), at(text, end+1)
	switch kind {
	case Port:
		// 8080 is in SERVE_PORT_8080 and in 8080-8090, and not in 8.10.8080 or 8080.1.
		return !isWord(before) && before != '.' && !isWord(after) && (after != '.' || !isWord(then))
	case Address:
		return !isWord(before) && before != '.' && before != ':' && !isWord(after) && (after != '.' || !isWord(then)) && after != '/'
	case Label:
		return !isWord(before) && before != '-' && before != '_' && !prefixed(text, start) && !isWord(after) && after != '-' && after != '_' && (after != '.' || !isWord(then))
	}
	return !isWord(before) && before != '-' && before != '_' && !isWord(after) && after != '-' && after != '_'
}

// namespaceLabels is what Cilium puts before the keys of a namespace's labels.
const namespaceLabels = "namespace.labels."

// prefixed says whether a label's key is the end of a longer one, as in example.com/KEY
// and my.KEY. In NAMESPACE/KEY=VALUE, which netdojo explain takes, it is not, nor where
// it is Cilium's name for a namespace's label.
func prefixed(text []byte, key int) bool {
	switch at(text, key-1) {
	case '.':
		return !bytes.HasSuffix(text[:key], []byte(namespaceLabels))
	case '/':
		for i := key - 2; isWord(at(text, i)) || at(text, i) == '-' || at(text, i) == '.'; i-- {
			if text[i] == '.' {
				return true
			}
		}
	}
	return false
}

// at is a byte of a text; 0 beyond its ends.
func at(text []byte, i int) byte {
	if i < 0 || i >= len(text) {
		return 0
	}
	return text[i]
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

// endings are those of files, by which their names are known. Which files there are
// does not matter: a lab and the part of it that is given away have the same words.
var endings = []string{".yaml", ".yml", ".md", ".json", ".sh", ".txt"}

// inFile says whether a match is within the name of a file.
func (r *Replacer) inFile(text []byte, start, end int) bool {
	part := func(c byte) bool { return isWord(c) || c != 0 && strings.IndexByte("-_./", c) >= 0 }
	for start > 0 && part(text[start-1]) {
		start--
	}
	for end < len(text) && part(text[end]) {
		end++
	}
	name := strings.TrimRight(string(text[start:end]), ".")
	return slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(name, e) })
}
