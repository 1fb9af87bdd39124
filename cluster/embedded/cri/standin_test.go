//go:build linux

package cri

import (
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestStandInsAreLikeTheirImages: curl's user is its own and may use its working
// folder, and busybox's wget is busybox's, whatever the machine has.
func TestStandInsAreLikeTheirImages(t *testing.T) {
	n := startNode(t)
	of := func(image string) func(*runtimeapi.ContainerConfig) {
		return func(c *runtimeapi.ContainerConfig) { c.Image.Image = image }
	}
	want := "100\n101\n/home/curl_user\nx"
	if ids := n.server.svc.ids.uids; len(ids) == 1 && ids[0].size == 1 {
		want = "0\n0\n/home/curl_user\nx" // there is no other user
	}
	if out := n.shell("id -u; id -g; pwd; touch x; ls", of("curlimages/curl")); out != want {
		t.Errorf("curl's image says %q, want %q", out, want)
	}
	out := n.shell("wget -q -O - http://127.0.0.1:1; echo $?", of("busybox"))
	if want := "wget: can't connect to remote host (127.0.0.1): Connection refused\n1"; out != want {
		t.Errorf("busybox's wget says %q, want %q", out, want)
	}
}
