package lint

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/policies/lint"
)

// Bounds of what is read for one call.
const (
	maxFile    = 2 << 20  // bytes of a file; the judge has a bound of its own, and says so
	maxAll     = 64 << 20 // bytes in all
	maxEntries = 4096     // files of a folder
)

// read reads the files, those of one folder together, with what is known beside them.
func (o *Options) read(ctx context.Context) ([]lint.Input, error) {
	r := &reader{ctx: ctx, in: o.Env.In, room: maxAll, seen: map[string]bool{}, work: filepath.Join(o.Env.StateDir, "work")}
	var with []lint.File
	for _, name := range o.With {
		files, err := r.named(name)
		if err != nil {
			return nil, err
		}
		with = append(with, files...)
	}
	var folders []string
	judged := map[string][]lint.File{}
	for _, name := range o.Files {
		files, err := r.named(name)
		if err != nil {
			return nil, err
		}
		dir := filepath.Dir(name)
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			dir = filepath.Clean(name)
		}
		if name == "-" {
			dir = "-"
		}
		for _, f := range files {
			if key := filepath.Clean(f.Name); !r.seen[key] {
				r.seen[key] = true
				judged[dir] = append(judged[dir], f)
			}
		}
		if !slices.Contains(folders, dir) {
			folders = append(folders, dir)
		}
	}
	var groups []lint.Input
	for _, dir := range folders {
		in := lint.Input{Files: judged[dir], Beside: lint.Read(with), Namespace: o.Namespace}
		if len(o.With) == 0 && dir != "-" {
			beside, namespace := r.beside(dir)
			in.Beside, in.Namespace = lint.Read(beside), cmp.Or(o.Namespace, namespace)
		}
		groups = append(groups, in)
	}
	return groups, nil
}

// reader reads files, up to a bound for all.
type reader struct {
	ctx  context.Context
	in   io.Reader
	room int64
	seen map[string]bool // those that are judged
	work string          // the folder of the learner's folders, CLUSTER/LAB
}

// named reads what the command line names: a file, a folder's YAML files, or standard
// input.
func (r *reader) named(name string) ([]lint.File, error) {
	if name == "-" {
		data, err := io.ReadAll(hostfile.Stream(r.ctx, "standard input", r.in, hostfile.Limits{Size: maxFile}))
		if err != nil {
			return nil, r.unread("standard input", err)
		}
		return []lint.File{{Name: "standard input", Data: data}}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, exit.WithCure(exit.With(exit.Usage, err), "name a file or a folder of Kubernetes objects")
	}
	if !info.IsDir() {
		data, err := r.file(name, false)
		if err != nil {
			return nil, r.unread(name, err)
		}
		return []lint.File{{Name: name, Data: data}}, nil
	}
	if _, err := os.Stat(filepath.Join(name, labs.FileName)); err == nil {
		return nil, exit.WithCure(exit.Usagef("%s is a lab's folder", name), "netdojo lab lint %s judges a lab; name one of its files or folders here", name)
	}
	names, err := yamlFiles(name)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	if len(names) == 0 {
		return nil, exit.WithCure(exit.Usagef("%s holds no YAML file", name), "name the folder that does; its folders are not read")
	}
	var out []lint.File
	for _, n := range names {
		data, err := r.file(n, true)
		if err != nil {
			return nil, r.unread(n, err)
		}
		out = append(out, lint.File{Name: n, Data: data})
	}
	return out, nil
}

func (r *reader) file(name string, regular bool) ([]byte, error) {
	data, err := hostfile.ReadNamed(r.ctx, name, hostfile.Limits{Size: maxFile, Regular: regular})
	if err != nil {
		return nil, err
	}
	if r.room -= int64(len(data)); r.room < 0 {
		return nil, &hostfile.SizeError{Limit: maxAll}
	}
	return data, nil
}

func (r *reader) unread(name string, err error) error {
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	var size *hostfile.SizeError
	var kind *hostfile.KindError
	if errors.As(err, &size) || errors.As(err, &kind) || errors.Is(err, fs.ErrPermission) {
		return exit.WithCure(exit.With(exit.Usage, fmt.Errorf("read %s: %w", name, err)), "name files of Kubernetes objects")
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// yamlFiles are the YAML files of a folder, sorted.
func yamlFiles(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(maxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, ext) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(names)
	return names, nil
}

// beside reads what stands beside the files of a folder: its other YAML files that
// hold Kubernetes objects, and within a lab's folder the lab's workloads, with the
// lab's namespace. What cannot be read is not known.
func (r *reader) beside(dir string) (files []lint.File, namespace string) {
	names, _ := yamlFiles(dir)
	for _, name := range names {
		if base := filepath.Base(name); r.seen[filepath.Clean(name)] || base == labs.FileName || base == labs.CourseFile {
			continue
		}
		if data, err := r.file(name, true); err == nil && bytes.Contains(data, []byte("apiVersion")) {
			files = append(files, lint.File{Name: name, Data: data})
		}
	}
	root, found := labOf(dir)
	if !found {
		below, namespace := r.beneath(dir)
		return append(files, below...), namespace
	}
	known := func(name string) bool { return r.seen[name] || slices.Contains(names, name) }
	lab, err := labs.Load(labs.FolderFS(root))
	if err != nil {
		// A lab that is being written: its manifests are where they mostly are.
		below, _ := yamlFiles(filepath.Join(root, "manifests"))
		for _, name := range below {
			if data, err := r.file(name, true); err == nil && !known(name) {
				files = append(files, lint.File{Name: name, Data: data})
			}
		}
		return files, ""
	}
	for _, name := range lab.Workloads {
		full := filepath.Join(root, filepath.FromSlash(name))
		if data, err := fs.ReadFile(lab.FS, name); err == nil && !known(full) {
			files = append(files, lint.File{Name: full, Data: data})
		}
	}
	return files, lab.Namespace
}

// beneath is what a learner's folder for a lab of the catalogue stands on: the lab's
// manifests as they were put there, and the lab's namespace.
func (r *reader) beneath(dir string) (files []lint.File, namespace string) {
	dir, err := resolved(dir)
	if err != nil {
		return nil, ""
	}
	work, err := resolved(r.work)
	if err != nil {
		return nil, ""
	}
	rel, err := filepath.Rel(work, dir)
	if err != nil || !filepath.IsLocal(rel) {
		return nil, ""
	}
	parts := strings.SplitN(rel, string(filepath.Separator), 3)
	if len(parts) < 2 {
		return nil, ""
	}
	id, seed, individual := strings.Cut(parts[1], labs.SeedMark)
	lab, err := labs.Open(id)
	if err == nil && individual {
		lab, err = lab.Seeded(seed)
	}
	if err != nil {
		return nil, "" // of a folder of labs, whose name tells nothing of it
	}
	names, _ := yamlFiles(filepath.Join(work, parts[0], parts[1], "manifests"))
	for _, name := range names {
		if data, err := r.file(name, true); err == nil && !r.seen[name] {
			files = append(files, lint.File{Name: name, Data: data})
		}
	}
	return files, lab.Namespace
}

// resolved is a folder as an absolute name without links.
func resolved(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// maxDepth is how far below a lab's folder its files are looked for: wrong/NAME.
const maxDepth = 3

// labOf finds the folder of the lab that a folder belongs to.
func labOf(dir string) (string, bool) {
	for range maxDepth {
		if info, err := os.Stat(filepath.Join(dir, labs.FileName)); err == nil && info.Mode().IsRegular() {
			return dir, true
		}
		dir = filepath.Join(dir, "..")
	}
	return "", false
}
