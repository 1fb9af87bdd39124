package labs_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs"
)

// measuredFile is what the last `netdojo lab test` of the catalogue found of mutants.
const measuredFile = "testdata/mutants.json"

var recordFile = flag.String("record", "", "what netdojo lab test -o json has printed, to be kept with -update")

// measured is what one lab's checks did against changes of its solutions.
type measured struct {
	Digest     string     `json:"digest"` // of what was tried
	Made       int        `json:"made"`
	Refused    int        `json:"refused"`
	Equivalent int        `json:"equivalent"`
	Engine     int        `json:"engine"`
	Live       int        `json:"live"`
	Survivors  []survivor `json:"survivors"`
}

type survivor struct {
	Object  string `json:"object"`
	Path    string `json:"path"`
	Change  string `json:"change"`
	Missing string `json:"missing"`
	Because string `json:"because,omitempty"`
}

func (m measured) score() float64 {
	noticed := m.Engine + m.Live
	return 100 * float64(noticed) / float64(max(1, noticed+len(m.Survivors)))
}

// triedDigest is that of what mutants are made of and judged by. Pages and hints are
// not in it.
func triedDigest(t *testing.T, lab *labs.Lab) string {
	t.Helper()
	sum := sha256.New()
	files := slices.Clone(lab.Workloads)
	for _, task := range lab.Tasks {
		fmt.Fprintln(sum, task.ID, task.Digest())
		files = append(files, task.Solution...)
	}
	for _, name := range files {
		data, err := fs.ReadFile(lab.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(sum, "%s %d\n%s", name, len(data), data)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// keepRecord writes what a record says of mutants to measuredFile. Labs that it has
// nothing of stay as they are.
func keepRecord(t *testing.T, all []*labs.Lab) {
	t.Helper()
	data, err := os.ReadFile(*recordFile)
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Labs []struct {
			ID    string `json:"id"`
			Tasks []struct {
				Mutants *measured `json:"mutants"`
			} `json:"tasks"`
		} `json:"labs"`
	}
	if err := json.Unmarshal(data, &record); err != nil {
		t.Fatal(err)
	}
	kept := readMeasured(t)
	for _, l := range record.Labs {
		i := slices.IndexFunc(all, func(lab *labs.Lab) bool { return lab.ID == l.ID })
		sum, some := measured{Survivors: []survivor{}}, false
		for _, task := range l.Tasks {
			if m := task.Mutants; m != nil {
				some = true
				sum.Made, sum.Refused, sum.Equivalent = sum.Made+m.Made, sum.Refused+m.Refused, sum.Equivalent+m.Equivalent
				sum.Engine, sum.Live = sum.Engine+m.Engine, sum.Live+m.Live
				sum.Survivors = append(sum.Survivors, m.Survivors...)
			}
		}
		if some && i >= 0 {
			sum.Digest = triedDigest(t, all[i])
			kept[l.ID] = sum
		}
	}
	text, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(measuredFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readMeasured(t *testing.T) map[string]measured {
	t.Helper()
	kept := map[string]measured{}
	data, err := os.ReadFile(measuredFile)
	if os.IsNotExist(err) {
		return kept
	}
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// mutantCells are a lab's columns mutants and noticed: a lab that has changed since it
// was measured has the first alone.
func mutantCells(t *testing.T, lab *labs.Lab, m measured) string {
	t.Helper()
	switch {
	case m.Made == 0:
		return " | "
	case m.Digest != triedDigest(t, lab):
		return fmt.Sprintf("%d | changed since", m.Made)
	}
	return fmt.Sprintf("%d | %.1f %%", m.Made, m.score())
}

// survivorsText lists what no check notices, by lab.
func survivorsText(t *testing.T, all []*labs.Lab, kept map[string]measured) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("\n## What no check notices\n\n| lab | change | who would notice, or why nobody is to |\n| --- | --- | --- |\n")
	for _, lab := range all {
		for _, s := range kept[lab.ID].Survivors {
			why := s.Missing
			if s.Because != "" {
				why = s.Because
			}
			fmt.Fprintf(&text, "| %s | %s `%s`: %s | %s |\n", lab.ID, s.Object, s.Path, cell(s.Change), cell(why))
		}
	}
	return text.String()
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
