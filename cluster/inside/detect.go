package inside

import (
	"context"
	"fmt"
	"slices"
	"strings"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/manifests/builtin"
)

// known is what enforces policies by the label that its agents' DaemonSet selects
// by, with the kinds of policies that it enforces.
var known = []struct {
	selector string
	enforcer cluster.Datapath
	kinds    []string
}{
	{agentLabel, cluster.DatapathNetdojo, nil},
	{ciliumSelector, cluster.DatapathCilium, nil},
	{"k8s-app=calico-node", "calico", []string{"NetworkPolicy"}},
	{"k8s-app=kindnet", "kindnet", []string{"NetworkPolicy"}},
	{"k8s-app=kube-router", "kube-router", []string{"NetworkPolicy"}},
	{"k8s-app=antrea", "antrea", []string{"NetworkPolicy"}},
}

// Nothing is what Enforcer says where no policy is enforced, as far as is known.
const Nothing cluster.Datapath = "none"

// Detect finds out what enforces the cluster's policies, by the agents that run in
// it. Two of those that netdojo can look into are an error: nobody knows which of
// them would say the truth.
func (c *Cluster) Detect(ctx context.Context) (Datapath, error) {
	sets, err := c.Client.AppsV1().DaemonSets("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("look for what enforces policies: %w", err)
	}
	var found []Datapath
	for _, k := range known {
		key, value, _ := strings.Cut(k.selector, "=")
		for _, s := range sets.Items {
			if s.Spec.Template.Labels[key] != value || s.Status.DesiredNumberScheduled == 0 {
				continue
			}
			if s.Labels[builtin.ManagedByLabel] == builtin.ManagedBy {
				continue // Cilium's tools without Cilium, beside netdojo's agents
			}
			if k.kinds == nil && s.Namespace != metav1.NamespaceSystem {
				return nil, &cluster.Problem{
					What: fmt.Sprintf("%s is in the namespace %s of cluster %s, and netdojo looks into that of kube-system alone", k.enforcer, s.Namespace, c.Name),
					Fix:  "use a cluster that has it in kube-system",
				}
			}
			found = append(found, c.Enforcer(k.enforcer))
			break
		}
	}
	switch {
	case len(found) == 0:
		return c.Enforcer(Nothing), nil
	case len(found) > 1 && slices.ContainsFunc(found[1:], func(d Datapath) bool { _, other := d.(others); return !other }):
		return nil, &cluster.Problem{
			What: fmt.Sprintf("cluster %s has both %s and %s", c.Name, found[0].Enforcer(), found[1].Enforcer()),
			Fix:  "remove one of them: policies are enforced by both, and netdojo sees the drops of one",
		}
	}
	return found[0], nil
}

// Enforcer is the datapath of that name; one that is not known enforces nothing.
func (c *Cluster) Enforcer(name cluster.Datapath) Datapath {
	switch name {
	case cluster.DatapathNetdojo:
		return c.Netdojo()
	case cluster.DatapathCilium:
		return c.Cilium()
	}
	for _, k := range known {
		if k.enforcer == name {
			return others{c, name, k.kinds}
		}
	}
	return others{c, Nothing, nil}
}

// others are datapaths that netdojo cannot look into: it knows what they enforce,
// and not when, nor what they drop.
type others struct {
	*Cluster
	name  cluster.Datapath
	kinds []string // of policies
}

func (o others) Enforcer() cluster.Datapath { return o.name }

func (o others) Waiting(context.Context, int) (string, error) { return "", nil }

func (o others) Follow(context.Context, *observerpb.GetFlowsRequest) (cluster.FlowStream, error) {
	return nil, cluster.ErrNoFlows
}

// Enforced returns at once: that a policy is in force has to be seen from outside.
func (o others) Enforced(context.Context, cluster.PolicyRef) error { return nil }

func (o others) Lacks(ctx context.Context, features []string) ([]cluster.Lack, error) {
	lacks, features, err := o.oneNode(ctx, features)
	if err != nil {
		return nil, err
	}
	for _, f := range features {
		if slices.Contains(o.kinds, f) {
			continue
		}
		l := cluster.Lack{Feature: f, Why: string(o.name) + " does not enforce it", Fix: "use a cluster with Cilium, or one of netdojo's own: --provider embedded or kind"}
		if f == cluster.FeatureIPv6 {
			l = cluster.NoIPv6("netdojo does not know whether pods have IPv6 with " + string(o.name))
		}
		if o.name == Nothing {
			l.Why = "nothing that enforces policies runs in the cluster, as far as netdojo knows"
		}
		lacks = append(lacks, l)
	}
	return lacks, nil
}
