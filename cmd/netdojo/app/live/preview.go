package live

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/mutant"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/policies/lint"
	"github.com/netdojo/netdojo/runner/trial"
	"github.com/netdojo/netdojo/tui/backend"
)

// unapplied are the problems with which the API server takes no object.
var unapplied = []lint.Code{lint.Syntax, lint.UnknownKind, lint.UnknownField, lint.WrongType, lint.MissingField}

// Preview asks the engine what becomes of the task's checks with the policies that are
// applied, and with the files of the last judgement applied too. Here is the lab as it
// is on the cluster. The pods are the lab's workloads.
func (j *Judge) Preview(ctx context.Context, e trial.Engine, here *labs.Lab, applied []unstructured.Unstructured) (backend.Preview, error) {
	said, err := j.Now(ctx)
	if err != nil {
		return backend.Preview{}, err
	}
	out := backend.Preview{Files: said.Files}
	if i := slices.IndexFunc(said.Problems, func(p lint.Problem) bool { return slices.Contains(unapplied, p.Code) }); i >= 0 {
		out.Refused = said.Problems[i].String()
		return out, nil
	}
	if j.base == nil {
		if err := j.readWorkloads(here); err != nil {
			return backend.Preview{}, err
		}
	}
	now := slices.Clone(j.base)
	for _, p := range applied {
		now = append(now, standing{ref(object.Object{Unstructured: &p}, here.Namespace), p.Object})
	}
	saved, err := j.saved(now, here.Namespace)
	if err != nil {
		return backend.Preview{}, err
	}
	before, err := written("on the cluster", now)
	if err != nil {
		return backend.Preview{}, err
	}
	task := here.Task(j.task)
	found, err := trial.Foresee(ctx, e, here, *task, j.services, [][]mutant.File{{before}, saved})
	if err != nil {
		return backend.Preview{}, err
	}
	out.Now, out.Saved, out.Refused = found[0].Verdicts, found[1].Verdicts, found[1].Refused
	return out, nil
}

// standing is an object that is on the cluster.
type standing struct {
	ref    string
	object map[string]any
}

func ref(o object.Object, namespace string) string { return o.Ref(namespace).String() }

// readWorkloads reads the lab's objects but for its policies, which are on the cluster
// or are not.
func (j *Judge) readWorkloads(here *labs.Lab) error {
	base, services := []standing{}, map[string]bool{}
	for _, name := range j.folder.Lab.Workloads {
		data, err := fs.ReadFile(j.folder.Lab.FS, name)
		if err != nil {
			return fmt.Errorf("read the lab's workloads: %w", err)
		}
		objects, err := object.Parse(name, data)
		if err != nil {
			return err
		}
		for _, o := range objects {
			if policies.Is(o.GroupVersionKind().GroupKind()) {
				continue
			}
			if o.GetNamespace() == j.folder.Lab.Namespace {
				o.SetNamespace(here.Namespace)
			}
			if r := o.Ref(here.Namespace); o.GetKind() == "Service" {
				services[r.Namespace+"/"+r.Name] = true
			}
			base = append(base, standing{ref(o, here.Namespace), o.Object})
		}
	}
	j.base, j.services = base, services
	return nil
}

// saved is what stands after the files of the last judgement were applied.
func (j *Judge) saved(now []standing, namespace string) ([]mutant.File, error) {
	var files []mutant.File
	replaced := map[string]bool{}
	for _, f := range j.last {
		objects, err := object.Parse(f.Name, f.Data)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			replaced[ref(o, namespace)] = true
		}
		files = append(files, mutant.File{Name: f.Name, Data: f.Data})
	}
	stays, err := written("on the cluster", slices.DeleteFunc(slices.Clone(now), func(s standing) bool { return replaced[s.ref] }))
	if err != nil {
		return nil, err
	}
	return append([]mutant.File{stays}, files...), nil
}

// written are objects as a file: JSON is YAML, and the faster to write.
func written(name string, all []standing) (mutant.File, error) {
	out := mutant.File{Name: name}
	for _, s := range all {
		text, err := json.Marshal(s.object)
		if err != nil {
			return out, fmt.Errorf("write %s as JSON: %w", s.ref, err)
		}
		out.Data = append(append(append(out.Data, "---\n"...), text...), '\n')
	}
	return out, nil
}
