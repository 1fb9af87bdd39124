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
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// visit is what a session knows of being on a cluster that netdojo did not make.
// The zero value is one that it did.
type visit struct {
	home string // the lab's namespace as its files have it; "" at home
	// unsupported says why a task's policies cannot be judged there, by task.
	unsupported map[string]string
}

// settle moves the lab into a namespace that is made for it, and finds out which
// tasks cannot be judged where it is.
func (s *session) settle(ctx context.Context, g cluster.Guest) error {
	home := s.o.Lab.Namespace
	objects, err := s.read(s.o.Lab.Workloads)
	if err != nil {
		return err
	}
	if why := leaves(objects, home); why != "" {
		return &EnvironmentError{
			Err:    fmt.Errorf("lab %s is not supported on a cluster that netdojo did not make: %s", s.o.Lab.ID, why),
			Advice: "use one of netdojo's own: --provider embedded or kind",
		}
	}
	namespace, err := g.Settle(ctx, s.o.Lab.ID)
	if err != nil {
		return err
	}
	s.visit = visit{home: home, unsupported: map[string]string{}}
	s.o.Lab = s.o.Lab.In(namespace)
	if s.tasks, s.before, err = s.o.Lab.Select(s.o.Task); err != nil {
		return err
	}
	for _, t := range slices.Concat(s.before, s.tasks) {
		why, err := s.unsupportedBy(ctx, g, t)
		if err != nil {
			return err
		}
		if why != "" {
			s.visit.unsupported[t.ID] = why
			s.emit(event.Notice{Text: fmt.Sprintf("task %s is not supported here: %s", t.ID, why)})
		}
	}
	return nil
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
func (s *session) unsupportedBy(ctx context.Context, g cluster.Guest, t labs.Task) (string, error) {
	objects, err := s.read(t.Solution)
	if err != nil {
		return "", err
	}
	if why := leaves(objects, s.visit.home); why != "" {
		return why, nil
	}
	for _, c := range t.Checks {
		d, err := checks.ParseDestination(c.To)
		if err == nil && strings.Contains(d.Host+".", "."+s.visit.home+".") {
			return "check " + c.ID + " names the namespace " + s.visit.home, nil
		}
	}
	features := slices.Clone(s.o.Lab.Needs)
	for _, o := range objects {
		if isPolicy(o.GroupVersionKind()) {
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

// clusterwide are the kinds that labs have beside those of namespaces.
var clusterwide = []string{"Namespace", "CiliumClusterwideNetworkPolicy", "CiliumCIDRGroup", "ClusterNetworkPolicy"}

// leaves says what of the objects is not of the lab's own namespace; "" for nothing.
func leaves(objects []manifests.Object, home string) string {
	for _, o := range objects {
		switch ns := o.GetNamespace(); {
		case slices.Contains(clusterwide, o.GetKind()):
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
func (s *session) unsupported(t labs.Task) []record.Check {
	return s.unprobed(t, checks.Verdict{
		Kind: checks.Inconclusive, Cause: checks.CauseUnsupported, Detail: "not supported here: " + s.visit.unsupported[t.ID],
	})
}
