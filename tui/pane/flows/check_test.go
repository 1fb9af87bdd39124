package flows

import (
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/tui/flow"
	"github.com/netdojo/netdojo/tui/lesson"
)

// TestCheckOfAConnection: workloads of one name in two namespaces are two, and the
// lab's own namespace may be called otherwise on the cluster.
func TestCheckOfAConnection(t *testing.T) {
	row := func(namespace, to string) lesson.Row {
		return lesson.Row{Check: checks.Check{From: checks.From{Namespace: namespace, App: "scanner"}, To: to}}
	}
	all := []lesson.Row{row("readers", "http://catalog.shop:8080/"), row("museum", "http://catalog.shop:8080/"), row("shop", "http://catalog:8080/"), row("shop", "http://catalog.museum:8080/")}
	for _, tc := range []struct {
		from, to, own, here string
		want                int
	}{
		{"readers", "shop", "shop", "shop", 0},
		{"museum", "shop", "shop", "shop", 1},
		{"shop", "shop", "shop", "shop", 2},
		{"shop", "museum", "shop", "shop", 3},
		{"guest", "guest", "shop", "guest", 2},
		{"museum", "guest", "shop", "guest", 1},
		{"museum", "museum", "shop", "shop", -1},
		{"other", "shop", "shop", "shop", -1},
	} {
		c := flow.Connection{Flow: flow.Flow{From: flow.End{Namespace: tc.from, Name: "scanner"}, To: flow.End{Namespace: tc.to, Name: "catalog", Port: 8080}, What: "TCP"}}
		if got := check(c, all, tc.own, tc.here); got != tc.want {
			t.Errorf("from %s to %s, where %s is called %s: check %d, want %d", tc.from, tc.to, tc.own, tc.here, got, tc.want)
		}
	}
}
