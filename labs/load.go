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

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/manifests"
)

// Open loads a lab of the catalogue by its id, or the folder at a path. An id of
// the catalogue comes first; ./04 means the folder. It returns *UnknownError or
// *InvalidError.
func Open(idOrPath string) (*Lab, error) {
	if lab, err := openCatalogue(idOrPath); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return lab, err
	}
	if _, err := os.Stat(filepath.Join(idOrPath, FileName)); err != nil {
		return nil, &UnknownError{What: "lab", Name: idOrPath, Known: catalogueIDs()}
	}
	lab, err := Load(os.DirFS(idOrPath))
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

// Load reads a lab's lab.yaml, checks it against the schema and its files, and
// returns *InvalidError with every problem when it is not a lab. Its manifests
// and answers are YAML documents of objects then; whether a cluster takes them
// is asked of the cluster.
func Load(fsys fs.FS) (*Lab, error) {
	lab, _, problems := load(fsys)
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
// when it does not fit the schema.
func load(fsys fs.FS) (*Lab, *yaml.Node, []Problem) {
	data, err := fs.ReadFile(fsys, FileName)
	if err != nil {
		return nil, nil, []Problem{{
			File: FileName, Message: "cannot be read: " + reason(err),
			Cure: "a lab is a folder with a " + FileName,
		}}
	}
	root, problems := parse(data)
	if len(problems) > 0 {
		return nil, nil, problems
	}
	if problems := validate(root); len(problems) > 0 {
		return nil, root, problems
	}
	lab := &Lab{FS: fsys}
	if err := root.Decode(lab); err != nil {
		return nil, root, []Problem{yamlProblem(data, err)}
	}
	lab.defaults()
	return lab, root, lab.verify(root)
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
			_, err = manifests.Parse(f, data)
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

// parse reads one YAML document into its root node.
func parse(data []byte) (*yaml.Node, []Problem) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		return nil, []Problem{{File: FileName, Line: 1, Message: "is empty", Cure: "start with id, title and tasks"}}
	}
	if err != nil {
		return nil, []Problem{yamlProblem(data, err)}
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, []Problem{at(&second, "", "a second YAML document", "a lab is one document; remove the line ---")}
	} else if !errors.Is(err, io.EOF) {
		return nil, []Problem{yamlProblem(data, err)}
	}
	root := doc.Content[0]
	return root, strict(root, "")
}

// strict finds what YAML allows and a lab does not: aliases and keys that come
// twice or are no text.
func strict(n *yaml.Node, path string) []Problem {
	var problems []Problem
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return []Problem{at(n, path, "anchors and aliases are not taken", "write the value out")}
	}
	if n.Kind != yaml.MappingNode {
		for i, c := range n.Content {
			problems = append(problems, strict(c, fmt.Sprintf("%s[%d]", path, i))...)
		}
		return problems
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			problems = append(problems, at(key, path, "a key is not a word", "write KEY: VALUE"))
			continue
		}
		if line, twice := seen[key.Value]; twice {
			problems = append(problems, at(key, path, fmt.Sprintf("%q is already set in line %d", key.Value, line), "keep one of the two"))
		}
		seen[key.Value] = key.Line
		problems = append(problems, strict(value, join(path, key.Value))...)
	}
	return problems
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// at makes a problem of lab.yaml. path, when given, says which field is meant.
func at(n *yaml.Node, path, message, cure string) Problem {
	if path != "" {
		message = path + ": " + message
	}
	return Problem{File: FileName, Line: n.Line, Column: n.Column, Message: message, Cure: cure}
}

func yamlProblem(data []byte, err error) Problem {
	line, message, advice := manifests.DescribeYAML(data, err)
	return Problem{File: FileName, Line: line, Message: message, Cure: advice}
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
