package grade

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/runner/grade/evidence"
)

// RecordingsDir is the folder of a results folder that has the recordings of sessions,
// where they were wanted: ID.cast, asciicast v3. Records have their digests.
const RecordingsDir = "recordings"

// maxRecording is more than any recording of lines has.
const maxRecording = 16 << 20

func recordingName(id string) string { return RecordingsDir + "/" + id + ".cast" }

// recording begins the recording of a submission's sessions. The function that it returns
// ends it and returns it; nil for none.
func (j *judge) recording() (end func() []byte) {
	if j.o.Record == nil {
		return func() []byte { return nil }
	}
	var tape bytes.Buffer
	listen, stop := j.o.Record(&tape)
	j.listener = listen
	return func() []byte {
		j.listener = nil
		if err := stop(); err != nil {
			j.o.Log.Warn("a submission's session was not recorded", slog.Any("error", err))
			return nil
		}
		return tape.Bytes()
	}
}

// keepRecording writes a recording into a results folder; none takes away what is there.
func keepRecording(dir, id string, tape []byte) error {
	name := filepath.Join(dir, filepath.FromSlash(recordingName(id)))
	if len(tape) == 0 {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the recording of %s: %w", id, err)
		}
		return nil
	}
	if err := hostfile.MkdirAll(filepath.Dir(name)); err != nil {
		return err
	}
	return hostfile.WriteDurable(name, tape, 0o600)
}

// Recording is the recording of a submission's session. An error where there is none, or
// where it is not the one that was made.
func (r *Results) Recording(id string) ([]byte, error) {
	rec, err := r.Record(id)
	if err != nil {
		return nil, err
	}
	if rec.Recording == "" {
		return nil, &Error{Message: "the session of " + id + " was not recorded", Advice: "netdojo grade --recordings records; without a recording, replay builds the state again"}
	}
	data, err := hostfile.ReadIn(r.Dir, recordingName(id), maxRecording)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &evidence.BrokenError{File: recordingName(id), Message: "the recording is missing"}
	}
	if err == nil && evidence.Digest(data) != rec.Recording {
		err = &evidence.BrokenError{File: recordingName(id), Message: "the recording is not the one that was made"}
	}
	return data, err
}

// VerifyRecordings checks the recordings of verified records, by their pseudonyms, and
// says how many there are. One that is missing or not the one that was made is a
// *evidence.BrokenError.
func VerifyRecordings(dir string, records map[string]string) (n int, err error) {
	r := &Results{Dir: dir}
	for _, id := range slices.Sorted(maps.Keys(records)) {
		rec, err := r.Record(id)
		if err != nil {
			return n, err
		}
		if rec.Recording == "" {
			continue
		}
		if _, err := r.Recording(id); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
