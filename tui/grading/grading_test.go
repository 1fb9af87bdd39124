package grading

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/record"
)

const evil = "\x1b]0;owned\x07\x1b[2J\u202etxt"

var at = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// sample is a class: one with all points, one with a part whose record is hostile, one
// with none, one that the machine failed, one who handed nothing in, one that is being
// judged and one that waits.
type sample struct {
	mu      sync.Mutex
	seen    grade.Seen
	records map[string]result.Record
	looks   []func(*sample) // what happens before each look
}

func (s *sample) Look() (grade.Seen, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.looks) > 0 {
		s.looks[0](s)
		s.looks = s.looks[1:]
	}
	return s.seen, nil
}

func (s *sample) Record(id string) (result.Record, error) {
	r, ok := s.records[id]
	if !ok {
		return r, errors.New("no record of " + id)
	}
	return r, nil
}

func newSample() *sample {
	s := &sample{records: map[string]result.Record{}}
	add := func(id string, points int, status result.Status) {
		check := func(name string, passed bool, want checks.Expect, got checks.Kind) record.Check {
			return record.Check{
				ID: name, Title: "The clerk and " + name + evil, Phase: checks.After, From: "lobby/app=clerk", To: "http://" + name, Command: []string{"curl", "-m", "5", "http://" + name},
				Expect: want, Verdict: got, Passed: passed, Cause: checks.CauseOK, Why: []string{"spec.ingress[0] of " + evil + " allows it"},
				Evidence: checks.Evidence{Allow: []checks.PolicyName{{Kind: "NetworkPolicy", Namespace: "vault", Name: "open" + evil}}, Message: "curl: " + evil},
			}
		}
		denied := checks.Denied
		if points < 4 {
			denied = checks.Allowed
		}
		r := result.Record{
			Schema: result.RecordSchema, ID: id, Status: status, Points: points, Max: 4, TookMs: 2300,
			Tasks:      []result.Task{{ID: "2.1", Points: points, Max: 4, Pairs: []result.Pair{{Allow: "board", Deny: "keys", Points: points, Max: 4}}}},
			Submission: result.Submission{Digest: "sha256:" + id, At: at, Problems: []submission.Problem{{File: "file1.yaml", Line: 3, Message: "not YAML " + evil, Cure: "mend it"}}},
			Suspects:   []result.Suspect{{Task: "2.1", Object: "NetworkPolicy vault/x", Path: "spec.ingress[0].from", File: "file1.yaml", Line: 7, Mends: []string{"keys"}}},
			Run: record.Run{Tasks: []record.Task{{ID: "2.1", Hint: "Look at the selector." + evil, Policies: []record.Applied{{Kind: "NetworkPolicy", Namespace: "vault", Name: "x" + evil, File: "file1.yaml"}}, Checks: []record.Check{
				check("board", true, checks.ExpectAllowed, checks.Allowed), check("keys", points == 4, checks.ExpectDenied, denied),
			}}}},
		}
		if status != result.Graded {
			r.Cause, r.Run.Tasks = "the cluster failed"+evil, nil
		}
		s.records[id] = r
	}
	add("s-all", 4, result.Graded)
	add("s-some", 2, result.Graded)
	add("s-none", 0, result.Graded)
	add("s-failed", 0, result.Failed)
	s.seen.People = &roster.People{Entries: []roster.Entry{
		{ID: "s-all", Key: "1", Members: []roster.Person{{ID: "1", Name: "Zoe Önal"}}},
		{ID: "s-some", Key: "2", Members: []roster.Person{{ID: "2", Name: "Ann" + evil}}, Files: map[string]string{"file1.yaml": "anns-policy.yaml"}},
		{ID: "s-none", Key: "3", Members: []roster.Person{{ID: "3", Name: "Bea"}}},
		{ID: "s-failed", Key: "4", Members: []roster.Person{{ID: "4", Name: "Cy"}}},
		{ID: "s-judging", Key: "5"}, {ID: "s-waits", Key: "6"}, {ID: "s-absent", Members: []roster.Person{{ID: "7", Name: "Dee"}}},
	}}
	s.seen.Waiting = []string{"s-judging", "s-waits"}
	s.seen.Now = &grade.Now{Done: 4, Total: 6, RemainingMs: 61_000, Judging: []grade.Turn{{ID: "s-judging", Since: at}}}
	s.classify()
	return s
}

// classify makes the class of the records anew.
func (s *sample) classify() {
	b := result.NewBuilder(result.Lab{ID: "02", Title: "Default deny" + evil}, "v1", 4, result.Weights{}, map[string]result.Override{"s-none": {Points: 1, Reason: "an appeal" + evil}})
	for _, r := range s.records {
		b.Add(r)
	}
	b.Absent("s-absent")
	s.seen.Class = b.Class()
}

func TestRows(t *testing.T) {
	s := newSample()
	for _, tt := range []struct {
		names bool
		by    Order
		want  string
	}{
		{false, ByWho, "s-absent s-all s-failed s-judging s-none s-some s-waits"},
		{true, ByWho, "s-judging s-waits s-some s-none s-failed s-absent s-all"}, // 5, 6, Ann, Bea, Cy, Dee, Zoe
		{false, ByPoints, "s-absent s-failed s-none s-some s-all s-judging s-waits"},
		{false, ByState, "s-judging s-failed s-none s-some s-absent s-waits s-all"},
	} {
		var got []string
		for _, r := range Rows(s.seen, tt.names, tt.by) {
			got = append(got, r.ID)
			if !tt.names && r.Who != r.ID {
				t.Errorf("%s is called %q", r.ID, r.Who)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("names %v, by %s: %v, want %s", tt.names, tt.by, got, tt.want)
		}
	}
	words := map[string]string{}
	for _, r := range Rows(s.seen, false, ByWho) {
		words[r.ID] = r.Points(4) + " " + r.Words(at.Add(12*time.Second))
	}
	for id, want := range map[string]string{
		"s-all":     "4/4 all points, 1 not applied",
		"s-some":    "2/4 part of the points, 1 of 2 checks failed, 1 not applied",
		"s-none":    "1/4 no points, 1 of 2 checks failed, 1 not applied; override: an appeal" + evil,
		"s-failed":  "0/4 failed: the cluster failed" + evil,
		"s-absent":  "0/4 nothing was handed in",
		"s-judging": "-/4 being judged for 12 s",
		"s-waits":   "-/4 waits",
	} {
		if words[id] != want {
			t.Errorf("%s: %q, want %q", id, words[id], want)
		}
	}
	if got := Summary(s.seen); got != "Mean 1.8 of 4. 1 with all points, 1 with a part, 1 with none, 1 not judged, 1 missing. Hardest: 2.1/keys, passed by 1 of 3." {
		t.Error(got)
	}
}

func TestStanding(t *testing.T) {
	s := newSample()
	if got := Standing(s.seen); got != "4 of 6 judged, about 1m1s left" {
		t.Error(got)
	}
	s.seen.Now = nil
	if got := Standing(s.seen); got != "4 of 6 judged, interrupted" {
		t.Error(got)
	}
	s.seen.Waiting = nil
	if got := Standing(s.seen); got != "4 judged, not signed" {
		t.Error(got)
	}
	s.seen.Signed = true
	if got := Standing(s.seen); got != "4 judged, signed" {
		t.Error(got)
	}
}

// told is what Tell writes of a submission.
func told(t *testing.T, s *sample, id string, names bool, check string) string {
	t.Helper()
	rows := Rows(s.seen, names, ByWho)
	sub, err := Into(s, s.seen, rows[slices.IndexFunc(rows, func(r Row) bool { return r.ID == id })], names)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	found, err := Tell(&out, sub, 4, check)
	if err != nil {
		t.Fatal(err)
	}
	if found != (check != "none") {
		t.Errorf("check %q: found %v", check, found)
	}
	return out.String()
}

// What a verdict rests on is told, by pseudonyms unless names are wanted, and nothing of
// it is obeyed.
func TestTell(t *testing.T) {
	s := newSample()
	text := told(t, s, "s-some", false, "")
	for _, want := range []string{
		"s-some\n", "2/4: part of the points", "passed 2.1/board: allowed, as expected", "FAILED 2.1/keys: allowed (ok), expected denied",
		"probe      in lobby/app=clerk: curl -m 5 http://keys", "because    a rule of NetworkPolicy vault/open", "why        spec.ingress[0]",
		"file1.yaml:3: not YAML", "(cure: mend it)", "spec.ingress[0].from of NetworkPolicy vault/x", "handed in  2026-11-20T12:00:00Z",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.ContainsAny(text, "\x1b\x07\u202e") {
		t.Errorf("a terminal would obey %q", text)
	}
	if strings.Contains(text, "Ann") || strings.Contains(text, "anns-policy") {
		t.Errorf("a name is told:\n%s", text)
	}
	if text = told(t, s, "s-some", true, ""); !strings.Contains(text, "Ann") || !strings.Contains(text, "anns-policy.yaml:3: not YAML") {
		t.Errorf("no name is told:\n%s", text)
	}
	if text = told(t, s, "s-some", false, "board"); !strings.HasPrefix(text, "2.1/board: allowed, as expected\n") || strings.Contains(text, "keys") {
		t.Errorf("of one check: %s", text)
	}
	for _, id := range []string{"s-waits", "s-absent", "s-failed"} {
		if text = told(t, s, id, false, ""); !strings.HasPrefix(text, id+"\n") {
			t.Errorf("%s: %s", id, text)
		}
	}
	told(t, s, "s-some", false, "none")
}

// The conversation tells the class, a submission, and what is judged meanwhile.
func TestTalk(t *testing.T) {
	s := newSample()
	s.looks = []func(*sample){
		func(*sample) {}, // the first
		func(*sample) {}, // after follow was typed
		func(s *sample) {
			r := s.records["s-all"]
			r.ID, r.Submission.Digest = "s-judging", "sha256:new"
			s.records["s-judging"] = r
			s.seen.Waiting, s.seen.Now = []string{"s-waits"}, &grade.Now{Done: 5, Total: 6}
			s.classify()
		},
		func(s *sample) { s.seen.Now, s.seen.Waiting, s.seen.Signed = nil, nil, true },
	}
	script := "follow\nlist all points\nshow s-some\nshow Ann\ncheck 2 keys\nnames\ncheck ann" + evil + "\nnonsense" + evil + "\nfollow\nshow nobody\nhelp\nquit\nlist\n"
	var out bytes.Buffer
	c := &talk{from: s, out: &out, lines: reader(script), now: func() time.Time { return at }, every: time.Millisecond}
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{
		"The grading of lab 02, Default deny", "4 of 6 judged, about 1m1s left.",
		"s-judging: 4/4, all points, 1 not applied.", "The run has ended. 5 judged, signed.",
		"2. s-all: 4/4, all points", "FAILED 2.1/keys: allowed (ok), expected denied", `Nobody is called "Ann"`,
		"Names are told from now on.", "2.1/keys: allowed (ok), expected denied", "There is no command", "No run goes on.", `Nobody is called "nobody"`, "tells who has what",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.ContainsAny(text, "\x1b\x07\u202e") {
		t.Errorf("a terminal would obey %q", text)
	}
	if n := strings.Count(text, "\nCommand: s-judging: 4/4") + strings.Count(text, "\ns-judging: 4/4"); n != 1 {
		t.Errorf("what was judged is told %d times", n)
	}
	if strings.Count(text, "Command: ") != 12 {
		t.Errorf("%d questions after which it was left:\n%s", strings.Count(text, "Command: "), text)
	}
}

// It ends with its input, and with ctx also while it waits for an answer.
func TestTalkEnds(t *testing.T) {
	if err := Talk(context.Background(), newSample(), strings.NewReader("list"), io.Discard, false); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	silent, typing := io.Pipe()
	defer typing.Close()
	gone := errors.New("gone")
	ended := make(chan error, 1)
	go func() { ended <- Talk(ctx, newSample(), silent, io.Discard, false) }()
	cancel(gone)
	if err := <-ended; !errors.Is(err, gone) {
		t.Errorf("it ended with %v", err)
	}
}

func reader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }
