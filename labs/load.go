package labs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/manifests/object"
)

// Open loads a lab of the catalogue by its id, or the folder at a path. An id of
// the catalogue comes first, in capitals too; ./04 means the folder. It returns *UnknownError or
// *InvalidError.
func Open(idOrPath string) (*Lab, error) {
	if lab, err := openCatalogue(strings.ToLower(idOrPath)); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return lab, err
	}
	if _, err := os.Stat(filepath.Join(idOrPath, FileName)); err != nil {
		return nil, &UnknownError{What: "lab", Name: idOrPath, Known: catalogueIDs()}
	}
	lab, err := Load(FolderFS(idOrPath))
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		invalid.Lab = idOrPath
	}
	if err != nil {
		return nil, err
	}
	lab.Dir = idOrPath
	return lab, nil
}

// maxFile bounds a file of a lab.
const maxFile = 1 << 20

// FolderFS is a lab's folder, which anybody may have written: regular files of at
// most 1 MiB that lie in it, by no symbolic link.
func FolderFS(dir string) fs.FS { return hostfile.DirFS(dir, maxFile) }

// Load reads a lab's lab.yaml, checks it against the schema and its files, and
// returns *InvalidError with every problem when it is not a lab. Its manifests
// and answers are YAML documents of objects then; whether a cluster takes them
// is asked of the cluster.
func Load(fsys fs.FS) (*Lab, error) {
	lab, _, problems := load(fsys, format.read)
	if len(problems) == 0 {
		problems = lab.syntax()
	}
	if len(problems) > 0 {
		id := "?"
		if lab != nil && lab.ID != "" {
			id = lab.ID
		}
		return nil, &InvalidError{Lab: id, Problems: problems}
	}
	return lab, nil
}

// load also returns the parsed lab.yaml, nil when it is not YAML. The lab is nil
// when it does not fit the schema, which read checks, or does not.
func load(fsys fs.FS, read func(format, []byte) (*yaml.Node, []Problem)) (*Lab, *yaml.Node, []Problem) {
	data, err := fs.ReadFile(fsys, FileName)
	if err != nil {
		return nil, nil, []Problem{{
			File: FileName, Message: "cannot be read: " + reason(err),
			Cure: "a lab is a folder with a " + FileName,
		}}
	}
	root, problems := read(labFormat, data)
	if len(problems) > 0 {
		return nil, root, problems
	}
	lab := &Lab{FS: fsys, root: root}
	if err := root.Decode(lab); err != nil {
		return nil, root, []Problem{labFormat.yamlProblem(data, err)}
	}
	lab.defaults()
	problems = lab.verify(root)
	lab.expand()
	return lab, root, problems
}

// expand replaces each matrix by its cells.
func (l *Lab) expand() {
	for i, t := range l.Tasks {
		l.Tasks[i].Checks = t.cells()
	}
}

// cells are the task's checks, those of its matrices one by one.
func (t Task) cells() []checks.Check {
	var cells []checks.Check
	for _, c := range t.Checks {
		cells = append(cells, c.Cells()...)
	}
	return cells
}

// syntax finds what is no YAML, or no object, in the files that a session
// applies.
func (l *Lab) syntax() []Problem {
	files := slices.Clone(l.Workloads)
	for _, t := range l.Tasks {
		files = append(files, t.Solution...)
		for _, w := range t.Wrong {
			files = append(files, w.Files...)
		}
	}
	slices.Sort(files)
	var problems []Problem
	for _, f := range slices.Compact(files) {
		data, err := fs.ReadFile(l.FS, f)
		if err == nil {
			_, err = object.Parse(f, data)
		}
		problems = append(problems, syntaxProblems(f, err)...)
	}
	return problems
}

// defaults fills what the file may leave out.
func (l *Lab) defaults() {
	if l.Namespace == "" {
		l.Namespace = "default"
	}
	for i := range l.Tasks {
		for j := range l.Tasks[i].Checks {
			if c := &l.Tasks[i].Checks[j]; c.From.Namespace == "" {
				c.From.Namespace = l.Namespace
			}
		}
	}
}

// read reads a file into its root node, which is nil when it is not YAML, and
// checks it against its schema.
func (f format) read(data []byte) (*yaml.Node, []Problem) {
	root, problems := f.parse(data)
	if len(problems) > 0 {
		return nil, problems
	}
	return root, f.validate(root)
}

// parse reads one YAML document into its root node.
func (f format) parse(data []byte) (*yaml.Node, []Problem) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		return nil, []Problem{{File: f.file, Line: 1, Message: "is empty", Cure: f.start}}
	}
	if err != nil {
		return nil, []Problem{f.yamlProblem(data, err)}
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, []Problem{f.at(&second, "", "a second YAML document", "keep one document; remove the line ---")}
	} else if !errors.Is(err, io.EOF) {
		return nil, []Problem{f.yamlProblem(data, err)}
	}
	root := doc.Content[0]
	return root, f.strict(root, "")
}

// strict finds what YAML allows and a lab does not: aliases and keys that come
// twice or are no text.
func (f format) strict(n *yaml.Node, path string) []Problem {
	var problems []Problem
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return []Problem{f.at(n, path, "anchors and aliases are not taken", "write the value out")}
	}
	if n.Kind != yaml.MappingNode {
		for i, c := range n.Content {
			problems = append(problems, f.strict(c, fmt.Sprintf("%s[%d]", path, i))...)
		}
		return problems
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			problems = append(problems, f.at(key, path, "a key is not a word", "write KEY: VALUE"))
			continue
		}
		if line, twice := seen[key.Value]; twice {
			problems = append(problems, f.at(key, path, fmt.Sprintf("%q is already set in line %d", key.Value, line), "keep one of the two"))
		}
		seen[key.Value] = key.Line
		problems = append(problems, f.strict(value, join(path, key.Value))...)
	}
	return problems
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// at makes a problem of the file. path, when given, says which field is meant.
func (f format) at(n *yaml.Node, path, message, cure string) Problem {
	if path != "" {
		message = path + ": " + message
	}
	return Problem{File: f.file, Line: n.Line, Column: n.Column, Message: message, Cure: cure}
}

func (f format) yamlProblem(data []byte, err error) Problem {
	line, message, advice := object.DescribeYAML(data, err)
	return Problem{File: f.file, Line: line, Message: message, Cure: advice}
}

// reason is an error of the file system without the path, which the position
// already tells.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// OpenAll opens a lab as Open does, or all labs of a folder of labs, in the order
// of its course. Labs that cannot be loaded are in invalid.
func OpenAll(idOrPath string) (all []*Lab, invalid []*InvalidError, err error) {
	dirs := []string{idOrPath}
	if _, err := os.Stat(filepath.Join(idOrPath, FileName)); err != nil {
		fsys := FolderFS(idOrPath)
		if ids := folders(fsys); len(ids) > 0 && !inCatalogue(idOrPath) {
			dirs = dirs[:0]
			for _, id := range inOrder(func() (*Course, error) { return LoadCourse(fsys) }, ids) {
				dirs = append(dirs, filepath.Join(idOrPath, id))
			}
		}
	}
	for _, dir := range dirs {
		lab, err := Open(dir)
		var broken *InvalidError
		switch {
		case errors.As(err, &broken):
			invalid = append(invalid, broken)
		case err != nil:
			return nil, nil, err
		default:
			all = append(all, lab)
		}
	}
	return all, invalid, nil
}
