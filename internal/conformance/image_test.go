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
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"k8s.io/kubernetes/test/utils/image"
)

// userland are the programs that the specs call in their pods, by the package of
// Debian's that has them. The suite's images are Alpine's and Debian's; here they
// are made of this machine's own.
var userland = map[string][]string{
	"dash":           {"sh"},
	"coreutils":      {"cat", "dd", "seq", "sleep", "test", "date", "head", "tail", "tr", "sort", "wc", "ls", "id", "env", "timeout", "mkdir", "touch", "true", "false", "echo"},
	"grep":           {"grep"},
	"hostname":       {"hostname"},
	"libc-bin":       {"getent"},
	"iproute2":       {"ip", "ss"},
	"curl":           {"curl"},
	"wget":           {"wget"},
	"netcat-openbsd": {"nc"},
	"bind9-dnsutils": {"dig", "nslookup"},
}

// buildImages makes one image for all names that the specs' pods ask for: agnhost
// from its own code, CoreDNS as netdojo ships it (agnhost has one too), and the
// programs that are called beside them.
func buildImages(dir string) (archive string, err error) {
	agnhost := filepath.Join(dir, "agnhost")
	if err := goBuild(agnhost, "./agnhost", "-tags", "conformance", "-ldflags", "-s -w"); err != nil {
		return "", err
	}
	files := map[string]string{"agnhost": agnhost, "coredns": "../../bin/netdojo-coredns"}
	if err := addUserland(files); err != nil {
		return "", err
	}
	img, err := imageOf(files)
	if err != nil {
		return "", err
	}
	images := map[name.Tag]v1.Image{}
	for _, id := range []image.ImageID{image.Agnhost, image.GlibcDnsTesting, image.BusyBox} {
		tag, err := name.NewTag(image.GetE2EImage(id))
		if err != nil {
			return "", err
		}
		images[tag] = img
	}
	archive = filepath.Join(dir, "images.tar")
	return archive, tarball.MultiWriteToFile(archive, images)
}

func goBuild(out, pkg string, args ...string) error {
	build := exec.Command("go", slices.Concat([]string{"build", "-o", out}, args, []string{pkg})...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// addUserland adds programs of this machine and the libraries that they load: path
// in the image to path here.
func addUserland(files map[string]string) error {
	var missing []string
	for pkg, programs := range userland {
		for _, p := range programs {
			path, err := exec.LookPath(p)
			if err != nil {
				missing = append(missing, pkg)
				break
			}
			files["usr/bin/"+p] = path
			// A program that is linked to nothing makes ldd fail.
			out, _ := exec.Command("ldd", path).Output()
			for _, word := range strings.Fields(string(out)) {
				if filepath.IsAbs(word) {
					files["usr"+strings.TrimPrefix(word, "/usr")] = word
				}
			}
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("the suite's pods need programs that this machine lacks; cure: apt-get install %s", strings.Join(missing, " "))
	}
	return nil
}

// imageOf makes an image of one layer.
func imageOf(files map[string]string) (v1.Image, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	var errs []error
	for _, link := range []string{"bin", "sbin", "lib", "lib64"} {
		to := "usr/" + strings.Replace(link, "sbin", "bin", 1)
		errs = append(errs, w.WriteHeader(&tar.Header{Name: link, Linkname: to, Typeflag: tar.TypeSymlink, Mode: 0o777}))
	}
	for _, d := range []string{"tmp", "etc", "var", "var/run", "usr", "usr/bin", "usr/lib", "usr/lib64"} {
		errs = append(errs, w.WriteHeader(&tar.Header{Name: d, Typeflag: tar.TypeDir, Mode: 0o777}))
	}
	for in, here := range files {
		data, err := os.ReadFile(here)
		errs = append(errs, err, w.WriteHeader(&tar.Header{Name: in, Mode: 0o755, Size: int64(len(data))}))
		_, err = w.Write(data)
		errs = append(errs, err)
	}
	if err := errors.Join(append(errs, w.Close())...); err != nil {
		return nil, err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config.Entrypoint, file.Config.Cmd = []string{"/agnhost"}, []string{"pause"}
	file.Config.Env = []string{"PATH=/usr/bin:/bin"}
	return mutate.ConfigFile(img, file)
}
