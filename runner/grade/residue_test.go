package grade

import (
	"io/fs"
	"strconv"
	"strings"
	"testing"
)

// What is somebody's own is a trace: comments and names, not what the lab has or what
// its words make; the text is not kept.
func TestTraces(t *testing.T) {
	r, err := rulesOf(lab(t, "02"))
	if err != nil {
		t.Fatal(err)
	}
	const policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: NAME\nspec:\n  podSelector: {} # COMMENT\n"
	for name, tc := range map[string]struct{ name, comment, want string }{
		"a comment":          {"default-deny", "Jane told me that this works", "comment 6"},
		"however it is set":  {"default-deny", "jane  TOLD me - that this works", "comment 6"},
		"a short one":        {"default-deny", "all pods", ""},
		"a name":             {"zebra-crossing", "", "name 1"},
		"made of lab's word": {"ingress-vault-policy", "", ""},
		"both":               {"zebra-crossing", "Jane told me that this works", "comment 6, name 1"},
	} {
		text := strings.NewReplacer("NAME", tc.name, "COMMENT", tc.comment).Replace(policy)
		var got []string
		for _, one := range traces(parse(t, text), r.words) {
			got = append(got, one.Kind+" "+strconv.Itoa(one.Line))
			if strings.Contains(one.Digest, "jane") || one.File != "file1.yaml" {
				t.Errorf("%s: %+v", name, one)
			}
		}
		if strings.Join(got, ", ") != tc.want {
			t.Errorf("%s: traces are %v, want %q", name, got, tc.want)
		}
	}
	set, spaced := traces(parse(t, strings.NewReplacer("NAME", "x", "COMMENT", "Jane told me that this works").Replace(policy)), r.words),
		traces(parse(t, strings.NewReplacer("NAME", "x", "COMMENT", "jane  TOLD me - that this works").Replace(policy)), r.words)
	if set[0].Digest != spaced[0].Digest {
		t.Error("the same words are two traces")
	}
	for _, l := range []string{"02", "04", "08"} {
		l := lab(t, l)
		r, err := rulesOf(l)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range l.Tasks {
			for _, f := range task.Solution {
				data, err := fs.ReadFile(l.FS, f)
				if err != nil {
					t.Fatal(err)
				}
				if got := traces(parse(t, string(data)), r.words); len(got) > 0 {
					t.Errorf("the lab's own %s has traces: %+v", f, got)
				}
			}
		}
	}
	var many strings.Builder
	for i := range 2 * mostTraces {
		many.WriteString("# zebras cross here " + strings.Repeat("x", i) + "\n")
	}
	if got := traces(parse(t, many.String()+policy), r.words); len(got) > mostTraces {
		t.Errorf("%d traces", len(got))
	}
}
