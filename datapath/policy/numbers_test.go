package policy

import (
	"fmt"
	"testing"

	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/labels"
)

func podLabels(app int) labels.Labels {
	return labels.NewLabelsFromSortedList(fmt.Sprintf("k8s:app=%d;k8s:io.kubernetes.pod.namespace=default", app))
}

// TestSharedNumbers: two nodes number the same labels alike, in whichever order they come,
// and a number is one set of labels' alone.
func TestSharedNumbers(t *testing.T) {
	quiet := func(identity.IdentityMap, identity.IdentityMap) {}
	one, two := newAllocator(true, quiet), newAllocator(true, quiet)
	const pods = 50
	first := map[int]identity.NumericIdentity{}
	for i := range pods {
		id, _, err := one.acquire(podLabels(i))
		if err != nil {
			t.Fatal(err)
		}
		if id.ID < FirstPodIdentity || id.ID > LastPodIdentity || one.find(id.ID) != id {
			t.Errorf("pod %d has the number %d", i, id.ID)
		}
		first[i] = id.ID
	}
	for i := pods - 1; i >= 0; i-- {
		id, _, err := two.acquire(podLabels(i))
		if err != nil {
			t.Fatal(err)
		}
		if id.ID != first[i] {
			t.Errorf("pod %d is %d on one node and %d on another", i, first[i], id.ID)
		}
	}
	// Where two meet, the later one gets the next number.
	meets := identity.NewIdentity(first[0], podLabels(-1))
	fresh := newAllocator(true, quiet)
	fresh.byID[first[0]] = &numbered{identity: meets, key: "another", refs: 1}
	if id, _, err := fresh.acquire(podLabels(0)); err != nil || id.ID != first[0]+1 {
		t.Errorf("beside another with its number it is %v, %v; want %d", id, err, first[0]+1)
	}
}
