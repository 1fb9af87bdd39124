package doctor

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	examine "github.com/netdojo/netdojo/cluster/doctor"
	images "github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/labs"
)

func TestNeedsOfTheCatalogue(t *testing.T) {
	all, err := coursePart(catalogueName)
	if err != nil {
		t.Fatal(err)
	}
	n, err := needsOf(all)
	if err != nil {
		t.Fatal(err)
	}
	if n.largest.Pods < 30 || !slices.Contains([]string{"e1", "e2"}, n.largest.Lab) {
		t.Errorf("the largest lab is %+v", n.largest)
	}
	if len(n.images["docker.io/curlimages/curl:8.10.1"]) < 10 || !slices.Contains(n.metadata, "11") || !slices.Contains(n.features["tls"], "15") || !slices.Contains(n.ipv6, "20") || n.features["ipv6"] != nil || !slices.Contains(n.nodes, "19") || n.features["nodes"] != nil {
		t.Errorf("they need %+v", n)
	}
	nothing := func(*images.StandIn) []string { return nil }
	if r := n.inStore(nil, nothing); r.State != examine.OK {
		t.Errorf("every image of the catalogue has a stand-in: %+v", r)
	}
	track, err := coursePart("half-day")
	if err != nil || len(track) != 6 {
		t.Errorf("the track has %d labs, %v", len(track), err)
	}
}

func TestInStore(t *testing.T) {
	lab := &labs.Lab{ID: "x", Workloads: []string{"a.yaml"}, FS: fstest.MapFS{"a.yaml": {Data: []byte(`apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  replicas: 3
  template:
    spec:
      initContainers: [{name: i, image: example.com/mine:1}]
      containers: [{name: c, image: curlimages/curl}]
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: c, image: mine}]}
`)}}}
	n, err := needsOf([]*labs.Lab{lab})
	if err != nil || n.largest != (examine.Demand{Lab: "x", Pods: 4}) {
		t.Fatalf("%+v, %v", n, err)
	}
	nothing := func(*images.StandIn) []string { return nil }
	for name, tc := range map[string]struct {
		have    []string
		missing func(*images.StandIn) []string
		state   examine.State
		cause   string
		cure    string
	}{
		"none":        {nil, nothing, examine.Warning, "example.com/mine:1 (lab x); mine (lab x)", "netdojo image load"},
		"one":         {[]string{"docker.io/library/mine:latest"}, nothing, examine.Warning, "asked for example.com/mine:1 (lab x)", "netdojo image load"},
		"all":         {[]string{"docker.io/library/mine:latest", "example.com/mine:1"}, nothing, examine.OK, "", ""},
		"no programs": {nil, func(*images.StandIn) []string { return []string{"curl"} }, examine.Failed, "programs", "install the packages curl"},
	} {
		have := map[string]bool{}
		for _, i := range tc.have {
			have[i] = true
		}
		r := n.inStore(have, tc.missing)
		if r.State != tc.state || !strings.Contains(r.Cause, tc.cause) || !strings.Contains(r.Cure, tc.cure) || (tc.cause == "") != (r.Cause == "") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestElsewhere(t *testing.T) {
	n := needs{images: map[string][]string{"a": {"1"}}, features: map[string][]string{"http": {"5", "7"}}, metadata: []string{"11"}}
	for provider, want := range map[string]examine.State{"kind": examine.OK, "existing": examine.Unknown} {
		for _, r := range n.elsewhere(provider) {
			state := examine.Warning
			if r.ID == "course-datapath" {
				state = want
			}
			if r.State != state || (state != examine.OK) != (r.Cause != "" && r.Cure != "") {
				t.Errorf("%s: %+v", provider, r)
			}
		}
	}
	for _, r := range (needs{}).elsewhere("kind") {
		if r.State != examine.OK {
			t.Errorf("nothing is needed: %+v", r)
		}
	}
}

func TestPodsOf(t *testing.T) {
	for kind, want := range map[string]int{"Pod": 1, "Deployment": 1, "DaemonSet": 1, "Service": 0, "Namespace": 0} {
		if got := podsOf(&unstructured.Unstructured{Object: map[string]any{"kind": kind}}); got != want {
			t.Errorf("a %s makes %d pods", kind, got)
		}
	}
}

// TestNodes: of a cluster that netdojo did not make it is told that the lab finds out; all
// others come up with as many nodes as it needs.
func TestNodes(t *testing.T) {
	n := needs{nodes: []string{"19"}}
	for provider, want := range map[string]bool{"kind": false, "existing": true} {
		found := n.elsewhere(provider)
		i := slices.IndexFunc(found, func(r examine.Result) bool { return r.ID == courseNodes })
		if (i >= 0) != want {
			t.Errorf("%s: %+v", provider, found)
		}
		if i >= 0 && (found[i].State != examine.Unknown || !strings.Contains(found[i].Cause, "lab 19") || !strings.Contains(found[i].Cure, "--nodes 2")) {
			t.Errorf("%s: %+v", provider, found[i])
		}
	}
}

// TestIPv6: what a lab that needs it would miss is told before the day.
func TestIPv6(t *testing.T) {
	n := needs{ipv6: []string{"20"}}
	for provider, want := range map[string]examine.State{"kind": examine.Warning, "existing": examine.Unknown} {
		i := slices.IndexFunc(n.elsewhere(provider), func(r examine.Result) bool { return r.ID == courseIPv6 })
		if i < 0 {
			t.Errorf("%s: nothing is said", provider)
			continue
		}
		if r := n.elsewhere(provider)[i]; r.State != want || !strings.Contains(r.Cause, "lab 20") || !strings.Contains(r.Cure, "--ip-family dual") {
			t.Errorf("%s: %+v", provider, r)
		}
	}
	here := t.TempDir()
	for sign, want := range map[string]examine.State{here: examine.OK, here + "/none": examine.Warning} {
		all := n.ofKernel(sign)
		if len(all) != 1 || all[0].State != want || (want != examine.OK) != (all[0].Cause != "" && all[0].Cure != "") {
			t.Errorf("%+v", all)
		}
	}
	if all := (needs{}).ofKernel(here); len(all) > 0 {
		t.Errorf("nothing is needed: %+v", all)
	}
}
