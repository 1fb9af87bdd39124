package keys

import (
	"fmt"
	"regexp"
	"strings"
)

// DefaultPrefix is the key that is netdojo's while a shell has the focus.
const DefaultPrefix = "ctrl+g"

// PrefixError is a spelling that names no key which can be the prefix.
type PrefixError struct{ Spelling string }

func (e *PrefixError) Error() string {
	return fmt.Sprintf("%q cannot be the prefix key", e.Spelling)
}

// Cure says what can.
func (e *PrefixError) Cure() string {
	return "name ctrl- or alt- with a letter, such as ctrl-b, or f1 to f12; terminals send Tab for ctrl-i and Enter for ctrl-m"
}

var prefixes = regexp.MustCompile(`^(ctrl\+[a-hj-ln-z]|alt\+[a-z]|f[1-9]|f1[0-2])$`)

// ParsePrefix reads a key as people spell it (ctrl-b, alt-x, f12) and gives it as
// a key press spells itself; "" is the default. Errors are *PrefixError.
func ParsePrefix(spelling string) (string, error) {
	if spelling == "" {
		return DefaultPrefix, nil
	}
	key := strings.ReplaceAll(strings.ToLower(spelling), "-", "+")
	key = strings.Replace(key, "^", "ctrl+", 1)
	if !prefixes.MatchString(key) {
		return "", &PrefixError{spelling}
	}
	return key, nil
}
