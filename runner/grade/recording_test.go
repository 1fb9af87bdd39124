package grade

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
)

// A recording is kept with its digest in the record; one that is missing or another is
// told, and it goes with its record.
func TestRecordings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	key, err := evidence.OwnKey(filepath.Join(t.TempDir(), "keys", "key"))
	if err != nil {
		t.Fatal(err)
	}
	onePair(t, dir, key)
	j := &judge{o: Options{Record: func(w io.Writer) (event.Listener, func() error) {
		return func(e event.Event) {
				_, _ = io.WriteString(w, e.(event.Notice).Text)
			}, func() error {
				_, err := io.WriteString(w, " end")
				return err
			}
	}}}
	stop := j.recording()
	j.listener(event.Notice{Text: "told"})
	tape := stop()
	if string(tape) != "told end" || j.listener != nil {
		t.Fatalf("recorded is %q", tape)
	}
	e := entered{record: result.Record{ID: "s-b"}, in: handed{lab: lab(t, "02")}}
	digest := e.finish(Outcome{Status: result.Graded, Tape: tape}).Recording
	if digest != evidence.Digest(tape) {
		t.Fatalf("the record has the recording %s", digest)
	}
	none := &judge{}
	if tape := none.recording()(); tape != nil || none.listener != nil || e.finish(Outcome{}).Recording != "" {
		t.Errorf("nothing is recorded as %q", tape)
	}
	people := &roster.People{Schema: "netdojo.dev/grade-people/v1", Entries: []roster.Entry{{ID: "s-a", Key: "a"}, {ID: "s-b", Key: "b"}}}
	err = Change(dir, key, func(f *evidence.Folder, _ *roster.People) error {
		return keep(f, people, dir, judged{record: result.Record{Schema: result.RecordSchema, ID: "s-b", Started: time.Now(), Recording: digest}, tape: tape})
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if tape, err := r.Recording("s-b"); err != nil || string(tape) != "told end" {
		t.Errorf("the recording is %q, %v", tape, err)
	}
	var asked *Error
	if _, err := r.Recording("s-a"); !errors.As(err, &asked) || asked.Cure() == "" {
		t.Errorf("one that was not made: %v", err)
	}
	check := func() (int, error) {
		t.Helper()
		entries, err := evidence.ReadLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		return VerifyRecordings(dir, evidence.Standing(entries))
	}
	if n, err := check(); err != nil || n != 1 {
		t.Errorf("%d recordings hold, %v", n, err)
	}
	file := filepath.Join(dir, "recordings", "s-b.cast")
	var broken *evidence.BrokenError
	if err := os.WriteFile(file, []byte("told end."), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := check(); !errors.As(err, &broken) || !strings.Contains(err.Error(), "recordings/s-b.cast: the recording is not") {
		t.Errorf("another: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := check(); !errors.As(err, &broken) || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("none: %v", err)
	}
	if err := os.WriteFile(file, tape, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Forget(dir, key, "s-b"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(file); err == nil {
		t.Error("it is there after its record was forgotten")
	}
	if n, err := check(); err != nil || n != 0 {
		t.Errorf("%d recordings are left, %v", n, err)
	}
	data, err := json.Marshal(result.Record{})
	if err != nil || strings.Contains(string(data), "recording") {
		t.Errorf("a record without one says %s, %v", data, err)
	}
}
