package page

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/labs/page"
)

// Load reads a page with the files that its commands need: those that stand beside it,
// and those that it shows or applies from elsewhere and that are in its tree.
func Load(ctx context.Context, file string) (page.Page, []page.Beside, error) {
	p, err := Read(ctx, file)
	if err != nil {
		return p, nil, err
	}
	files, err := besideOf(file, &p)
	if err != nil {
		return p, nil, exit.With(exit.Usage, err)
	}
	return p, files, nil
}

// besideOf are the files that a page names, of its own folder, and those that its
// shortcodes show, of its site.
func besideOf(file string, p *page.Page) ([]page.Beside, error) {
	folder := filepath.Dir(file)
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open the page's folder: %w", err)
	}
	defer root.Close()
	files, err := page.Find(root.FS(), *p)
	if err != nil {
		return nil, err
	}
	has := map[string]bool{}
	for _, f := range files {
		has[f.Name] = true
	}
	for _, s := range p.Steps {
		// Its folder is looked for above the page, however far that is.
		name := s.Name
		for strings.HasPrefix(name, "../") {
			name = name[len("../"):]
		}
		if s.Kind != page.File || s.Text != "" || has[filepath.Base(name)] || !filepath.IsLocal(name) {
			continue
		}
		if data, ok := ofSite(folder, name); ok {
			files = append(files, page.Beside{Name: filepath.Base(name), Mode: 0o644, Data: data})
		}
	}
	for _, c := range p.Commands() {
		u, err := url.Parse(c.Remote)
		if c.Remote == "" || err != nil {
			continue
		}
		if name, data, ok := remoteOf(root.FS(), folder, u.Path); ok {
			p.Have(c.Remote, name)
			files = append(files, page.Beside{Name: name, Mode: 0o644, Data: data})
		}
	}
	return files, nil
}

// remoteOf finds the file of an address beside the page, by its name, or in the page's
// tree, by as much of its path as there is.
func remoteOf(beside fs.FS, folder, path string) (name string, data []byte, ok bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i := range parts {
		name := strings.Join(parts[i:], "/")
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return "", nil, false
		}
		if i == len(parts)-1 {
			data, ok := regular(beside, name)
			return name, data, ok
		}
		if data, ok := ofSite(folder, name); ok {
			return name, data, true
		}
	}
	return "", nil, false
}

// regular reads a regular file of a page's tree. Whatever else is there, such as a FIFO,
// is passed over: to open it may take for ever.
func regular(fsys fs.FS, name string) ([]byte, bool) {
	info, err := fs.Stat(fsys, name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxShown {
		return nil, false
	}
	data, err := fs.ReadFile(fsys, name)
	return data, err == nil
}

// siteDepth bounds how far above a page its site's root is looked for.
const siteDepth = 8

// maxShown bounds a file of a page's tree.
const maxShown = 4 << 20

// ofSite reads a file by its path below the site's root, which is one of the folders
// above the page. Only manifests are read: a page must not take what else is there.
func ofSite(folder, name string) ([]byte, bool) {
	if ext := filepath.Ext(name); ext != ".yaml" && ext != ".yml" && ext != ".json" {
		return nil, false
	}
	return above(folder, name)
}

// above reads a file by its path below one of the folders above a page, the nearest
// first.
func above(folder, name string) ([]byte, bool) {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, false
	}
	at, err := filepath.Abs(folder)
	if err != nil {
		return nil, false
	}
	for range siteDepth {
		root, err := os.OpenRoot(at)
		if err != nil {
			return nil, false
		}
		data, ok := regular(root.FS(), filepath.ToSlash(name))
		if root.Close(); ok {
			return data, true
		}
		if at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	return nil, false
}
