package labs

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/labs/individual"
)

// Value is words of a lab's files that differ from person to person. One of names,
// labels, ports and addresses is given.
type Value struct {
	// Words of their own, such as the names of namespaces, workloads and Services; at the beginning of a sentence too.
	Names []string `yaml:"names,omitempty" jsonschema:"minItems=1,uniqueItems=true,pattern=^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"`
	// Labels as KEY=VALUE. They are found where key and value stand together, as KEY: VALUE or KEY=VALUE.
	Labels []string `yaml:"labels,omitempty" jsonschema:"minItems=1,uniqueItems=true,pattern=^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?=[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"`
	// Ports, or ranges of them such as 7000-7002, whose ports stay neighbours.
	Ports []string `yaml:"ports,omitempty" jsonschema:"minItems=1,uniqueItems=true,pattern=^[1-9][0-9]{0\\,4}(-[1-9][0-9]{0\\,4})?$"`
	// IP addresses, or ranges in CIDR notation.
	Addresses []string `yaml:"addresses,omitempty" jsonschema:"minItems=1,uniqueItems=true,minLength=3"`
	// What stands in their place, of which the seed chooses; of labels their values, of ranges of ports the first port. No file of the lab has it.
	From []string `yaml:"from" jsonschema:"required,minItems=2,uniqueItems=true"`
}

// maxSeed bounds a seed: it is somebody's number, login or name.
const maxSeed = 64

var seedForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9._@+-]*[a-z0-9])?$`)

// SeedError is a seed that a lab cannot be made individual by.
type SeedError struct{ Message, Advice string }

func (e *SeedError) Error() string { return e.Message }

// Cure says what to give instead.
func (e *SeedError) Cure() string { return e.Advice }

// Seed is a seed as it is kept: in lower case, without spaces around it. The error is a
// *SeedError.
func Seed(text string) (string, error) {
	seed := strings.ToLower(strings.TrimSpace(text))
	if len(seed) > maxSeed || !seedForm.MatchString(seed) {
		return "", &SeedError{
			fmt.Sprintf("%q is no seed", text),
			fmt.Sprintf("give a login, a number or an address of mail: up to %d letters, digits and .-_@+", maxSeed),
		}
	}
	return seed, nil
}

// Seeded is the lab with the words that a seed chooses, in all of its files; the lab
// itself for "" and for the seed that it has. What it expects does not vary. The error
// is a *SeedError, or an *InvalidError where the words make no lab.
func (l *Lab) Seeded(text string) (*Lab, error) {
	if text == "" {
		return l, nil
	}
	seed, err := Seed(text)
	if err != nil || seed == l.Seed {
		return l, err
	}
	if l.Seed != "" {
		return nil, &SeedError{
			fmt.Sprintf("lab %s is of seed %s, not of %s", l.ID, l.Seed, seed),
			"give the lab as its author keeps it, or leave the seed out",
		}
	}
	if len(l.Values) == 0 {
		return nil, &SeedError{
			fmt.Sprintf("lab %s is the same for all: it declares no values", l.ID),
			"leave the seed out; labs that differ from person to person: " + strings.Join(individualIDs(), ", "),
		}
	}
	made, err := Load(l.seededFS(seed))
	if err != nil {
		return nil, err
	}
	made.Dir, made.Begun = l.Dir, l.Begun
	return made, nil
}

// SeedMark stands between a lab's ID and its seed in the name of its folder. No ID has it.
const SeedMark = "-of-"

// Folder is what the learner's folder for the lab is called.
func (l *Lab) Folder() string {
	if l.Seed == "" {
		return l.ID
	}
	return l.ID + SeedMark + l.Seed
}

// individualIDs are the labs of the catalogue that a seed makes individual.
func individualIDs() []string {
	var ids []string
	all, err := Catalogue()
	if err != nil {
		return nil // the labs are embedded: they load, or no lab does
	}
	for _, l := range all {
		if len(l.Values) > 0 {
			ids = append(ids, l.ID)
		}
	}
	return ids
}

// seededFS is the lab's folder with the words of a seed.
func (l *Lab) seededFS(seed string) fs.FS {
	r := individual.NewReplacer(l.words(seed))
	return individual.Folder{FS: l.FS, Rewrite: func(name string, text []byte) ([]byte, error) {
		if name != FileName {
			return r.Text(text), nil
		}
		start, end := valuesBlock(text)
		line := "seed: " + strconv.Quote(seed) + "\n"
		blank := strings.Repeat("\n", max(0, bytes.Count(text[start:end], []byte("\n"))-1)) // so that places stay
		return slices.Concat(r.Text(text[:start]), []byte(line+blank), r.Text(text[end:])), nil
	}}
}

// words are those that a seed puts in place of the lab's. What a value gets depends on
// the lab's id and on the value alone.
func (l *Lab) words(seed string) []individual.Word {
	var words []individual.Word
	for _, v := range l.Values {
		kind, old := v.kind()
		if len(v.From) < len(old) || len(old) == 0 {
			continue // of which lint tells
		}
		for i, drawn := range individual.Draw(seed, l.ID+"/"+old[0], v.From, len(old)) {
			words = append(words, replacements(kind, old[i], drawn)...)
		}
	}
	return words
}

// replacements are the words that one becomes: several for a range of ports.
func replacements(kind individual.Kind, old, drawn string) []individual.Word {
	switch kind {
	case individual.Label:
		key, _ := individual.SplitLabel(old)
		return []individual.Word{{Kind: kind, Old: old, New: key + "=" + drawn}}
	case individual.Port:
		first, last, base := portRange(old)
		to, _ := strconv.Atoi(drawn)
		var words []individual.Word
		for port := first; port <= min(last, first+maxRange-1); port++ {
			words = append(words, individual.Word{Kind: kind, Old: strconv.Itoa(port), New: strconv.Itoa(to + port - base)})
		}
		return words
	}
	return []individual.Word{{Kind: kind, Old: old, New: drawn}}
}

// maxRange is how many ports a range has at most.
const maxRange = 100

// portRange are the ports of PORT or FIRST-LAST; base is the first.
func portRange(text string) (first, last, base int) {
	from, to, isRange := strings.Cut(text, "-")
	first, _ = strconv.Atoi(from) // the schema has seen to it that they are numbers
	if last = first; isRange {
		last, _ = strconv.Atoi(to)
	}
	return first, last, first
}

// kind is what a value's words are, and they themselves.
func (v Value) kind() (individual.Kind, []string) {
	switch {
	case len(v.Names) > 0:
		return individual.Name, v.Names
	case len(v.Labels) > 0:
		return individual.Label, v.Labels
	case len(v.Ports) > 0:
		return individual.Port, v.Ports
	}
	return individual.Address, v.Addresses
}

// field is the value's field that has its words.
func (v Value) field() string {
	kind, _ := v.kind()
	return map[individual.Kind]string{
		individual.Name: "names", individual.Label: "labels", individual.Port: "ports", individual.Address: "addresses",
	}[kind]
}

// valuesBlock is where in the text of lab.yaml its values are declared, as whole lines;
// start and end are the same where there are none.
func valuesBlock(text []byte) (start, end int) {
	root, problems := labFormat.parse(text)
	if len(problems) > 0 || root == nil || root.Kind != yaml.MappingNode {
		return 0, 0
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != "values" {
			continue
		}
		end = len(text)
		if i+2 < len(root.Content) {
			end = lineStart(text, root.Content[i+2].Line)
		}
		return lineStart(text, root.Content[i].Line), end
	}
	return 0, 0
}

// lineStart is where a line begins; lines count from 1.
func lineStart(text []byte, line int) int {
	at := 0
	for range line - 1 {
		next := bytes.IndexByte(text[at:], '\n')
		if next < 0 {
			return len(text)
		}
		at += next + 1
	}
	return at
}

// withoutValues is the text of lab.yaml as it is without a seed: what it declares of
// other seeds is not part of it.
func withoutValues(text []byte) []byte {
	if !bytes.Contains(text, []byte("values:")) {
		return text
	}
	start, end := valuesBlock(text)
	return slices.Concat(text[:start], text[end:])
}

// valueProblems are what is wrong with the values that a lab declares, as far as they
// can be judged without its files.
func (l *Lab) valueProblems(v *verifier) {
	if l.Seed != "" && len(l.Values) > 0 {
		v.add([]string{"seed"}, "stands beside values", "remove it: netdojo writes it where it has chosen the values")
	}
	drawn := map[string]string{} // where a word that may be chosen stands
	for i, value := range l.Values {
		at := func(steps ...string) []string { return append([]string{"values", itoa(i)}, steps...) }
		given := 0
		for _, words := range [][]string{value.Names, value.Labels, value.Ports, value.Addresses} {
			given += min(1, len(words))
		}
		if given != 1 {
			v.add(at(), fmt.Sprintf("has %d of names, labels, ports and addresses", given), "give one of them; declare a value for each kind")
			continue
		}
		kind, words := value.kind()
		if len(value.From) <= len(words) {
			v.add(at("from"), fmt.Sprintf("has %d choices for %d words", len(value.From), len(words)), "add choices: the fewer there are, the more people have the same")
		}
		for j, w := range words {
			if message, cure := wordProblem(kind, w); message != "" {
				v.add(at(value.field(), itoa(j)), message, cure)
			}
		}
		for j, choice := range value.From {
			message, cure := choiceProblem(kind, words, choice)
			if was, twice := drawn[choice]; twice && message == "" {
				message, cure = fmt.Sprintf("%q may be chosen twice: it is in %s too", choice, was), "give each value choices of its own"
			}
			if message != "" {
				v.add(at("from", itoa(j)), message, cure)
			}
			drawn[choice] = pathText(at("from"))
		}
		if kind == individual.Port {
			v.overlaps(value, at("from"))
		}
	}
}

// wordProblem says what is wrong with a word that is replaced; "" for nothing.
func wordProblem(kind individual.Kind, word string) (message, cure string) {
	switch kind {
	case individual.Port:
		if first, last, _ := portRange(word); first > last || last > 65535 || last-first >= maxRange {
			return fmt.Sprintf("%q is no range of ports", word), fmt.Sprintf("write FIRST-LAST, up to 65535, of at most %d", maxRange)
		}
	case individual.Address:
		if prefixOf(word) == (netip.Prefix{}) {
			return fmt.Sprintf("%q is no address", word), "write an IP address, or a range as 198.51.100.0/24"
		}
	}
	return "", ""
}

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
var labelValueForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// choiceProblem says what keeps a choice from standing in place of the words.
func choiceProblem(kind individual.Kind, words []string, choice string) (message, cure string) {
	switch kind {
	case individual.Name:
		if !nameForm.MatchString(choice) {
			return fmt.Sprintf("%q is no name", choice), "write lower case letters, digits and dashes, at most 63"
		}
	case individual.Label:
		if !labelValueForm.MatchString(choice) {
			return fmt.Sprintf("%q is no label's value", choice), "write the value alone, without its key"
		}
	case individual.Port:
		base, err := strconv.Atoi(choice)
		if err != nil || base < 1 || base+widest(words)-1 > 65535 {
			return fmt.Sprintf("%q is no port", choice), "write the number of the first port"
		}
	case individual.Address:
		p := prefixOf(choice)
		for _, w := range words {
			if was := prefixOf(w); p == (netip.Prefix{}) || p.Bits() != was.Bits() || p.Addr().Is4() != was.Addr().Is4() || strings.Contains(choice, "/") != strings.Contains(w, "/") {
				return fmt.Sprintf("%q is not of the form of %q", choice, w), "write an address of the same family, or a range of the same length"
			}
		}
	}
	return "", ""
}

// prefixOf is an address or a range; the zero prefix for what is neither.
func prefixOf(text string) netip.Prefix {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	if p, err := netip.ParsePrefix(text); err == nil && p == p.Masked() {
		return p
	}
	return netip.Prefix{}
}

// widest is how many ports the widest range has.
func widest(ports []string) int {
	most := 1
	for _, p := range ports {
		first, last, _ := portRange(p)
		most = max(most, min(last-first+1, maxRange))
	}
	return most
}

// overlaps tells of choices whose ports would be another's.
func (v *verifier) overlaps(value Value, loc []string) {
	width := widest(value.Ports)
	for i, a := range value.From {
		for _, b := range value.From[:i] {
			x, errX := strconv.Atoi(a)
			y, errY := strconv.Atoi(b)
			if errX == nil && errY == nil && x != y && max(x-y, y-x) < width {
				v.add(append(slices.Clone(loc), itoa(i)), fmt.Sprintf("the %d ports from %s reach into those from %s", width, a, b), "set them further apart")
			}
		}
	}
}
