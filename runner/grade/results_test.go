package grade

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/rubric"
)

// Another rubric weighs what was seen anew, and is signed with it; a rubric for another
// lab changes nothing.
func TestRescore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	key, err := evidence.OwnKey(filepath.Join(t.TempDir(), "keys", "key"))
	if err != nil {
		t.Fatal(err)
	}
	onePair(t, dir, key)
	points := func() (float64, int) {
		t.Helper()
		r, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := evidence.Verify(dir, []ssh.PublicKey{key.PublicKey()}); err != nil {
			t.Fatal(err)
		}
		return r.Class.Marks[0].Points, r.Class.Marks[0].Max
	}
	if got, most := points(); got != 1 || most != 2 {
		t.Fatalf("%v of %d points", got, most)
	}
	rescore := func(text string) error {
		t.Helper()
		by, err := rubric.Parse("r.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return Rescore(dir, key, result.Weights{}, by, "", nil)
	}
	if err := rescore("pairs:\n- {allow: a, deny: c, points: 5}\n"); err != nil {
		t.Fatal(err)
	}
	if got, most := points(); got != 5 || most != 6 {
		t.Errorf("by the rubric %v of %d points", got, most)
	}
	entries := func() int {
		all, err := evidence.ReadLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	was := entries()
	if err := rescore("pairs:\n- {allow: a, deny: c, points: 5}\n"); err != nil || entries() != was {
		t.Errorf("the same rubric is logged again (%v)", err)
	}
	if err := rescore("pairs:\n- {allow: a, deny: z, points: 5}\n"); err == nil || !strings.Contains(err.Error(), "r.yaml:2: the lab has no pair of a and z") || entries() != was {
		t.Errorf("another lab's rubric: %v", err)
	}
	if err := Rescore(dir, key, result.Weights{}, nil, "", nil); err != nil {
		t.Fatal(err)
	}
	if got, most := points(); got != 1 || most != 2 {
		t.Errorf("without a rubric %v of %d points", got, most)
	}
}

// onePair writes results with one submission that earned one pair of two.
func onePair(t *testing.T, dir string, key ssh.Signer) {
	t.Helper()
	r := result.Record{
		Schema: result.RecordSchema, ID: "s-a", Status: result.Graded, Points: 1, Max: 2,
		Tasks: []result.Task{{ID: "1", Points: 1, Max: 2, Pairs: []result.Pair{{Allow: "a", Deny: "b", Max: 1}, {Allow: "a", Deny: "c", Points: 1, Max: 1}}}},
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := evidence.Open(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := folder.Append(evidence.Begun, "", time.Now(), begun{Lab: result.Lab{ID: "x"}, Max: 2}); err != nil {
		t.Fatal(err)
	}
	if err := folder.Put("s-a", data, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := folder.Sign(key); err != nil {
		t.Fatal(err)
	}
}
