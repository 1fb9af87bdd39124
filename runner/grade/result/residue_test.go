package result

import (
	"fmt"
	"slices"
	"testing"
)

// What two or three share is a note; what one has, or many, is none.
func TestNotes(t *testing.T) {
	b := NewBuilder(Lab{}, "", 4, Weights{}, nil)
	for i := range 8 {
		r := Record{ID: fmt.Sprintf("s-%d", i), Status: Graded}
		trace := func(digest string, line int) {
			r.Submission.Traces = append(r.Submission.Traces, Trace{Kind: TraceComment, Digest: digest, File: "file1.yaml", Line: line})
		}
		trace(fmt.Sprintf("own %d", i), 1)
		if i < 2 {
			trace("two", 3)
			trace("two more", 4)
		}
		if i > 4 {
			trace("three", 0)
		}
		if i > 3 {
			trace("four", 9)
		}
		b.Add(r)
	}
	var got []string
	for _, n := range b.Class().Notes {
		got = append(got, fmt.Sprint(n.Submissions, " ", n.Text))
	}
	const same = "the same comment, which the lab does not have: "
	want := []string{
		"[s-0 s-1] " + same + "file1.yaml:3 of s-0, file1.yaml:3 of s-1; " + same + "file1.yaml:4 of s-0, file1.yaml:4 of s-1",
		"[s-5 s-6 s-7] " + same + "file1.yaml of s-5, file1.yaml of s-6, file1.yaml of s-7",
	}
	if !slices.Equal(got, want) {
		t.Errorf("notes are %q", got)
	}
}
