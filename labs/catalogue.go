package labs

import (
	"io/fs"
	"path"

	"github.com/netdojo/netdojo/labs/catalogue"
)

// Catalogue loads every embedded lab, sorted by id.
func Catalogue() ([]*Lab, error) {
	var all []*Lab
	for _, id := range catalogueIDs() {
		lab, err := openCatalogue(id)
		if err != nil {
			return nil, err
		}
		all = append(all, lab)
	}
	return all, nil
}

func catalogueIDs() []string {
	entries, err := fs.ReadDir(catalogue.FS, ".")
	if err != nil {
		return nil
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	return ids
}

// openCatalogue returns fs.ErrNotExist (wrapped) for a lab that is not embedded.
func openCatalogue(id string) (*Lab, error) {
	if !fs.ValidPath(id) || path.Base(id) != id || id == "." {
		return nil, fs.ErrNotExist
	}
	if _, err := fs.Stat(catalogue.FS, path.Join(id, FileName)); err != nil {
		return nil, err
	}
	sub, err := fs.Sub(catalogue.FS, id)
	if err != nil {
		return nil, err
	}
	return Load(sub)
}
