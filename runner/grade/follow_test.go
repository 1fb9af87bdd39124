package grade

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
	"github.com/netdojo/netdojo/runner/record"
)

// A run that goes on is seen as it stands, and so is what is left of it.
func TestFollow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	key, err := evidence.OwnKey(filepath.Join(t.TempDir(), "keys", "key"))
	if err != nil {
		t.Fatal(err)
	}
	f := Follow(dir)
	var none *evidence.NoneError
	if _, err := f.Look(); !errors.As(err, &none) {
		t.Fatalf("of nothing: %v", err)
	}
	folder, err := evidence.Open(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	people := &roster.People{Schema: "netdojo.dev/grade-people/v1", Entries: []roster.Entry{{ID: "s-a", Key: "ann"}, {ID: "s-b", Key: "bea"}, {ID: "s-c", Members: []roster.Person{{ID: "c"}}}}}
	if err := people.Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := folder.Append(evidence.Begun, "", time.Now(), begun{Lab: result.Lab{ID: "x"}, Max: 2}); err != nil {
		t.Fatal(err)
	}
	b := &bulletin{dir: dir, log: slog.New(slog.DiscardHandler)}
	put := func(id string, points int) {
		t.Helper()
		r := result.Record{Schema: result.RecordSchema, ID: id, Status: result.Graded, Points: points, Max: 2, Run: record.Run{Tasks: []record.Task{{ID: "1", Checks: []record.Check{
			{ID: "a", Phase: checks.Before}, {ID: "a", Phase: checks.After, Passed: points > 1, Verdict: checks.Denied, Evidence: checks.Evidence{Message: "m"}},
		}}}}}
		data, err := json.Marshal(r)
		if err == nil {
			err = folder.Put(id, data, time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	look := func() (s Seen, marks string) {
		t.Helper()
		s, err := f.Look()
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, m := range s.Class.Marks {
			all = append(all, m.Submission+"="+string(m.Status)+string(rune('0'+int(m.Points))))
		}
		return s, strings.Join(all, " ")
	}
	b.take(Started{Total: 2})
	b.take(Judging{"s-a"})
	s, marks := look()
	if marks != "s-c=missing0" || !slices.Equal(s.Waiting, []string{"s-a", "s-b"}) || s.Signed || s.Now == nil || s.Now.Total != 2 || len(s.Now.Judging) != 1 || s.Now.Judging[0].ID != "s-a" {
		t.Fatalf("at the beginning %s, %+v", marks, s)
	}
	put("s-a", 1)
	b.take(Judged{Record: result.Record{ID: "s-a"}, Done: 1, Total: 2, Remaining: time.Minute})
	s, marks = look()
	if marks != "s-a=graded1 s-c=missing0" || !slices.Equal(s.Waiting, []string{"s-b"}) || s.Now.Done != 1 || s.Now.RemainingMs != 60_000 || len(s.Now.Judging) != 0 {
		t.Fatalf("after one %s, %+v", marks, s)
	}
	if again, _ := look(); &again.Class.Marks[0] != &s.Class.Marks[0] {
		t.Error("what did not change is read again")
	}
	if len(f.known["s-a"].Run.Tasks[0].Checks) != 1 || f.known["s-a"].Run.Tasks[0].Checks[0].Evidence.Message != "" {
		t.Error("evidence is kept in memory")
	}
	// A record that is judged anew is not its log's for a moment.
	if err := os.WriteFile(filepath.Join(dir, "records", "s-a.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.known, f.stamp = map[string]noted{}, ""
	if _, again := look(); again != marks {
		t.Errorf("in between %s", again)
	}
	put("s-a", 2)
	put("s-b", 2)
	if _, marks = look(); marks != "s-a=graded2 s-b=graded2 s-c=missing0" {
		t.Errorf("judged anew %s", marks)
	}
	if r, err := f.Record("s-b"); err != nil || len(r.Run.Tasks[0].Checks) != 2 {
		t.Errorf("the record is %+v, %v", r, err)
	}
	if err := folder.Sign(key); err != nil {
		t.Fatal(err)
	}
	b.keep(context.Background())()
	if err := folder.Close(); err != nil {
		t.Fatal(err)
	}
	if s, _ = look(); !s.Signed || s.Now != nil || len(s.Waiting) != 0 {
		t.Errorf("at the end %+v", s)
	}
	// Without the map there are pseudonyms alone.
	if err := os.Remove(filepath.Join(dir, roster.MapFile)); err != nil {
		t.Fatal(err)
	}
	if s, marks = look(); marks != "s-a=graded2 s-b=graded2" || len(s.People.Entries) != 0 {
		t.Errorf("without the map %s, %+v", marks, s.People)
	}
	// What nobody writes has to fit together.
	if err := os.WriteFile(filepath.Join(dir, "records", "s-a.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	var broken *evidence.BrokenError
	if _, err := Follow(dir).Look(); !errors.As(err, &broken) {
		t.Errorf("an altered record: %v", err)
	}
}

// What a run is at, and nothing else, is read from a file that anybody may have put there,
// or that a kill has left.
func TestReadNow(t *testing.T) {
	dir, at := t.TempDir(), time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]bool{
		"": false, "null": false, "[]": false, `{"schema":"other"}`: false, `{"schema":"netdojo.dev/grade-now/v1","judging":5}`: false,
		`{"schema":"netdojo.dev/grade-now/v1","at":"2026-11-20T11:59:45Z"}`: true, `{"schema":"netdojo.dev/grade-now/v1","at":"2026-11-20T11:59:15Z"}`: false,
	} {
		if err := os.WriteFile(filepath.Join(dir, NowFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := readNow(dir, at); (n != nil) != want {
			t.Errorf("%q is %+v", text, n)
		}
	}
}

// The file says again and again that the run goes on, and is gone when that has ended.
func TestBulletinGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := &bulletin{dir: dir, log: slog.New(slog.DiscardHandler)}
		b.take(Judging{"s-a"})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		remove := b.keep(ctx)
		b.take(Started{Total: 3, Kept: 1})
		b.take(Judging{"s-b"})
		time.Sleep(10 * staleTime)
		synctest.Wait()
		if n := readNow(dir, time.Now()); n == nil || n.Done != 1 || n.Total != 3 || len(n.Judging) != 1 || n.Judging[0].ID != "s-b" {
			t.Errorf("after a while %+v", n)
		}
		remove()
		if _, err := os.Lstat(filepath.Join(dir, NowFile)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("at the end %v", err)
		}
	})
}
