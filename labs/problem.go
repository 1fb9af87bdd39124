package labs

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a lab, where it is and how to mend it.
// Line and Column count from 1; 0 means that the whole file is meant.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Cure    string `json:"cure,omitempty"`
}

// Position is FILE, FILE:LINE or FILE:LINE:COLUMN.
func (p Problem) Position() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// String is the problem in one line, without its cure.
func (p Problem) String() string { return p.Position() + ": " + p.Message }

// InvalidError is a lab that cannot be loaded. Problems is never empty.
type InvalidError struct {
	Lab      string // its folder or id
	Problems []Problem
}

func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return fmt.Sprintf("lab %s: %s", e.Lab, strings.Join(lines, "\n"))
}

// Cure joins the cures of the problems, each once.
func (e *InvalidError) Cure() string {
	var cures []string
	seen := map[string]bool{}
	for _, p := range e.Problems {
		if p.Cure != "" && !seen[p.Cure] {
			seen[p.Cure] = true
			cures = append(cures, p.Cure)
		}
	}
	return strings.Join(cures, "\n")
}

// nearest is the known word that a mistyped one most likely means, or "". Two
// edits are forgiven, one in words of up to four letters.
func nearest(word string, known []string) string {
	best, bestDistance := "", 3
	if len(word) <= 4 {
		bestDistance = 2
	}
	for _, k := range known {
		if strings.EqualFold(k, word) {
			return k
		}
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
