//go:build conformance

package conformance

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ipFamily is netdojo's flag of that name: specs about dual stack need dual.
var ipFamily = flag.String("ip-family", "ipv4", "the cluster's IP family: ipv4 or dual")

// conformanceCluster is the embedded cluster that the specs run against.
type conformanceCluster struct {
	dir, netdojo, kubeconfig, kubectl string
}

func up() (*conformanceCluster, error) {
	dir, err := os.MkdirTemp("", "netdojo-conformance-")
	if err != nil {
		return nil, err
	}
	netdojo, err := filepath.Abs("../../bin/netdojo")
	if err != nil {
		return nil, err
	}
	c := &conformanceCluster{dir: dir, netdojo: netdojo,
		kubeconfig: filepath.Join(dir, "kubeconfig"), kubectl: filepath.Join(dir, "kubectl")}
	if err := goBuild(c.kubectl, "k8s.io/kubernetes/cmd/kubectl"); err != nil {
		return nil, errors.Join(err, c.down())
	}
	archive, err := buildImages(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("build the suite's images: %w", err), c.down())
	}
	for _, args := range [][]string{{"up", "--ip-family", *ipFamily}, {"image", "load", archive}} {
		if err := c.run(args...); err != nil {
			return nil, errors.Join(err, c.down())
		}
	}
	return c, nil
}

func (c *conformanceCluster) run(args ...string) error {
	cmd := exec.Command(c.netdojo, args...)
	cmd.Env = append(os.Environ(), "NETDOJO_STATE_DIR="+c.dir, "KUBECONFIG="+c.kubeconfig)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("netdojo %v: %w\n%s", args, err, out)
	}
	return nil
}

func (c *conformanceCluster) down() error {
	return errors.Join(c.run("down", "--purge"), os.RemoveAll(c.dir))
}
