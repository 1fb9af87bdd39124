package labs

import (
	"path"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Place is where in a lab's folder something is declared. Line and Column count
// from 1; 0 means that the whole file is meant.
type Place struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String is FILE, FILE:LINE or FILE:LINE:COLUMN.
func (p Place) String() string {
	return Problem{File: p.File, Line: p.Line, Column: p.Column}.Position()
}

// PathOf is a file of the lab as people find it: in the folder that the lab was
// opened from, and for one of the catalogue below its id.
func (l *Lab) PathOf(file string) string {
	if l.Dir == "" {
		return path.Join(l.ID, file)
	}
	return filepath.Join(l.Dir, filepath.FromSlash(file))
}

// TaskPlace is where a task is declared.
func (l *Lab) TaskPlace(task string) Place { return l.placeOf(l.taskNode(task)) }

// CheckPlace is where a task's check is declared, for a cell of a matrix the
// matrix's check; else the task.
func (l *Lab) CheckPlace(task, check string) Place {
	t := l.taskNode(task)
	list := below(t, "checks")
	if n := entry(list, "id", check); n != nil {
		return l.placeOf(n)
	}
	if list != nil {
		for _, n := range list.Content {
			id := below(n, "id")
			if id != nil && below(n, "matrix") != nil && strings.HasPrefix(check, id.Value+".") {
				return l.placeOf(n)
			}
		}
	}
	return l.placeOf(t)
}

// UnnoticedPlace is where a task declares its change i that no check is to notice.
func (l *Lab) UnnoticedPlace(task string, i int) Place {
	if list := below(l.taskNode(task), "unnoticed"); list != nil && i < len(list.Content) {
		return l.placeOf(list.Content[i])
	}
	return l.TaskPlace(task)
}

// WrongPlace is where a wrong answer says how a check fails; else where the answer
// is declared.
func (l *Lab) WrongPlace(task, wrong, check string) Place {
	t := l.taskNode(task)
	w := entry(below(t, "wrong"), "name", wrong)
	if n := entry(below(w, "fails"), "check", check); n != nil {
		return l.placeOf(n)
	}
	if w != nil {
		return l.placeOf(w)
	}
	return l.placeOf(t)
}

// WrongFieldPlace is where a field of a wrong answer is; else where the answer is.
func (l *Lab) WrongFieldPlace(task, wrong, field string) Place {
	w := entry(below(l.taskNode(task), "wrong"), "name", wrong)
	if n := below(w, field); n != nil {
		return l.placeOf(n)
	}
	return l.WrongPlace(task, wrong, "")
}

func (l *Lab) placeOf(n *yaml.Node) Place {
	p := Place{File: l.PathOf(FileName)}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	return p
}

func (l *Lab) taskNode(task string) *yaml.Node {
	if l.root == nil {
		return nil
	}
	return entry(below(l.root, "tasks"), "id", task)
}

// below is the value of a mapping's key; nil when it has none.
func below(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// entry is the mapping of a list whose key has a value; nil when there is none.
func entry(list *yaml.Node, key, value string) *yaml.Node {
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	for _, n := range list.Content {
		if v := below(n, key); v != nil && v.Value == value {
			return n
		}
	}
	return nil
}
