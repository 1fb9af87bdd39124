package labs_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs"
)

const (
	table          = "../docs/labs.md"
	tableGenerated = "<!-- What follows is generated: go test ./labs -run TestTable -update -->\n"
	large          = "large.example.com"
)

// TestTable holds the table of labs to the catalogue.
func TestTable(t *testing.T) {
	have, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	byHand, rest, found := strings.Cut(string(have), tableGenerated)
	if !found {
		t.Fatalf("%s lacks the line %s", table, tableGenerated)
	}
	want := tableText(t)
	if *update {
		if err := os.WriteFile(table, []byte(byHand+tableGenerated+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if rest != want {
		t.Errorf("%s is stale: go test ./labs -run TestTable -update", table)
	}
}

// notOnCilium are labs that real Cilium judges otherwise. It names a policy whose
// enableDefaultDeny is off also with connections that none of its rules allows, by which lab
// 16 tells an answer; and pods on their node's network, which lab 19 has, resolve no names in
// the node image.
var notOnCilium = []string{"16", "19"}

// clustersOf are the clusters that can do a lab by what it needs: the embedded one, kind with
// netdojo's datapath, and real Cilium in the node image that netdojo builds, without Envoy.
// TestKindCatalogue and TestCiliumCatalogue hold it.
func clustersOf(id string, needs []string) []string {
	lacks := func(features ...string) bool {
		return slices.ContainsFunc(needs, func(n string) bool { return slices.Contains(features, n) })
	}
	all := []string{"embedded"}
	if !lacks("ipv6", "metadata") {
		all = append(all, "kind")
		if !lacks("http", "tls") && !slices.Contains(notOnCilium, id) {
			all = append(all, "Cilium")
		}
	}
	return all
}

func tableText(t *testing.T) string {
	t.Helper()
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	course, err := labs.CatalogueCourse()
	if err != nil {
		t.Fatal(err)
	}
	if *update && *recordFile != "" {
		keepRecord(t, all)
	}
	kept := readMeasured(t)
	var text strings.Builder
	text.WriteString("\n| lab | | level | minutes | tasks | verdicts | wrong answers | points | questions | mutants | noticed | needs | clusters |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, lab := range all {
		e := course.Entry(lab.ID)
		var verdicts, wrong, points, questions int
		needs := slices.Clone(lab.Needs)
		for _, task := range lab.Tasks {
			for _, c := range task.Checks {
				for _, expect := range []any{c.Before, c.After} {
					if fmt.Sprint(expect) != "" {
						verdicts++
					}
				}
				if strings.Contains(c.To, large) {
					needs = append(needs, "large")
				}
			}
			_, of := task.Score(func(string) bool { return true })
			wrong, points, questions = wrong+len(task.Wrong), points+of, questions+len(task.Quiz)
		}
		if lab.AsksMetadata() {
			needs = append(needs, "metadata")
		}
		slices.Sort(needs)
		fmt.Fprintf(&text, "| %s | %s | %s | %d | %d | %d | %d | %d | %d | %s | %s | %s |\n",
			lab.ID, lab.Title, e.Level, e.Minutes, len(lab.Tasks), verdicts, wrong, points, questions, mutantCells(t, lab, kept[lab.ID]), strings.Join(slices.Compact(needs), ", "), strings.Join(clustersOf(lab.ID, needs), ", "))
	}
	text.WriteString("\n| track | | labs | minutes |\n| --- | --- | --- | --- |\n")
	for _, track := range course.Tracks {
		fmt.Fprintf(&text, "| %s | %s | %s | %d |\n", track.ID, track.Title, strings.Join(track.Labs, ", "), course.Minutes(track.ID))
	}
	return text.String() + survivorsText(t, all, kept)
}
