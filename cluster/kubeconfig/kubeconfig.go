// Package kubeconfig puts a cluster's context into the user's kubeconfig and
// takes it out again. It changes no entry but its own, keeps fields that it does
// not know, and shares kubectl's lock file. Which cluster is meant, and whether
// it runs, it does not know.
package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ContextName is the context, cluster and user that the cluster called name has
// in a kubeconfig.
func ContextName(name string) string { return "netdojo-" + name }

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

// Target is the file that Merge writes: the first that exists, else the last,
// as kubectl has it.
func (f Files) Target() string {
	for _, path := range f {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return f[len(f)-1]
}

// Merge adds the context of the private kubeconfig to the target file and makes
// it the current one, remembering which one was. An entry of the same name from
// before is replaced. It returns the file written.
func (f Files) Merge(ctx context.Context, name, private string) (string, error) {
	path := f.Target()
	entry, err := load(private)
	if err != nil {
		return path, err
	}
	return path, update(ctx, path, func(doc *document) error {
		return doc.add(ContextName(name), entry)
	})
}

// Remove takes the cluster's entries out of all files. Where its context is the
// current one, the former comes back if it still exists. Files without such
// entries are not touched. It returns the context that became current again.
func (f Files) Remove(ctx context.Context, name string) (former string, err error) {
	known := f.contexts()
	var errs []error
	for _, path := range f {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		errs = append(errs, update(ctx, path, func(doc *document) error {
			if restored := doc.remove(ContextName(name), known); restored != "" {
				former = restored
			}
			return nil
		}))
	}
	return former, errors.Join(errs...)
}

// contexts is the set of context names in all files that can be read.
func (f Files) contexts() map[string]bool {
	known := map[string]bool{}
	for _, path := range f {
		doc, err := read(path)
		if err != nil {
			continue
		}
		for _, name := range doc.names("contexts") {
			known[name] = true
		}
	}
	return known
}

// entry is one context with what it refers to, ready to be put under a name.
type entry struct {
	cluster, user *yaml.Node
	namespace     string
}

// load reads the current context of a kubeconfig of ours, with certificates
// inlined so that it does not depend on other files.
func load(path string) (*entry, error) {
	cfg, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	if err := clientcmdapi.MinifyConfig(cfg); err != nil {
		return nil, fmt.Errorf("read the cluster's kubeconfig %s: %w", path, err)
	}
	if err := clientcmdapi.FlattenConfig(cfg); err != nil {
		return nil, fmt.Errorf("inline the certificates of %s: %w", path, err)
	}
	out, err := clientcmd.Write(*cfg)
	if err != nil {
		return nil, fmt.Errorf("encode the cluster's kubeconfig: %w", err)
	}
	doc, err := parse(path, out)
	if err != nil {
		return nil, err
	}
	e := &entry{
		cluster: get(doc.first("clusters"), "cluster"), user: get(doc.first("users"), "user"),
		namespace: cfg.Contexts[cfg.CurrentContext].Namespace,
	}
	if e.cluster == nil || e.user == nil {
		return nil, fmt.Errorf("kubeconfig %s: its current context names no cluster and user", path)
	}
	return e, nil
}

// Check says what would keep Merge from understanding the target file.
func (f Files) Check() error {
	_, err := read(f.Target())
	return err
}
