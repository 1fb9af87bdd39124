package labs

import (
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/netdojo/netdojo/labs/catalogue"
)

// Catalogue loads every embedded lab, in the order of the course; labs that the
// course does not name come last, sorted by id.
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

// CatalogueCourse is the course that the embedded labs make.
func CatalogueCourse() (*Course, error) {
	data, err := fs.ReadFile(catalogue.FS, CourseFile)
	if err != nil {
		return nil, fmt.Errorf("read the course: %w", err)
	}
	root, problems := courseFormat.parse(data)
	var course *Course
	if len(problems) == 0 {
		course, problems = decodeCourse(catalogue.FS, data, root)
	}
	if len(problems) > 0 {
		return nil, &InvalidError{Lab: CourseFile, Problems: problems}
	}
	return course, nil
}

// catalogueIDs are the embedded labs, in the order of the course.
func catalogueIDs() []string { return inOrder(CatalogueCourse, folders(catalogue.FS)) }

func inCatalogue(id string) bool { return slices.Contains(folders(catalogue.FS), id) }

// inOrder sorts labs of a folder by its course; those that it does not name come
// last. A course that cannot be read gives no order: lint tells of it.
func inOrder(read func() (*Course, error), ids []string) []string {
	course, err := read()
	if err != nil {
		return ids
	}
	place := func(id string) int {
		if i := slices.IndexFunc(course.Labs, func(e Entry) bool { return e.Lab == id }); i >= 0 {
			return i
		}
		return len(course.Labs)
	}
	slices.SortStableFunc(ids, func(a, b string) int { return place(a) - place(b) })
	return ids
}

// folders are the labs of a folder of labs: its folders that hold a lab.yaml,
// sorted.
func folders(fsys fs.FS) []string {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil
	}
	var ids []string
	for _, e := range entries {
		if _, err := fs.Stat(fsys, path.Join(e.Name(), FileName)); err == nil && e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	return ids
}

// openCatalogue returns fs.ErrNotExist (wrapped) for a lab that is not embedded. That the
// embedded ones fit the schema is shown by the tests (TestCatalogueIsClean): to check it
// takes five times as long as to read them, and the screen reads all at its first frame.
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
	lab, _, problems := load(sub, format.parse)
	if len(problems) > 0 {
		return nil, &InvalidError{Lab: id, Problems: problems}
	}
	return lab, nil
}
