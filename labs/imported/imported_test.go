package imported_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/imported"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/labs/scaffold"
)

var update = flag.Bool("update", false, "write the golden labs anew")

// source reads a page, with files that stand beside it.
func source(t testing.TB, file string, beside ...string) imported.Source {
	t.Helper()
	src := read(t, file)
	p, err := page.Read(filepath.Base(file), src, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := imported.Source{ID: "a-lab", Pages: []imported.Page{{Page: p, Text: src}}}
	for _, name := range beside {
		s.Beside = append(s.Beside, page.Beside{Name: filepath.Base(name), Data: read(t, name)})
	}
	return s
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const (
	seedPage     = "../page/testdata/seed.md"
	seedSolution = "../catalogue/04/solution/backend-egress-allow-fqdn.yaml"
	seedPods     = "../catalogue/04/manifests/backend.yaml"
)

// lint makes the lab's folder, and wants lint to find nothing in it.
func lint(t testing.TB, s imported.Source) (*labs.Lab, imported.Lab) {
	t.Helper()
	made, err := imported.Make(s)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "lab")
	if err := imported.Write(dir, made); err != nil {
		t.Fatal(err)
	}
	for _, p := range labs.LintFolder(labs.FolderFS(dir)) {
		t.Errorf("lint: %s", p)
	}
	l, err := labs.Open(dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, made.Files[0].Data)
	}
	return l, made
}

// TestSeedPage: the checks are the page's claims, whether its pods are given or not.
func TestSeedPage(t *testing.T) {
	for _, given := range []bool{true, false} {
		s := source(t, seedPage, seedSolution)
		if given {
			s.Setup = []imported.File{{Name: "backend.yaml", Data: read(t, seedPods)}}
		}
		l, made := lint(t, s)
		if len(l.Tasks) != 1 || made.Claims != 5 || made.Kept != 5 || len(made.LeftOut) != 0 {
			t.Fatalf("%d tasks say %d of %d claims, without %v", len(l.Tasks), made.Kept, made.Claims, made.LeftOut)
		}
		var got []string
		for _, c := range l.Tasks[0].Checks {
			got = append(got, fmt.Sprintf("%s: %s %s, %s then %s, %d", c.ID, strings.Join(c.CommandLine(), " "), c.From, c.Before, c.After, c.Status))
		}
		want := []string{
			"kubernetes-io: curl -Ik --connect-timeout 5 https://kubernetes.io default/app=backend, allowed then allowed, 200",
			"cilium-io: curl -Ik --connect-timeout 5 https://cilium.io default/app=backend, allowed then denied, 200",
			"cnp-backend-egress-allow-fqdn: kubectl get cnp backend-egress-allow-fqdn -n default , unmet then met, 0",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("the checks are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if guessed := strings.Contains(fmt.Sprint(made.Unfinished), "no page shows this pod"); guessed == given {
			t.Errorf("pods given: %t, to finish: %v", given, made.Unfinished)
		}
	}
}

// TestGolden compares labs, and what is left out of them, with their golden files.
func TestGolden(t *testing.T) {
	scenario, err := page.ReadScenario(os.DirFS("testdata/scenario"), "scenario")
	if err != nil {
		t.Fatal(err)
	}
	told := imported.Source{ID: "scenario-lab", Beside: scenario.Files}
	for i, p := range scenario.Pages {
		told.Pages = append(told.Pages, imported.Page{Page: p, Text: scenario.Texts[i]})
	}
	told.Pages[0].Title = scenario.Title
	for name, s := range map[string]imported.Source{
		"seed":     source(t, seedPage, seedSolution),
		"steps":    source(t, "testdata/steps.md", "testdata/close.yaml"),
		"scenario": told,
	} {
		t.Run(name, func(t *testing.T) {
			_, made := lint(t, s)
			var got bytes.Buffer
			fmt.Fprintf(&got, "%d of %d claims\n", made.Kept, made.Claims)
			for _, r := range made.LeftOut {
				fmt.Fprintln(&got, r)
			}
			for _, f := range made.Files {
				if filepath.Ext(f.Name) == ".yaml" {
					fmt.Fprintf(&got, "-- %s --\n%s", f.Name, f.Data)
				} else {
					fmt.Fprintf(&got, "-- %s --\n%d lines\n", f.Name, bytes.Count(f.Data, []byte("\n")))
				}
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := read(t, golden); got.String() != string(want) {
				t.Errorf("made\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

// TestUnfinishedIsInTheFiles: what the author is told, the files say at that line.
func TestUnfinishedIsInTheFiles(t *testing.T) {
	_, made := lint(t, source(t, "testdata/steps.md", "testdata/close.yaml"))
	files := map[string][]string{}
	for _, f := range made.Files {
		files[f.Name] = strings.Split(string(f.Data), "\n")
	}
	if len(made.Unfinished) < 5 {
		t.Errorf("to finish: %v", made.Unfinished)
	}
	for _, r := range made.Unfinished {
		if line := files[r.File][r.Line-1]; !strings.HasSuffix(line, "# "+imported.Unfinished+r.Text) {
			t.Errorf("%s: the line is %q", r, line)
		}
	}
}

// TestNeverOverwrites: a folder that is there stays as it is.
func TestNeverOverwrites(t *testing.T) {
	made, err := imported.Make(source(t, seedPage, seedSolution))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mine := filepath.Join(dir, "lab.yaml")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := imported.Write(dir, made); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written over a folder: %v", err)
	}
	if text := read(t, mine); string(text) != "mine" {
		t.Errorf("the file is %q now", text)
	}
}

// TestEmpty: of a page that no lab can be made of, the reason and what is left out are
// told.
func TestEmpty(t *testing.T) {
	for name, tc := range map[string]struct{ text, message, left string }{
		"no policy": {"# A page\n\n```bash\nkubectl get pods\n```\n", "applies no policy", ""},
		"no promise": {
			"# A page\n\n```yaml\n# deny.yaml\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny}\nspec: {podSelector: {}}\n```\n\n```bash\nkubectl apply -f deny.yaml\n```\n",
			"promises nothing", "NetworkPolicy default/deny",
		},
		"a file that is nowhere": {"# A page\n\n```bash\nkubectl apply -f deny.yaml\n```\n", "applies no policy", "deny.yaml is nowhere"},
	} {
		p, err := page.Read("p.md", []byte(tc.text), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = imported.Make(imported.Source{ID: "a", Pages: []imported.Page{{Page: p, Text: []byte(tc.text)}}})
		var empty *imported.EmptyError
		if !errors.As(err, &empty) || !strings.Contains(err.Error(), tc.message) || empty.Cure() == "" || !strings.Contains(fmt.Sprint(empty.LeftOut), tc.left) {
			t.Errorf("%s: %v, left out %v", name, err, empty)
		}
	}
	s := source(t, seedPage, seedSolution)
	s.ID = "No Id"
	var wrong *scaffold.NameError
	if _, err := imported.Make(s); !errors.As(err, &wrong) {
		t.Errorf("an id that no lab can have: %v", err)
	}
}

// TestOthersWords: what a page calls things breaks out of no line of lab.yaml.
func TestOthersWords(t *testing.T) {
	s := source(t, seedPage, seedSolution)
	s.Pages[0].Title = "a\"\nid: \"other\" # \x1b[2J"
	s.Pages[0].File = "x\nnamespace: kube-system\n.md"
	l, _ := lint(t, s)
	if l.ID != "a-lab" || l.Namespace != "default" {
		t.Errorf("the lab is %s in %s", l.ID, l.Namespace)
	}
}

// FuzzMake: of any page comes a lab that loads, or an error that says why not.
func FuzzMake(f *testing.F) {
	for _, file := range []string{seedPage, "testdata/steps.md", "testdata/scenario/close.md", "../page/testdata/guide.rst", "../page/testdata/prompts.md", "../page/testdata/files.md"} {
		f.Add(read(f, file))
	}
	policy := page.Beside{Name: "backend-egress-allow-fqdn.yaml", Data: read(f, seedSolution)}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := page.Read("p.md", text, nil)
		if err != nil {
			return
		}
		made, err := imported.Make(imported.Source{ID: "a", Pages: []imported.Page{{Page: p, Text: text}}, Beside: []page.Beside{policy}})
		if err != nil {
			return
		}
		dir := filepath.Join(t.TempDir(), "lab")
		if err := imported.Write(dir, made); err != nil {
			t.Fatal(err)
		}
		l, err := labs.Load(labs.FolderFS(dir))
		if err != nil {
			t.Fatalf("%v\n%s", err, made.Files[0].Data)
		}
		for _, c := range l.Tasks[0].Checks {
			if c.After == checks.ExpectDenied && c.Before == "" {
				t.Errorf("check %s is denied without a control", c.ID)
			}
		}
	})
}
