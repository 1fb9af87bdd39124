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
