//go:build linux

// Command netdojo-cluster is the embedded cluster's daemon. `netdojo up` starts
// it with "daemon"; it becomes the launcher, which starts it again as "node"
// inside the cluster's namespaces, which starts it as "further" in each node beside it, and as "pull" outside of them for each image that
// the node wants of a registry. `netdojo explain -f` starts it with "explain", to have
// one question answered by the policy engine.
package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/embedded/daemon"
	"github.com/netdojo/netdojo/cluster/embedded/offline"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cluster/world/outside"
)

// packed holds netdojo-helper once `make build` has put it there. Without it
// the package still compiles, so that go vet needs no build.
//
//go:embed all:packed
var packed embed.FS

func main() {
	if len(os.Args) < 2 {
		os.Exit(usage())
	}
	var err error
	switch role, args := os.Args[1], os.Args[2:]; role {
	case "daemon":
		err = runDaemon(args)
	case "node":
		err = runNode()
	case "further":
		err = runFurther()
	case "pull":
		err = runPull(args)
	case "remove":
		err = runRemove(args)
	case "explain":
		err = offline.Run(context.Background(), os.Stdin, os.Stdout)
	default:
		os.Exit(usage())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "netdojo:", err)
		var cured interface{ Cure() string }
		if errors.As(err, &cured) && cured.Cure() != "" {
			fmt.Fprintln(os.Stderr, "cure:", cured.Cure())
		}
		os.Exit(3)
	}
}

func usage() int {
	fmt.Fprintln(os.Stderr, "netdojo-cluster is started by `netdojo up`")
	return 2
}

// runDaemon unpacks the helper and becomes its launch role.
func runDaemon(args []string) error {
	flags := flag.NewFlagSet("daemon", flag.ContinueOnError)
	dir := flags.String("dir", "", "the cluster's folder")
	images := flags.String("images", "", "the image store")
	coredns := flags.String("coredns", "", "the CoreDNS program")
	cilium := flags.String("cilium", "", "the program of Cilium's tools")
	if err := flags.Parse(args); err != nil {
		return err
	}
	spec, err := daemon.ReadSpec(*dir)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	// The launcher makes sure of it; but the helper of one that runs stays as it is.
	if userns.Running(*dir) {
		return fmt.Errorf("cluster in %s is already running", *dir)
	}
	helper := filepath.Join(*dir, "helper")
	if err := unpackHelper(helper); err != nil {
		return err
	}
	asked, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode the cluster's spec: %w", err)
	}
	listen := []string{"127.0.0.1:" + strconv.Itoa(spec.APIPort)}
	for _, p := range spec.Publish {
		listen = append(listen, "127.0.0.1:"+strconv.Itoa(p.HostPort))
	}
	return userns.Exec(userns.Config{
		Dir: *dir, Images: *images, Daemon: self, CoreDNS: *coredns, Cilium: *cilium, Helper: helper,
		Listen: listen, Balancers: daemon.BalancerHosts(spec), Internet: spec.World == cluster.WorldInternet, MaxImageGiB: spec.MaxImageGiB, Spec: asked,
	})
}

// runPull gets one image into the store. What is asked comes from a pod.
func runPull(args []string) error {
	flags := flag.NewFlagSet("pull", flag.ContinueOnError)
	images := flags.String("images", "", "the image store")
	most := flags.Int("max-gib", 0, "how many GiB the image may take; 0 is the store's default")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var asked outside.Image
	var auth image.Auth
	err := json.NewDecoder(os.Stdin).Decode(&asked)
	if err == nil && len(asked.Auth) > 0 {
		err = json.Unmarshal(asked.Auth, &auth)
	}
	if err != nil {
		return fmt.Errorf("read what to pull: %w", err)
	}
	store, err := image.Open(image.Options{Dir: *images, Transport: strangers(), MaxSize: int64(*most) << 30})
	if err != nil {
		return err
	}
	_, err = store.Pull(context.Background(), asked.Ref, auth)
	return err
}

func readHelper() ([]byte, error) {
	b, err := packed.ReadFile("packed/netdojo-helper")
	if err != nil {
		return nil, errors.New("netdojo-helper is not packed into this program: build with `make build`")
	}
	return b, nil
}

func unpackHelper(path string) error {
	b, err := readHelper()
	if err != nil {
		return err
	}
	// A helper of an earlier run may be executing still: replace, do not write.
	err = errors.Join(ignoreNotExist(os.Remove(path)), os.WriteFile(path, b, 0o700))
	if err == nil { // the node's users run it too, whatever the umask
		err = os.Chmod(path, 0o755)
	}
	if err != nil {
		return fmt.Errorf("unpack the helper: %w", err)
	}
	return nil
}

func ignoreNotExist(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// runRemove has the helper delete folders from inside a user namespace. The
// helper is run from memory: the folder that held it is what gets deleted.
func runRemove(paths []string) error {
	b, err := readHelper()
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("netdojo-helper", 0)
	if err != nil {
		return fmt.Errorf("unpack the helper: %w", err)
	}
	f := os.NewFile(uintptr(fd), "netdojo-helper")
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("unpack the helper: %w", err)
	}
	argv := append([]string{"netdojo-helper", "remove"}, paths...)
	return syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", fd), argv, os.Environ())
}

// maxSpec bounds what the node is told to be.
const maxSpec = 1 << 20

func runNode() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var given userns.Node
	var spec cluster.Spec
	err := json.NewDecoder(io.LimitReader(os.Stdin, maxSpec)).Decode(&given)
	if err == nil {
		err = json.Unmarshal(given.Spec, &spec)
	}
	if err != nil {
		return fmt.Errorf("read the cluster's spec: %w", err)
	}
	unix.CloseOnExec(userns.NodeOutside)
	unix.CloseOnExec(userns.NodeLog)
	return daemon.Run(ctx, daemon.Config{
		Spec:      spec,
		Balancers: given.Balancers,
		BinDir:    userns.NodeBinDir,
		ImagesDir: userns.NodeImagesDir,
		Outside:   os.NewFile(userns.NodeOutside, "outside"),
		Log:       os.Stderr,
	})
}

func runFurther() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	unix.CloseOnExec(userns.NodeOutside)
	return daemon.RunFurther(ctx, daemon.Config{
		BinDir:    userns.NodeBinDir,
		ImagesDir: userns.NodeImagesDir,
		Outside:   os.NewFile(userns.NodeOutside, "outside"),
		Log:       os.Stderr,
	}, os.Stdin)
}
