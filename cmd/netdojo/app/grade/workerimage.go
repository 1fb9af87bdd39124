package grade

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster/containers"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/hostfile"
)

// Folders of a worker's image.
const (
	workerPrograms = "opt/netdojo"
	workerState    = "/var/lib/netdojo"
)

func newWorkerImage(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "worker-image FILE",
		Short: "Write the image that netdojo grade --on-cluster runs, as an archive",
		Long: `Write the image of the workers of netdojo grade --on-cluster as an archive, as docker
save does: of this netdojo's programs, and of the shell and network tools of this
machine that the labs' stand-in images show. Push it to a registry that the cluster's
nodes pull from, and name it with --worker-image. kind clusters of this machine get it
without.`,
		Example: `  netdojo grade worker-image worker.tar
  docker load -i worker.tar`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return writeWorkerImage(cmd.Context(), e, args[0]) },
	}
}

func writeWorkerImage(ctx context.Context, e *env.Env, file string) (err error) {
	name, img, err := workerImage(e)
	if err != nil {
		return err
	}
	f, err := hostfile.CreateNew(file, 0o644)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	if err = image.Write(f, map[string]v1.Image{name: img}); err == nil {
		err = ctx.Err()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(file)
		return fmt.Errorf("write %s: %w", file, err)
	}
	fmt.Fprintf(e.Out, "wrote %s: %s\n", file, name)
	return nil
}

// workerImage makes the workers' image, and names it by what is in it.
func workerImage(e *env.Env) (string, v1.Image, error) {
	if runtime.GOOS != "linux" {
		return "", nil, exit.WithCure(fmt.Errorf("make the workers' image: its programs are for Linux, and this is %s", runtime.GOOS),
			"make it with netdojo grade worker-image on Linux, and name it with --worker-image")
	}
	tools, err := containers.Tools("mount", "umount") // a node's kubelet types them
	if err != nil {
		return "", nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return "", nil, fmt.Errorf("find the running program: %w", err)
	}
	files := []image.File{
		{Path: "etc/passwd", Data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n")},
		{Path: "etc/group", Data: []byte("root:x:0:\n")},
		{Path: "root/", Mode: 0o700}, {Path: "run/"}, {Path: "tmp/", Mode: 0o1777}, {Path: "var/tmp/", Mode: 0o1777},
		{Path: workerState[1:] + "/", Mode: 0o700},
		{Path: workerPrograms + "/netdojo", Source: self, Mode: 0o755},
	}
	for _, name := range []string{"netdojo-cluster", "netdojo-coredns", "netdojo-cilium"} {
		files = append(files, image.File{Path: workerPrograms + "/" + name, Source: filepath.Join(filepath.Dir(e.Daemon), name), Mode: 0o755})
	}
	img, err := image.Build(image.Config{
		Entrypoint: []string{"/" + workerPrograms + "/netdojo"}, WorkingDir: "/",
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TMPDIR=/tmp", env.StateDirVar + "=" + workerState,
		},
	}, tools, image.Files(files...))
	if err != nil {
		return "", nil, fmt.Errorf("make the workers' image: %w", err)
	}
	id, err := img.ConfigName()
	if err != nil {
		return "", nil, fmt.Errorf("name the workers' image: %w", err)
	}
	return "docker.io/netdojo/grade-worker:" + id.Hex[:12], img, nil
}
