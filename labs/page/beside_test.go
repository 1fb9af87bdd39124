package page

import (
	"slices"
	"testing"
	"testing/fstest"
)

func TestFindTakesWhatIsNamed(t *testing.T) {
	folder := fstest.MapFS{}
	for name, text := range map[string]string{
		"policy.yaml":            "kind: NetworkPolicy",
		"letter.txt":             "dear",
		".ssh/id":                "key",
		".env":                   "secret",
		"manifests/a.yaml":       "a",
		"manifests/deep/b.yaml":  "b",
		"other/c.yaml":           "c",
		"kustomize/base.yaml":    "uses patch.yaml",
		"patches/patch.yaml":     "p",
		"run.sh":                 "cat data.json",
		"data.json":              "{}",
		"not-data.json":          "{}",
		"a/b/c/d/e/f/g/far.yaml": "far",
		"letters/mine.txt":       "dear",
		"guide.md":               "see `letter.txt` and `letters/mine.txt`",
	} {
		folder[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	p, err := Read("page.md", []byte("Use `policy.yaml` and .env and .ssh/id, see guide.md; of letters we know nothing:\n\n```bash\nkubectl apply -f ./manifests/\nkubectl apply -f kustomize/base.yaml\n./run.sh\nkubectl apply -f far.yaml\n```\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	found, err := Find(folder, p)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.Name)
	}
	want := []string{"data.json", "guide.md", "kustomize/base.yaml", "manifests/a.yaml", "manifests/deep/b.yaml", "patches/patch.yaml", "policy.yaml", "run.sh"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	folder["policy.yaml"].Data = make([]byte, maxInProse+1)
	if found, err := Find(folder, p); err != nil || len(found) != len(want)-1 {
		t.Errorf("large files that prose alone names: %v, %d files", err, len(found))
	}
	folder["run.sh"].Data = make([]byte, maxBeside+1)
	if _, err := Find(folder, p); err == nil {
		t.Error("files of any size are taken")
	}
}
