// Package evidence keeps the results of a grading run so that nobody can change
// them unseen: a file a record, a log that chains the records' digests, and a
// signature over the log. It knows records as bytes only.
//
//	log.jsonl        the log: a JSON object a line, each with the digest of the line before
//	log.jsonl.sig    the signature over log.jsonl, as ssh-keygen -Y sign makes it
//	records/ID.json  a record a submission, whose digest the log has
package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Names of the files of a results folder.
const (
	LogFile    = "log.jsonl"
	SigFile    = "log.jsonl.sig"
	RecordsDir = "records"
)

// Kind says what an entry of the log is.
type Kind string

// Kinds of entries.
const (
	Begun      Kind = "begun"      // the first: what is graded
	Graded     Kind = "graded"     // a record was written; of several of one ID the last counts
	Weighed    Kind = "weighed"    // how points become marks; the last counts
	Overridden Kind = "overridden" // somebody gave other points, with a reason
	Forgotten  Kind = "forgotten"  // a record was removed
)

// Entry is a line of the log.
type Entry struct {
	N    int       `json:"n"`    // from 0
	Prev string    `json:"prev"` // sha256:HEX of the line before without its line end; "" in the first
	At   time.Time `json:"at"`
	Kind Kind      `json:"kind"`
	ID   string    `json:"id,omitempty"` // whose; "" for all
	// Digest is sha256:HEX of the record's file.
	Digest string          `json:"digest,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
}

// Digest is sha256:HEX of data.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// BrokenError is evidence that is not as it was written.
type BrokenError struct {
	File    string
	Line    int // of the log; 0 where it is about the whole file
	Message string
}

func (e *BrokenError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
	}
	return e.File + ": " + e.Message
}

// Cure says what is left to do.
func (e *BrokenError) Cure() string {
	return "these results prove nothing as they are: take them from a copy that verifies, or grade again into another folder"
}

// parseLog reads a log and follows its chain. Torn is how many bytes at the end are
// no whole line, which a kill leaves.
func parseLog(data []byte) (entries []Entry, head string, torn int, err error) {
	whole := bytes.LastIndexByte(data, '\n') + 1
	torn = len(data) - whole
	for i, line := range bytes.Split(data[:whole], []byte("\n")) {
		if len(line) == 0 {
			if i == bytes.Count(data[:whole], []byte("\n")) {
				break // after the last line end
			}
			return nil, "", 0, &BrokenError{LogFile, i + 1, "the line is empty"}
		}
		var e Entry
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&e); err != nil {
			return nil, "", 0, &BrokenError{LogFile, i + 1, "it is no entry: " + err.Error()}
		}
		switch {
		case e.N != i:
			return nil, "", 0, &BrokenError{LogFile, i + 1, fmt.Sprintf("entry %d stands where entry %d should", e.N, i)}
		case e.Prev != head:
			return nil, "", 0, &BrokenError{LogFile, i + 1, "the entry before it is not the one that was there when it was written"}
		}
		entries = append(entries, e)
		head = Digest(line)
	}
	return entries, head, torn, nil
}
