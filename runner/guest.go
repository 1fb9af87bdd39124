package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// guest is what a session knows of being on a cluster that netdojo did not make.
// The zero value is one that it did.
type guest struct {
	home string // the lab's namespace as its files have it; "" at home
	// unsupported says why a task's policies cannot be judged there, by task.
	unsupported map[string]string
}

// settle moves the lab into a namespace that is made for it, and finds out which
// tasks cannot be judged where it is.
func (s *Session) settle(ctx context.Context, g cluster.Guest) error {
	home := s.lab.Namespace
	objects, err := s.read(s.lab.Workloads)
	if err != nil {
		return err
	}
	if why := outsideOf(objects, home); why != "" {
		return &EnvironmentError{
			Err:    fmt.Errorf("lab %s is not supported on a cluster that netdojo did not make: %s", s.lab.ID, why),
			Advice: "use one of netdojo's own: --provider embedded or kind",
		}
	}
	namespace, err := g.Settle(ctx, s.lab.ID)
	if err != nil {
		return err
	}
	s.guest = guest{home: home, unsupported: map[string]string{}}
	s.lab = s.lab.In(namespace)
	if s.tasks, s.before, err = s.lab.Select(s.t.Task); err != nil {
		return err
	}
	for _, t := range slices.Concat(s.before, s.tasks) {
		why, err := s.unsupportedBy(ctx, g, t)
		if err != nil {
			return err
		}
		if why != "" {
			s.guest.unsupported[t.ID] = why
			s.emit(event.Notice{Text: fmt.Sprintf("task %s is not supported here: %s", t.ID, why)})
		}
	}
	return nil
}

// moved puts objects that name the lab's own namespace into the one that it has
// here.
func (s *Session) moved(objects []manifests.Object) []manifests.Object {
	for _, o := range objects {
		if s.guest.home != "" && o.GetNamespace() == s.guest.home {
			o.SetNamespace(s.lab.Namespace)
		}
	}
	return objects
}

// At is a lab as it stands on a cluster: on one that netdojo did not make it has a
// namespace of its own, which is made where it is missing.
func At(ctx context.Context, h cluster.Handle, lab *labs.Lab) (*labs.Lab, error) {
	guest, ok := h.(cluster.Guest)
	if !ok {
		return lab, nil
	}
	namespace, err := guest.Settle(ctx, lab.ID)
	if err != nil {
		return nil, err
	}
	return lab.In(namespace), nil
}

// unsupportedBy says why a task cannot be judged on the cluster; "" when it can.
func (s *Session) unsupportedBy(ctx context.Context, g cluster.Guest, t labs.Task) (string, error) {
	objects, err := s.read(t.Solution)
	if err != nil {
		return "", err
	}
	if why := outsideOf(objects, s.guest.home); why != "" {
		return why, nil
	}
	for _, c := range t.Checks {
		if c.Names(s.guest.home) {
			return "check " + c.ID + " names the namespace " + s.guest.home, nil
		}
	}
	features := slices.Clone(s.lab.Needs)
	for _, o := range objects {
		if policies.Is(o.GroupVersionKind().GroupKind()) {
			features = append(features, o.GetKind())
		}
	}
	slices.Sort(features)
	lacks, err := g.Lacks(ctx, slices.Compact(features))
	if err != nil {
		return "", fmt.Errorf("find out what the datapath enforces: %w", err)
	}
	var whys []string
	for _, l := range lacks {
		whys = append(whys, l.Feature+": "+l.Why)
	}
	return strings.Join(whys, "; "), nil
}

// clusterwide says whether a kind that labs have is in no namespace.
func clusterwide(kind string) bool {
	policy, _ := policies.Find(kind)
	return policy.Clusterwide || kind == "Namespace" || kind == "CiliumCIDRGroup"
}

// outsideOf says what of the objects is not of the lab's own namespace; "" for
// nothing.
func outsideOf(objects []manifests.Object, home string) string {
	for _, o := range objects {
		switch ns := o.GetNamespace(); {
		case clusterwide(o.GetKind()):
			return fmt.Sprintf("%s %s (%s) is the whole cluster's", o.GetKind(), o.GetName(), o.File)
		case ns != "" && ns != home:
			return fmt.Sprintf("%s %s (%s) is in the namespace %s", o.GetKind(), o.GetName(), o.File, ns)
		case selects(o.Object, home):
			return fmt.Sprintf("%s %s (%s) selects pods of the namespace %s by its name", o.GetKind(), o.GetName(), o.File, home)
		}
	}
	return ""
}

// namespaceLabels are the keys by which policies select namespaces.
var namespaceLabels = []string{"io.kubernetes.pod.namespace", "k8s:io.kubernetes.pod.namespace", "kubernetes.io/metadata.name"}

// selects says whether an object selects pods of a namespace by its name.
func selects(v any, namespace string) bool {
	below := func(v any) bool { return selects(v, namespace) }
	switch v := v.(type) {
	case map[string]any:
		values, _ := v["values"].([]any)
		if key, _ := v["key"].(string); slices.Contains(namespaceLabels, key) && slices.Contains(values, any(namespace)) {
			return true
		}
		for key, value := range v {
			if slices.Contains(namespaceLabels, key) && value == namespace || below(value) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, below)
	}
	return false
}

// unsupported are the checks after a policy that would not be judged here: nothing
// is applied or probed.
func (s *Session) unsupported(t labs.Task) []record.Check {
	return s.unprobed(t, checks.Verdict{
		Kind: checks.Inconclusive, Cause: checks.CauseUnsupported, Detail: "not supported here: " + s.guest.unsupported[t.ID],
	})
}
