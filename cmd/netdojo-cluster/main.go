//go:build linux

// Command netdojo-cluster is the embedded cluster's daemon. `netdojo up` starts
// it with "daemon"; it becomes the launcher, which starts it again as "node"
// inside the cluster's namespaces. `netdojo explain -f` starts it with "explain",
// to have one question answered by the policy engine.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/embedded/daemon"
	"github.com/netdojo/netdojo/cluster/embedded/offline"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
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
	listen := []string{"127.0.0.1:" + strconv.Itoa(spec.APIPort)}
	for _, p := range spec.Publish {
		listen = append(listen, "127.0.0.1:"+strconv.Itoa(p.HostPort))
	}
	return userns.Exec(userns.Config{
		Dir: *dir, Images: *images, Daemon: self, CoreDNS: *coredns, Cilium: *cilium, Helper: helper, Listen: listen,
	})
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
	if err := errors.Join(ignoreNotExist(os.Remove(path)), os.WriteFile(path, b, 0o755)); err != nil {
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

func runNode() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	n, err := strconv.Atoi(os.Getenv(userns.EnvListeners))
	if err != nil {
		return fmt.Errorf("read %s: %w", userns.EnvListeners, err)
	}
	var listeners []*os.File
	for i := range n {
		unix.CloseOnExec(3 + i)
		listeners = append(listeners, os.NewFile(uintptr(3+i), "listener"))
	}
	return daemon.Run(ctx, daemon.Config{
		Dir:       userns.NodeClusterDir,
		BinDir:    userns.NodeBinDir,
		ImagesDir: userns.NodeImagesDir,
		Listeners: listeners,
		Log:       os.Stderr,
	})
}
