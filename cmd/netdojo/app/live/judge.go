package live

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies/lint"
	"github.com/netdojo/netdojo/tui/backend"
)

// Judge judges the files that a learner writes for a task, by the lab's workloads and
// what solves the tasks before. It is for one goroutine.
type Judge struct {
	folder    Folder
	task      string
	namespace string // of objects without one
	beside    lint.Beside
	base      []standing      // the lab's workloads, nil before a preview needs them
	services  map[string]bool // of those, as NAMESPACE/NAME
	last      []lint.File
	said      backend.Judgement
}

// NewJudge reads what the files of a task are judged by. Here is the lab as it is on the
// cluster, where its namespace may be another than the folder's lab says.
func NewJudge(folder Folder, here *labs.Lab, task string) (*Judge, error) {
	_, before, err := folder.Lab.Select(task)
	if err != nil {
		return nil, err
	}
	names := slices.Clone(folder.Lab.Workloads)
	for _, t := range before {
		names = append(names, t.Solution...)
	}
	j := &Judge{folder: folder, task: task, namespace: here.Namespace}
	var beside []lint.File
	for _, name := range names {
		data, err := fs.ReadFile(folder.Lab.FS, name)
		if err != nil {
			return nil, fmt.Errorf("read what is on the cluster: %w", err)
		}
		if here.Namespace != folder.Lab.Namespace {
			if data, err = moved(name, data, folder.Lab.Namespace, here.Namespace); err != nil {
				return nil, err
			}
		}
		beside = append(beside, lint.File{Name: name, Data: data})
	}
	j.beside = lint.Read(beside)
	return j, nil
}

// moved puts a file's objects that are in one namespace into another, and those of none
// as well.
func moved(name string, data []byte, from, to string) ([]byte, error) {
	objects, err := object.Parse(name, data)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, o := range objects {
		if o.GetNamespace() == from {
			o.SetNamespace(to)
		}
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, fmt.Errorf("write %s of %s as YAML: %w", o.GetName(), name, err)
		}
		out = append(append(out, "---\n"...), text...)
	}
	return out, nil
}

// Now judges the files as they are saved now.
func (j *Judge) Now(ctx context.Context) (backend.Judgement, error) {
	files, err := j.folder.Files(ctx, j.task)
	if err != nil {
		return backend.Judgement{}, err
	}
	if j.said.Files != nil && slices.EqualFunc(files, j.last, same) {
		return j.said, nil
	}
	report := lint.Check(lint.Input{Files: files, Beside: j.beside, Namespace: j.namespace})
	out := backend.Judgement{Files: []string{}, Policies: report.Policies, Problems: report.Problems, Revision: j.said.Revision + 1}
	for _, f := range files {
		out.Files = append(out.Files, f.Name)
	}
	out.Unasked = report.Policies > 0 && len(report.Problems) == 0
	j.last, j.said = files, out
	return out, nil
}

// Unasked is what the policy engine is to be asked about the last judgement; it has no
// files where there is nothing to ask.
func (j *Judge) Unasked() lint.Input {
	if !j.said.Unasked {
		return lint.Input{}
	}
	return lint.Input{Files: j.last, Namespace: j.namespace}
}

// Refused adds what the policy engine refuses of the files of a judgement. Where others
// were judged since, it changes nothing.
func (j *Judge) Refused(revision int, problems []lint.Problem) backend.Judgement {
	if j.said.Unasked && j.said.Revision == revision {
		j.said.Unasked, j.said.Problems = false, problems
	}
	return j.said
}

func same(a, b lint.File) bool { return a.Name == b.Name && string(a.Data) == string(b.Data) }
