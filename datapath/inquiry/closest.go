package inquiry

import (
	"slices"

	"github.com/agnivade/levenshtein"
)

// closest is the candidate that a mistyped word was perhaps meant to be: a few
// letters away at the most, a third of them in a short word. Empty when none is.
func closest(word string, candidates []string) string {
	best, least := "", min(3, max(1, len(word)/3))+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if c == word {
			continue
		}
		d := levenshtein.ComputeDistance(word, c)
		if d == 2 && letters(word) == letters(c) {
			d = 1 // two letters in the wrong order are one slip
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

func letters(word string) string {
	r := []rune(word)
	slices.Sort(r)
	return string(r)
}
