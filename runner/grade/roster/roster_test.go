package roster

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/runner/grade/submission"
)

const (
	plainList = "id;name;email;group;due\nann1;Änn Müller;ann@example.org;;2026-11-21 12:00\nbea2;Bea O'Neil;;red;\ncy3;Cy Dee;;red;\ndan4;Dan Fox;;;\ndan5;Dan Fox;;;\n"
	// As Moodle 4 exports it, with its byte order mark.
	moodleList = "\xef\xbb\xbfIdentifier,\"Full name\",\"Email address\",Status,Grade,\"Maximum Grade\",\"Grade can be changed\",\"Last modified (submission)\",\"Last modified (grade)\",\"Feedback comments\"\r\n" +
		"\"Participant 1234\",\"Änn Müller\",ann@example.org,\"Submitted for grading\",,\"10.00\",Yes,\"Thursday, 5 November 2026, 10:32 AM\",-,\r\n" +
		"\"Participant 99\",\"Bea O'Neil\",bea@example.org,\"No submission\",,\"10.00\",Yes,-,-,\r\n"
	// As Canvas exports it: the second line has the points, the last the test student.
	canvasList = "Student,ID,SIS User ID,SIS Login ID,Section,Lab 4 (4711)\r\n    Points Possible,,,,,10\r\n\"Müller, Änn\",77,m77,ann1,A,\r\n\"O'Neil, Bea\",78,m78,bea2,A,\r\n\"Student, Test\",90,,x,A,\r\n"
)

func list(t *testing.T, text string) *Roster {
	t.Helper()
	r, err := Parse("list.csv", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParse(t *testing.T) {
	r := list(t, plainList)
	if r.Kind != Plain || len(r.People) != 5 || r.People[0].Name != "Änn Müller" || r.People[1].Group != "red" {
		t.Errorf("%+v", r)
	}
	if want := time.Date(2026, 11, 21, 12, 0, 0, 0, time.Local); !r.People[0].Due.Equal(want) {
		t.Errorf("due %s", r.People[0].Due)
	}
	if r := list(t, moodleList); r.Kind != Moodle || len(r.People) != 2 || r.People[0].ID != "Participant 1234" || !r.People[0].Due.IsZero() {
		t.Errorf("%+v", r)
	}
	if r := list(t, canvasList); r.Kind != Canvas || len(r.People) != 3 || r.People[0].ID != "77" || r.People[0].Row != 1 || r.People[0].Name != "Müller, Änn" {
		t.Errorf("%+v", r)
	}
	for text, want := range map[string]string{
		"":                             "list.csv:1: it is empty",
		"name,email\nx,y\n":            "list.csv:1: it has no column id",
		"id\na\nb\nA\n":                `list.csv:4: the id "A" is also in line 2`,
		"id,due\na,tomorrow at noon\n": `list.csv:2: "tomorrow at noon" is no time`,
		"id,extra\na,15\nb,a lot\n":    `list.csv:3: "a lot" is no number of minutes`,
		"id,extra\na,-1\n":             `list.csv:2: "-1" is no number of minutes`,
	} {
		_, err := Parse("list.csv", []byte(text))
		var e *Error
		if !errors.As(err, &e) || err.Error() != want || e.Cure() == "" {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// The minutes that people were given in addition in an exam are known where the list
// tells of any; of people who hand in together the most counts.
func TestExtraMinutes(t *testing.T) {
	r := list(t, "id,group,extra\na,,15\nb,,\nc,red,5\nd,red,20\n")
	class := &submission.Class{Submissions: []submission.Submission{{Key: "a"}, {Key: "b"}, {Key: "c"}, {Key: "x"}}}
	p := &People{}
	p.Assign(class, r)
	got := map[string]int{}
	for id, minutes := range p.ExtraMinutes() {
		got[p.Of(id).Key] = minutes
	}
	if want := map[string]int{"a": 15, "b": 0, "c": 20}; !maps.Equal(got, want) {
		t.Errorf("extra minutes %v, want %v", got, want)
	}
	p = &People{}
	p.Assign(class, list(t, "id\na\n"))
	if got := p.ExtraMinutes(); got != nil {
		t.Errorf("a list that does not tell gives %v", got)
	}
}

// The seeds of people's labs are known by pseudonym, in lower case.
func TestSeeds(t *testing.T) {
	r := list(t, "id,group,seed\na,,Jane\nb,,\nc,red,x1\nd,red,x2\n")
	class := &submission.Class{Submissions: []submission.Submission{{Key: "a"}, {Key: "b"}, {Key: "c"}, {Key: "x"}}}
	p := &People{}
	p.Assign(class, r)
	got := map[string]string{}
	for id, seeds := range p.Seeds() {
		got[p.Of(id).Key] = strings.Join(seeds, " ")
	}
	if want := map[string]string{"a": "jane", "c": "x1 x2"}; !maps.Equal(got, want) {
		t.Errorf("seeds %v, want %v", got, want)
	}
	var bad *Error
	if _, err := Parse("people.csv", []byte("id,seed\na,x\nb,a b\n")); !errors.As(err, &bad) || bad.Line != 3 || bad.Cure() == "" {
		t.Errorf("a seed with a space: %v", err)
	}
}

func TestFind(t *testing.T) {
	tests := []struct {
		list, key, name, want string
	}{
		{plainList, "ann1", "", "ann1"},
		{plainList, "ANN1", "", "ann1"},
		{plainList, "ann@example.org", "", "ann1"},
		{plainList, "A\u0308nn_Mu\u0308ller", "", "ann1"}, // decomposed, as macOS has names
		{plainList, "Müller, Änn", "", "ann1"},
		{plainList, "bea2", "", "bea2 cy3"},
		{plainList, "red", "", "bea2 cy3"},
		{plainList, "Dan Fox", "", "error"},
		{plainList, "dan5", "", "dan5"},
		{plainList, "nobody", "", ""},
		{moodleList, "1234", "Änn Müller", "Participant 1234"},
		{moodleList, "99", "somebody else", "Participant 99"},
		{canvasList, "78", "", "78"},
		{canvasList, "ann1", "", "77"},
		{canvasList, "Änn Müller", "", "77"},
	}
	for _, tt := range tests {
		people, err := list(t, tt.list).Find(submission.Submission{Key: tt.key, Name: tt.name})
		var ids []string
		for _, p := range people {
			ids = append(ids, p.ID)
		}
		got := strings.Join(ids, " ")
		if err != nil {
			got = "error"
		}
		if got != tt.want {
			t.Errorf("%q, %q is %q, want %q", tt.key, tt.name, got, tt.want)
		}
	}
}

func TestAssign(t *testing.T) {
	class := &submission.Class{Submissions: []submission.Submission{
		{Key: "ann1", Source: "ann1"}, {Key: "bea2", Source: "bea2", At: time.Unix(100, 0)}, {Key: "cy3", Source: "cy3", At: time.Unix(200, 0)}, {Key: "guest", Source: "guest"},
	}}
	p := &People{Schema: mapSchema}
	chosen, problems := p.Assign(class, list(t, plainList))
	byKey := map[string]Entry{}
	for _, e := range p.Entries {
		byKey[e.Key+"|"+e.Called()] = e
	}
	if len(chosen) != 3 || len(p.Entries) != 5 || len(problems) != 2 {
		t.Fatalf("%d chosen, entries %+v, problems %v", len(chosen), p.Entries, problems)
	}
	if e, ok := byKey["cy3|Bea O'Neil and Cy Dee"]; !ok || chosen[e.ID].Key != "cy3" {
		t.Errorf("the pair's later submission does not count: %+v", byKey)
	}
	if _, ok := byKey["|Dan Fox"]; !ok {
		t.Errorf("who handed nothing in is not there: %+v", byKey)
	}
	dir := t.TempDir()
	if err := p.Save(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, MapFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the map: %v, %v", info, err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	more, _ := again.Assign(class, list(t, plainList))
	for id := range more {
		if _, ok := chosen[id]; !ok {
			t.Errorf("%s is a new pseudonym", id)
		}
	}
}

func TestResolveAndForget(t *testing.T) {
	class := &submission.Class{Submissions: []submission.Submission{{Key: "ann1", Source: "ann1"}, {Key: "bea2", Source: "bea2"}}}
	p := &People{Schema: mapSchema, Roster: plainList}
	p.Assign(class, list(t, plainList))
	for _, word := range []string{"ann1", "Änn Müller", p.Entries[0].ID} {
		if e, err := p.Resolve(word); err != nil || e.ID != p.Entries[0].ID {
			t.Errorf("%q is %v, %v", word, e, err)
		}
	}
	for _, word := range []string{"nobody", "Dan Fox"} {
		if _, err := p.Resolve(word); err == nil {
			t.Errorf("%q is somebody", word)
		}
	}
	id := p.Entries[0].ID
	if err := p.Forget(id); err != nil {
		t.Fatal(err)
	}
	left := list(t, p.Roster)
	for _, e := range p.Entries {
		for _, m := range e.Members { // gradebooks are filled in by the row
			if left.Rows[m.Row][0] != m.ID {
				t.Errorf("%s stands in row %d, of %s", m.ID, m.Row, left.Rows[m.Row][0])
			}
		}
	}
	dir := t.TempDir()
	if err := p.Save(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, MapFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ann1", "Müller", "ann@example.org"} {
		if strings.Contains(string(text), name) {
			t.Errorf("the map still has %s", name)
		}
	}
	if !strings.Contains(string(text), "Bea O'Neil") || !slices.ContainsFunc(p.Entries, func(e Entry) bool { return e.ID == id && e.Forgotten }) {
		t.Error("the map lost more than it should")
	}
}
