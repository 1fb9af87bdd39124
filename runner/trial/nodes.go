package trial

import (
	"io/fs"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
)

// nodal are a lab's pods that have their node's address. The engine, which is asked
// without a cluster, knows one node: of a lab of several it cannot say which node is whose.
type nodal struct {
	pods     []nodalPod
	services map[string]bool // that lead to them, by NAME.NAMESPACE
}

type nodalPod struct {
	namespace string
	labels    labels.Set
}

// OfNodes are the checks of a task, by id, of which an end has the address of a node, in a
// lab that needs several. No engine foresees them.
func OfNodes(lab *labs.Lab, task labs.Task) (map[string]bool, error) {
	found := map[string]bool{}
	if !lab.NeedsNodes() {
		return found, nil
	}
	n := nodal{services: map[string]bool{}}
	if err := n.read(lab); err != nil {
		return nil, err
	}
	for _, c := range task.Checks {
		if n.has(c) {
			found[c.ID] = true
		}
	}
	return found, nil
}

// read notes the pods of the lab's workloads, then the Services that select them.
func (n *nodal) read(lab *labs.Lab) error {
	var objects []object.Object
	for _, name := range lab.Workloads {
		data, err := fs.ReadFile(lab.FS, name)
		if err != nil {
			return err
		}
		more, err := object.Parse(name, data)
		if err != nil {
			return err
		}
		objects = append(objects, more...)
	}
	for _, o := range objects {
		if host, _, _ := unstructured.NestedBool(o.Object, "spec", "template", "spec", "hostNetwork"); host {
			of, _, _ := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "labels")
			n.pods = append(n.pods, nodalPod{o.Ref(lab.Namespace).Namespace, of})
		}
	}
	for _, o := range objects {
		if o.GetKind() != "Service" {
			continue
		}
		selector, _, _ := unstructured.NestedStringMap(o.Object, "spec", "selector")
		if ref := o.Ref(lab.Namespace); n.selects(ref.Namespace, labels.SelectorFromSet(selector)) {
			n.services[ref.Name+"."+ref.Namespace] = true
		}
	}
	return nil
}

func (n *nodal) selects(namespace string, s labels.Selector) bool {
	for _, p := range n.pods {
		if p.namespace == namespace && s.Matches(p.labels) {
			return true
		}
	}
	return false
}

// has says whether an end of a check is such a pod.
func (n *nodal) has(c checks.Check) bool {
	if s, err := labels.Parse(c.From.Selector()); err == nil && c.From.Selector() != "" && n.selects(c.From.Namespace, s) {
		return true
	}
	d, err := c.Destination()
	if err != nil {
		return false
	}
	name, _ := serviceOf(d.Host, c.From.Namespace, nil)
	return n.services[name]
}
