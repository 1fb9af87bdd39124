package labs

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/internal/typo"
	"github.com/netdojo/netdojo/manifests/object"
)

// podSet is the labels of pods, by namespace.
type podSet map[string][]map[string]string

// deadSelectors finds checks whose source is none of the lab's pods, neither as they
// are deployed nor as a solution changes them: they would be broken for ever. Pods of
// namespaces that the lab does not deploy to are not known, and not looked at.
func (l *Lab) deadSelectors(root *yaml.Node) []Problem {
	v := &verifier{format: labFormat, fs: l.FS, root: root}
	pods := podSet{}
	files := slices.Clone(l.Workloads)
	for _, t := range l.Tasks {
		files = append(files, t.Solution...)
	}
	for _, f := range files {
		pods.read(l.FS, f, l.Namespace)
	}
	for i, t := range l.Tasks {
		told := map[string]bool{}
		for _, c := range t.Checks {
			if !c.InPod() || pods[c.From.Namespace] == nil || pods.has(c.From) {
				continue
			}
			if what := c.From.String(); !told[what] {
				told[what] = true
				v.add(checkLocation(root, i, c.ID), fmt.Sprintf("check %q is from %s, and no pod of the lab has these labels", c.ID, what), pods.cure(c.From))
			}
		}
	}
	return v.problems
}

// checkLocation is where a check is in lab.yaml, that of its matrix for a cell.
func checkLocation(root *yaml.Node, task int, id string) []string {
	loc := []string{"tasks", strconv.Itoa(task), "checks"}
	list := below(root, "tasks")
	if list == nil || task >= len(list.Content) {
		return loc
	}
	all := below(list.Content[task], "checks")
	if all == nil {
		return loc
	}
	for i, n := range all.Content {
		if name := below(n, "id"); name != nil && (name.Value == id || strings.HasPrefix(id, name.Value+".")) {
			return append(loc, strconv.Itoa(i))
		}
	}
	return loc
}

// read adds the pods of a manifest. What cannot be read is told elsewhere.
func (p podSet) read(fsys fs.FS, file, namespace string) {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return
	}
	objects, err := object.Parse(file, data)
	if err != nil {
		return
	}
	for _, o := range objects {
		ns := o.Ref(namespace).Namespace
		if o.GetKind() == "Pod" {
			p[ns] = append(p[ns], o.GetLabels())
			continue
		}
		template := mapAt(o.Object, "spec", "template")
		if template == nil {
			template = mapAt(o.Object, "spec", "jobTemplate", "spec", "template")
		}
		if template == nil {
			continue
		}
		lbls := map[string]string{}
		for k, value := range mapAt(template, "metadata", "labels") {
			lbls[k] = fmt.Sprint(value)
		}
		p[ns] = append(p[ns], lbls)
	}
}

func mapAt(m map[string]any, path ...string) map[string]any {
	for _, step := range path {
		m, _ = m[step].(map[string]any)
	}
	return m
}

// has says whether a pod is one of those that probe.
func (p podSet) has(from checks.From) bool {
	want := maps.Clone(from.Labels)
	if want == nil {
		want = map[string]string{}
	}
	if from.App != "" {
		want["app"] = from.App
	}
	return slices.ContainsFunc(p[from.Namespace], func(lbls map[string]string) bool {
		for k, value := range want {
			if lbls[k] != value {
				return false
			}
		}
		return true
	})
}

// cure names the apps that there are.
func (p podSet) cure(from checks.From) string {
	var apps []string
	for _, lbls := range p[from.Namespace] {
		if app := lbls["app"]; app != "" && !slices.Contains(apps, app) {
			apps = append(apps, app)
		}
	}
	slices.Sort(apps)
	if near := typo.Nearest(from.App, apps); near != "" && from.App != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	cure := "correct the labels, or deploy such a pod"
	if len(apps) > 0 {
		cure += "; apps there: " + strings.Join(apps, ", ")
	}
	return cure
}
