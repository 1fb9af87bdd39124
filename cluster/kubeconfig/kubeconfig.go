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

	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/tools/clientcmd"
)

// ContextName is the context, cluster and user that the cluster called name has
// in a kubeconfig.
func ContextName(name string) string { return "netdojo-" + name }

// Merge adds the context of a cluster's own kubeconfig to the target file and makes
// it the current one, remembering which one was. An entry of the same name from
// before is replaced. It returns the file written, or ErrNowhere.
func (f Files) Merge(ctx context.Context, name, own string, source Source) (string, error) {
	path := f.Target()
	entry, err := load(own, source)
	if err != nil {
		return path, err
	}
	if path == "" {
		return "", ErrNowhere
	}
	return path, update(ctx, path, func(doc *document) error {
		return doc.add(ContextName(name), entry)
	})
}

// Remove takes the cluster's entries out of all files. Where its context is the
// current one, the former comes back if it still exists. Files without such
// entries are not touched. It returns the context that became current again.
func (f Files) Remove(ctx context.Context, name string) (former string, err error) {
	known := f.contexts(ctx)
	var errs []error
	for _, path := range f {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || isStream(path) {
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

// contexts is the set of context names in all files that can be read more than once.
func (f Files) contexts(ctx context.Context) map[string]bool {
	known := map[string]bool{}
	for _, path := range f {
		if isStream(path) {
			continue
		}
		doc, err := read(ctx, path)
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

// load reads the entry for a user's kubeconfig from a cluster's own. It depends on
// no other file.
func load(path string, source Source) (*entry, error) {
	cfg, err := Read(path, source)
	if err != nil {
		return nil, err
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
func (f Files) Check(ctx context.Context) error {
	path := f.Target()
	if path == "" {
		return nil
	}
	_, err := read(ctx, path)
	return err
}
