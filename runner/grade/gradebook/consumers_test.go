package gradebook

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/runner/grade/result"
)

// What a spreadsheet has made of a worksheet, Moodle gets as it reads it: by commas,
// with the columns that it asks for. Names that a spreadsheet would evaluate are text.
func TestMoodleImport(t *testing.T) {
	sheet := strings.ReplaceAll(strings.ReplaceAll(moodleList, ",", ";"), "Änn Müller", "=cmd|'/C calc'!A0")
	text := written(t, Moodle, book(t, sheet))
	all := table(t, text)
	for _, name := range []string{"Identifier", "Grade", "Last modified (grade)"} {
		if !slices.Contains(all[0], name) {
			t.Errorf("Moodle asks for the column %s: %q", name, all[0])
		}
	}
	if len(all) != 4 || all[1][0] != "Participant 1234" || all[1][1] != "'=cmd|'/C calc'!A0" || all[1][4] != "10.00" || all[1][8] != "-" {
		t.Errorf("got %q", all)
	}
	for _, row := range all[1:] {
		// Moodle cuts the word "Participant" and a blank off.
		if number, ok := strings.CutPrefix(row[0], "Participant "); !ok || strings.Trim(number, "0123456789") != "" {
			t.Errorf("Moodle finds nobody by %q", row[0])
		}
	}
	var wrong *Error
	for _, name := range []string{"Grade", `"Last modified (grade)"`} {
		lacking := strings.Replace(moodleList, name, "Note", 1)
		if err := Moodle(io.Discard, book(t, lacking)); !errors.As(err, &wrong) || !strings.Contains(err.Error(), strings.Trim(name, `"`)) || wrong.Cure() == "" {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// canvasTakes reads a header as Canvas does (process_header of lib/gradebook_importer.rb),
// and says how many columns are about people; 0 where it refuses the file.
func canvasTakes(row []string) int {
	names := 3
	switch {
	case len(row) > 3 && strings.Contains(row[0], "Student") && strings.Contains(row[1], "ID"):
	case len(row) > 4 && strings.Contains(row[0], "LastName") && strings.Contains(row[1], "FirstName") && strings.Contains(row[2], "ID"):
		names = 4
	default:
		return 0
	}
	is := func(at int, pattern string) bool {
		return at < len(row) && regexp.MustCompile(pattern).MatchString(row[at])
	}
	count := names
	if is(names-1, `SIS\s+Login\s+ID`) {
		count++
	} else if is(names-1, `SIS\s+User\s+ID`) && is(names, `SIS\s+Login\s+ID`) {
		count += 2
		if is(names+1, `Integration\s+ID`) {
			count++
		}
		if is(count-1, `Root\s+Account`) {
			count++
		}
	}
	if count > len(row) || !strings.Contains(row[count-1], "Section") {
		return 0
	}
	return count
}

// Canvas takes the columns about people in one order, whichever of them an export has,
// and the mark is the one column that follows.
func TestCanvasImport(t *testing.T) {
	for name, tc := range map[string]struct{ header, points, row, column, most, mark string }{
		"all of them":       {"Student,ID,SIS User ID,SIS Login ID,Integration ID,Root Account,Section,Default deny (7)", "    Points Possible,,,,,,,10", "\"Müller, Änn\",1234,m,a,i,r,A,3", "Default deny (7)", "10", "10"},
		"no systems":        {"Student,ID,Section,Other (1)", "    Points Possible,,,5", "\"Müller, Änn\",1234,A,3", "Lab 02: Default deny", "4", "4"},
		"login alone":       {"Student,ID,SIS Login ID,Integration ID,Section,Other (1)", "    Points Possible,,,,,5", "\"Müller, Änn\",1234,a,i,A,3", "Lab 02: Default deny", "4", "4"},
		"no login":          {"Student,ID,SIS User ID,Section,Other (1)", "    Points Possible,,,,5", "\"Müller, Änn\",1234,m,A,3", "Lab 02: Default deny", "4", "4"},
		"first and last":    {"LastName,FirstName,ID,SIS User ID,SIS Login ID,Section,Default deny (7)", "    Points Possible,,,,,,\"2,5\"", "Müller,Änn,1234,m,a,A,3", "Default deny (7)", "2,5", "2.5"},
		"only to be read":   {"Student,ID,Section,Default deny Current Score,Default deny (7)", "    Points Possible,,,(read only),8", "\"Müller, Änn\",1234,A,3,3", "Default deny (7)", "8", "8"},
		"names a formula":   {"Student,ID,Section,Default deny (7)", "    Points Possible,,,8", "\"=1+1, @SUM\",1234,A,3", "Default deny (7)", "8", "8"},
		"byte order, lines": {"\xef\xbb\xbfStudent,ID,Section,Default deny (7)", "    Points Possible,,,8", "\"Müller, Änn\",1234,A,3\r", "Default deny (7)", "8", "8"},
	} {
		t.Run(name, func(t *testing.T) {
			all := table(t, written(t, Canvas, book(t, tc.header+"\n"+tc.points+"\n"+tc.row+"\n")))
			about := canvasTakes(all[0])
			if about == 0 || len(all[0]) != about+1 {
				t.Fatalf("Canvas refuses the header %q", all[0])
			}
			if all[0][about] != tc.column || !strings.Contains(all[1][0], "Points Possible") || all[1][about] != tc.most || len(all) != 3 || all[2][about] != tc.mark {
				t.Errorf("got %q", all)
			}
			if strings.ContainsAny(all[2][0][:1], "=+-@") || !slices.Contains(all[2], "1234") {
				t.Errorf("the row is %q", all[2])
			}
		})
	}
}

// Each key of results.json is one that Gradescope knows, of its type
// (https://gradescope-autograders.readthedocs.io/en/latest/specs/).
func TestGradescopeShape(t *testing.T) {
	b := book(t, plainList)
	b.Class.Marks = b.Class.Marks[:1]
	var root map[string]any
	if err := json.Unmarshal([]byte(written(t, Gradescope, b)), &root); err != nil {
		t.Fatal(err)
	}
	visibility := []string{"hidden", "after_due_date", "after_published", "visible"}
	shape := func(what string, got map[string]any, known map[string]string) {
		for key, value := range got {
			is := "object"
			switch value.(type) {
			case float64:
				is = "number"
			case string:
				is = "string"
			case []any:
				is = "list"
			}
			if known[key] != is {
				t.Errorf("%s: %s is a %s, which Gradescope knows as %q", what, key, is, known[key])
			}
		}
		if v, ok := got["visibility"].(string); ok && !slices.Contains(visibility, v) {
			t.Errorf("%s: no visibility is called %s", what, v)
		}
	}
	shape("results.json", root, map[string]string{
		"score": "number", "execution_time": "number", "output": "string", "output_format": "string", "test_output_format": "string",
		"test_name_format": "string", "visibility": "string", "stdout_visibility": "string", "extra_data": "object", "tests": "list", "leaderboard": "list",
	})
	for _, one := range root["tests"].([]any) {
		test := one.(map[string]any)
		shape("a test", test, map[string]string{
			"score": "number", "max_score": "number", "status": "string", "name": "string", "name_format": "string", "number": "string",
			"output": "string", "output_format": "string", "tags": "list", "visibility": "string", "extra_data": "object",
		})
		if !slices.Contains([]string{"passed", "failed"}, test["status"].(string)) {
			t.Errorf("no status is called %v", test["status"])
		}
	}
}

// Elements and attributes are those of the schema by which Jenkins reads JUnit's files
// (junit-10.xsd of its plugin xunit); counts are right.
func TestJUnitShape(t *testing.T) {
	attributes := map[string][]string{
		"testsuites": {"name", "time", "tests", "failures", "errors"},
		"testsuite":  {"name!", "tests!", "failures!", "errors!", "group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
		"testcase":   {"name!", "time", "classname", "group"},
		"failure":    {"type", "message"}, "error": {"type", "message"}, "skipped": {"type", "message"},
		"system-out": nil, "system-err": nil,
	}
	children := map[string][]string{
		"": {"testsuites"}, "testsuites": {"testsuite"}, "testsuite": {"testsuite", "properties", "testcase", "system-out", "system-err"},
		"testcase": {"skipped", "error", "failure", "system-out", "system-err"},
	}
	duration := regexp.MustCompile(`^(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?$`)
	dec := xml.NewDecoder(strings.NewReader(written(t, JUnit, book(t, plainList, result.Record{
		Schema: result.RecordSchema, ID: "s-evil", Status: result.Failed, Cause: evil + "\x00\x1b",
	}))))
	above := []string{""}
	counted, said := map[string]int{}, map[string]int{}
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.EndElement:
			above = above[:len(above)-1]
		case xml.StartElement:
			name, parent := e.Name.Local, above[len(above)-1]
			if !slices.Contains(children[parent], name) {
				t.Errorf("%s stands in %s", name, parent)
			}
			counted[name]++
			has := map[string]string{}
			for _, a := range e.Attr {
				has[a.Name.Local] = a.Value
				if !slices.Contains(attributes[name], a.Name.Local) && !slices.Contains(attributes[name], a.Name.Local+"!") {
					t.Errorf("%s has an attribute %s", name, a.Name.Local)
				}
			}
			for _, a := range attributes[name] {
				if needed, ok := strings.CutSuffix(a, "!"); ok && has[needed] == "" {
					t.Errorf("%s has no %s", name, needed)
				}
			}
			if name != "testcase" && !duration.MatchString(has["time"]) {
				t.Errorf("%s takes %q", name, has["time"])
			}
			if name == "testsuites" {
				for _, what := range []string{"tests", "failures", "errors"} {
					n, err := strconv.Atoi(has[what])
					if err != nil {
						t.Error(err)
					}
					said[what] = n
				}
			}
			above = append(above, name)
		}
	}
	if said["tests"] != counted["testcase"] || said["failures"] != counted["failure"] || said["errors"] != counted["error"] || said["errors"] < 2 {
		t.Errorf("said are %v, there are %v", said, counted)
	}
}
