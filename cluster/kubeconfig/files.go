package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// Files are kubeconfig files in order of precedence, as in $KUBECONFIG.
type Files []string

// Default gives the files of $KUBECONFIG, else ~/.kube/config.
func Default() (Files, error) {
	var files Files
	for _, path := range filepath.SplitList(os.Getenv("KUBECONFIG")) {
		if path != "" && !slices.Contains(files, path) {
			files = append(files, path)
		}
	}
	if len(files) > 0 {
		return files, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, &Error{Act: "find the kubeconfig", Err: err, cure: "set KUBECONFIG to a file of yours"}
	}
	return Files{filepath.Join(home, ".kube", "config")}, nil
}

// ErrNowhere says that no context can be merged: the files are devices or streams,
// such as /dev/null or /dev/fd/N, which can be read and keep nothing.
var ErrNowhere = errors.New("KUBECONFIG names no file that can hold a context")

// Target is the file that Merge writes: the first that exists, else the last, as
// kubectl has it, of those that can be written as files. Empty means that none can.
func (f Files) Target() string {
	target := ""
	for _, path := range f {
		if isStream(path) {
			continue
		}
		target = path
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return target
}

// isStream says whether path is something that is read and not kept: a device, a
// FIFO, or a file by the number of its descriptor, whatever it is open on.
func isStream(path string) bool {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	// Not EvalSymlinks: /dev/stdin leads on, through /proc/self/fd/0, to a file of
	// which only the open descriptor is meant.
	for range hostfile.MaxLinks {
		if strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/") {
			return true
		}
		next, isLink := hostfile.Follow(path)
		if !isLink {
			break
		}
		path = next
	}
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

// streams is what streams had, by path: they can be read once, and commands look at
// the kubeconfig more than once.
var streams sync.Map

// readUsers reads one of the user's files. One that is missing is fs.ErrNotExist.
func readUsers(ctx context.Context, path string) ([]byte, error) {
	stream := isStream(path)
	if stream {
		if data, known := streams.Load(path); known {
			return data.([]byte), nil
		}
	}
	data, err := hostfile.ReadNamed(ctx, path, hostfile.Limits{Size: maxSize})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Act: "open the kubeconfig", Err: err, cure: "set KUBECONFIG to a file that kubectl understands"}
	}
	if err == nil && stream {
		streams.Store(path, data)
	}
	return data, err
}

// Load reads the user's kubeconfig as kubectl does: of an entry that several files
// have, the first one counts. Files that are missing are passed over.
func (f Files) Load(ctx context.Context) (*clientcmdapi.Config, error) {
	out := clientcmdapi.NewConfig()
	for _, path := range f {
		data, err := readUsers(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		cfg, err := clientcmd.Load(data)
		if err != nil {
			return nil, &Error{Act: "read " + path, Err: err, cure: "correct the file, or set KUBECONFIG to another one"}
		}
		if err := located(cfg, path); err != nil {
			return nil, err
		}
		addMissing(out.Clusters, cfg.Clusters)
		addMissing(out.Contexts, cfg.Contexts)
		addMissing(out.AuthInfos, cfg.AuthInfos)
		if out.CurrentContext == "" {
			out.CurrentContext = cfg.CurrentContext
		}
	}
	return out, nil
}

// located makes the paths in a file's entries absolute: they are relative to it.
func located(cfg *clientcmdapi.Config, path string) error {
	for _, c := range cfg.Clusters {
		c.LocationOfOrigin = path
	}
	for _, u := range cfg.AuthInfos {
		u.LocationOfOrigin = path
	}
	if err := clientcmd.ResolveLocalPaths(cfg); err != nil {
		return fmt.Errorf("resolve the paths in %s: %w", path, err)
	}
	return nil
}

func addMissing[V any](to, from map[string]V) {
	for name, v := range from {
		if _, there := to[name]; !there {
			to[name] = v
		}
	}
}
