package result

import (
	"fmt"
	"slices"
	"strings"
)

// Trace is something of a submission that neither the lab nor its task asks for, by
// which copies can be told. Its text is kept as a digest.
type Trace struct {
	Kind   string `json:"kind"`
	Digest string `json:"digest"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
}

// Kinds of traces.
const (
	TraceComment = "comment"
	TraceName    = "name"
)

// Note is what several submissions have in common that few have: something to look at,
// which costs nothing and proves nothing.
type Note struct {
	Submissions []string `json:"submissions"` // pseudonyms
	Text        string   `json:"text"`
}

// mostSharing is how many submissions may share a trace that is a note: what more have
// written, many come to by themselves.
func mostSharing(class int) int { return max(3, class/10) }

// noteTraces remembers a submission's traces.
func (b *Builder) noteTraces(id string, traces []Trace) {
	for _, t := range traces {
		b.traces[t.Digest] = append(b.traces[t.Digest], traceOf{id, t})
	}
}

type traceOf struct {
	id string
	Trace
}

// notes are the traces that several submissions share, and few. Those of the same
// submissions are one note.
func (b *Builder) notes() []Note {
	texts := map[string][]string{} // by the submissions
	var order []string
	for _, all := range b.traces {
		if len(all) < 2 || len(all) > mostSharing(len(b.class.Marks)) {
			continue
		}
		slices.SortFunc(all, func(a, b traceOf) int { return strings.Compare(a.id, b.id) })
		var ids, places []string
		for _, t := range all {
			ids, places = append(ids, t.id), append(places, fmt.Sprintf("%s of %s", place(t.Trace), t.id))
		}
		key := strings.Join(ids, " ")
		if texts[key] == nil {
			order = append(order, key)
		}
		texts[key] = append(texts[key], fmt.Sprintf("the same %s, which the lab does not have: %s", all[0].Kind, strings.Join(places, ", ")))
	}
	slices.Sort(order)
	notes := []Note{}
	for _, key := range order {
		slices.Sort(texts[key])
		notes = append(notes, Note{strings.Fields(key), strings.Join(texts[key], "; ")})
	}
	return notes
}

func place(t Trace) string {
	if t.Line == 0 {
		return t.File
	}
	return fmt.Sprintf("%s:%d", t.File, t.Line)
}
