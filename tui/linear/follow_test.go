package linear

import (
	"fmt"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/flow"
)

// TestManyChanges: a few are named, the others counted, and all told once.
func TestManyChanges(t *testing.T) {
	f := &follower{flows: flow.NewLog(1)}
	for i := range 5 {
		f.change(fmt.Sprintf("Pod p%d", i))
		f.change("Pod p0")
	}
	news, changed := f.news()
	if got, want := strings.Join(news, ""), "Changed: Pod p0, Pod p1, Pod p2 and 2 more. check judges the cluster as it is now."; got != want || changed != "Pod p4" {
		t.Errorf("told %q and %q, want %q and the last", got, changed, want)
	}
	if got, changed := f.news(); got != nil || changed != "" {
		t.Errorf("told again: %q", got)
	}
}

// TestAilments: what does not work is told once, and so is its end.
func TestAilments(t *testing.T) {
	f := &follower{flows: flow.NewLog(1)}
	f.ails(nil)
	if got, _ := f.news(); len(got) > 0 {
		t.Errorf("of a cluster in health it says %q", got)
	}
	f.ails([]backend.Ailment{{Word: "without DNS", Why: "the Service kube-dns is gone"}})
	want := "The cluster does not work as it should, without DNS: the Service kube-dns is gone. mend brings it back."
	if got, _ := f.news(); len(got) != 1 || got[0] != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	if got, _ := f.news(); len(got) > 0 {
		t.Errorf("it says %q once more", got)
	}
	f.ails(nil)
	if got, _ := f.news(); len(got) != 1 || got[0] != "All that the lab needs works again." {
		t.Errorf("after the cure it says %q", got)
	}
}
