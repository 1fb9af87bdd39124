package controlplane_test

import (
	"testing"
)

func TestNode(t *testing.T) {
	n := startNode(t, t.TempDir())
	n.await(t, "node", "all")
	n.stop(t)
}
