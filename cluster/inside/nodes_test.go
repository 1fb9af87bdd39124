package inside

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/netdojo/netdojo/cluster"
)

// TestOneNode: what enforces policies makes no difference to how many nodes there are, and
// who does not need two is told nothing.
func TestOneNode(t *testing.T) {
	for nodes, want := range map[int]bool{1: true, 2: false, 3: false} {
		client := fake.NewClientset()
		for i := range nodes {
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", i)}}
			if _, err := client.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		c := &Cluster{Name: "c", Client: client}
		for _, d := range []Datapath{netdojo{c}, others{c, "calico", []string{"NetworkPolicy"}}} {
			lacks, err := d.Lacks(t.Context(), []string{"NetworkPolicy", cluster.FeatureNodes})
			if err != nil {
				t.Fatal(err)
			}
			if got := len(lacks) == 1 && strings.Contains(lacks[0].Fix, "netdojo up --nodes 2 --name two"); got != want || !want && len(lacks) > 0 {
				t.Errorf("%T, %d nodes: %+v", d, nodes, lacks)
			}
			if lacks, err := d.Lacks(t.Context(), []string{"NetworkPolicy"}); err != nil || slices.ContainsFunc(lacks, func(l cluster.Lack) bool { return l.Feature == cluster.FeatureNodes }) {
				t.Errorf("%T: %+v, %v", d, lacks, err)
			}
		}
	}
}
