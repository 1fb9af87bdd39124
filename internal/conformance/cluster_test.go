//go:build conformance

package conformance

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"k8s.io/kubernetes/test/utils/image"
)

// conformanceCluster is the embedded cluster that the specs run against.
type conformanceCluster struct {
	dir, netdojo, kubeconfig string
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
	c := &conformanceCluster{dir: dir, netdojo: netdojo, kubeconfig: filepath.Join(dir, "kubeconfig")}
	archive, err := buildImage(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("build the suite's image: %w", err), c.down())
	}
	for _, args := range [][]string{{"up"}, {"image", "load", archive}} {
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

// buildImage makes the image that the specs' pods run, of the image's own code.
func buildImage(dir string) (archive string, err error) {
	program := filepath.Join(dir, "agnhost")
	build := exec.Command("go", "build", "-tags", "conformance", "-ldflags", "-s -w", "-o", program, "./agnhost")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	err = w.WriteHeader(&tar.Header{Name: "agnhost", Mode: 0o755, Size: int64(len(data))})
	if err == nil {
		_, err = w.Write(data)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return "", err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil })
	if err != nil {
		return "", err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return "", err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return "", err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config.Entrypoint, file.Config.Cmd = []string{"/agnhost"}, []string{"pause"}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return "", err
	}
	tag, err := name.NewTag(image.GetE2EImage(image.Agnhost))
	if err != nil {
		return "", err
	}
	archive = filepath.Join(dir, "agnhost.tar")
	return archive, tarball.WriteToFile(archive, tag, img)
}
