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

// TestAdvisedOnce: what said that check judges has no change say it again, and the next
// one does.
func TestAdvisedOnce(t *testing.T) {
	f := &follower{flows: flow.NewLog(1)}
	tell := func() string {
		f.change("Pod p")
		news, _ := f.news()
		return strings.Join(news, "")
	}
	f.advise()
	if got := tell(); got != "Changed: Pod p." {
		t.Errorf("after advice it says %q", got)
	}
	if got := tell(); got != "Changed: Pod p. check judges the cluster as it is now." {
		t.Errorf("of another change it says %q", got)
	}
	f.advise()
	f.judged()
	if got := tell(); got != "Changed: Pod p. check judges the cluster as it is now." {
		t.Errorf("of a change after a check it says %q", got)
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
