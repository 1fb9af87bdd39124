package individual_test

import (
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/netdojo/netdojo/labs/individual"
)

// What a seed chooses is the same for ever: what was handed in by it is judged by it.
func TestDrawIsPinned(t *testing.T) {
	pool := []string{"amber", "birch", "cedar", "dune", "elm", "fern", "grove", "heath"}
	for _, tc := range []struct {
		seed, salt string
		want       []string
	}{
		{"jane", "e1/alpha", []string{"fern", "cedar", "grove"}},
		{"john", "e1/alpha", []string{"cedar", "heath", "elm"}},
		{"jane", "e1/beta", []string{"fern", "amber", "heath"}},
	} {
		if got := individual.Draw(tc.seed, tc.salt, pool, 3); !slices.Equal(got, tc.want) {
			t.Errorf("seed %s, %s: %v, want %v", tc.seed, tc.salt, got, tc.want)
		}
	}
	all := individual.Draw("jane", "x", pool, len(pool))
	slices.Sort(all)
	if !slices.Equal(all, pool) {
		t.Errorf("all of the pool are %v", all)
	}
}

func TestText(t *testing.T) {
	r := individual.NewReplacer([]individual.Word{
		{Kind: individual.Name, Old: "office", New: "plaza"},
		{Kind: individual.Name, Old: "e1-1", New: "office"},
		{Kind: individual.Name, Old: "e1-1-far", New: "remote"},
		{Kind: individual.Label, Old: "app=web", New: "app=front"},
		{Kind: individual.Label, Old: "app=web-two", New: "part=second"},
		{Kind: individual.Port, Old: "80", New: "90"},
		{Kind: individual.Port, Old: "7000", New: "7100"},
		{Kind: individual.Address, Old: "198.51.100.0/24", New: "203.0.113.0/24"},
		{Kind: individual.Address, Old: "198.51.100.7", New: "203.0.113.9"},
	})
	for text, want := range map[string]string{
		"namespace: office":                                "namespace: plaza",
		"In the office, Office's. e1-1 office-2":           "In the plaza, Plaza's. office office-2",
		"backoffice my-office office_x":                    "backoffice my-office office_x",
		"http://web.e1-1:80/x, e1-1-far.":                  "http://web.office:90/x, remote.",
		`{app: web}, {"app": "web"}, app=web.`:             `{app: front}, {"app": "front"}, app=front.`,
		"app: web-two and k8s:app: web":                    "part: second and k8s:app: front",
		"k8s-app: web, app: webs, app: web.x, my.app: web": "k8s-app: web, app: webs, app: web.x, my.app: web",
		"court/app=web, example.com/app=web":               "court/app=front, example.com/app=web",
		"k8s:io.cilium.k8s.namespace.labels.app: web":      "k8s:io.cilium.k8s.namespace.labels.app: front",
		"app web":                               "app web",
		"image: web:8.80.1, 80, 180, 80x, 80.5": "image: web:8.80.1, 90, 180, 80x, 80.5",
		"SERVE_PORT_7000: 7000-7000/TCP.":       "SERVE_PORT_7100: 7100-7100/TCP.",
		"198.51.100.0/24 198.51.100.77 1.198.51.100.7 198.51.100.7:80": "203.0.113.0/24 198.51.100.77 1.198.51.100.7 203.0.113.9:90",
		"see office.md and `pages/office.md`.":                         "see office.md and `pages/office.md`.",
		"files: [solution/80.yaml] port: 80":                           "files: [solution/80.yaml] port: 90",
		"":                                                             "",
	} {
		if got := string(r.Text([]byte(text))); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	counts := map[string]int{"office": 0, "app=web": 0, "7000": 0}
	r.Count([]byte("Office office app: web app=web"), counts)
	if counts["office"] != 2 || counts["app=web"] != 2 || counts["7000"] != 0 {
		t.Errorf("counted %v", counts)
	}
	if got := string(individual.NewReplacer(nil).Text([]byte("office"))); got != "office" {
		t.Errorf("without words it is %q", got)
	}
}

func TestFolder(t *testing.T) {
	below := fstest.MapFS{"a/b.yaml": {Data: []byte("office 1")}, "c.md": {Data: []byte("office")}}
	r := individual.NewReplacer([]individual.Word{{Kind: individual.Name, Old: "office", New: "headquarters"}})
	f := individual.Folder{FS: below, Rewrite: func(_ string, text []byte) ([]byte, error) { return r.Text(text), nil }}
	for name, want := range map[string]string{"a/b.yaml": "headquarters 1", "c.md": "headquarters"} {
		got, err := fs.ReadFile(f, name)
		if err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
		info, err := fs.Stat(f, name)
		if err != nil || info.Size() != int64(len(want)) {
			t.Errorf("%s has %v, %v", name, info, err)
		}
	}
	if _, err := fs.ReadFile(f, "none"); err == nil {
		t.Error("read what is not there")
	}
}
