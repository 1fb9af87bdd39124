package inside

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/policies"
)

// policyPause is between two looks at an agent's endpoints; each look is two
// programs in its container.
const policyPause = 50 * time.Millisecond

// agents lists Cilium's agents that run.
func (d cilium) agents(ctx context.Context) ([]corev1.Pod, error) {
	running, err := d.running(ctx, ciliumSelector)
	if err == nil && len(running) == 0 {
		err = &cluster.Problem{What: "no agent of Cilium's runs in cluster " + d.Name, Fix: "see its pods with `netdojo kubectl -n kube-system get pods`"}
	}
	return running, err
}

// enforced waits until every endpoint of every node has realised a revision of
// the policies that holds the object as it is, or holds it no more. VALID does not
// tell: it is the operator's word on the syntax.
//
// An agent names policies by UID and not by generation. So for a policy that was
// changed it is a second one, which selects nothing, that is waited for: agents
// take objects of a kind in the order of their changes.
func (d cilium) Enforced(ctx context.Context, ref cluster.PolicyRef) error {
	agents, err := d.agents(ctx)
	if err != nil {
		return err
	}
	uid := ref.UID
	if ref.Generation > 1 && !ref.Deleted {
		marker, remove, err := d.mark(ctx, ref)
		if err != nil {
			return err
		}
		defer remove()
		uid = marker
	}
	group, gctx := errgroup.WithContext(ctx)
	for _, a := range agents {
		group.Go(func() error { return d.realised(gctx, a.Name, uid, ref) })
	}
	if err := group.Wait(); err != nil || ref.Deleted {
		return err
	}
	return d.rejected(ctx, ref)
}

// mark makes a policy of the same kind as ref that selects nothing.
func (d cilium) mark(ctx context.Context, ref cluster.PolicyRef) (uid string, remove func(), err error) {
	kind, ok := policies.Find(ref.Kind)
	if !ok {
		return "", nil, fmt.Errorf("%s is no kind of policy", ref.Kind)
	}
	client, err := manifests.New(d.REST)
	if err != nil {
		return "", nil, err
	}
	id := strings.ToLower(rand.Text()[:10])
	nobody := map[string]any{"matchLabels": map[string]any{cluster.MarkerLabel: id}}
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(kind.GVK())
	u.SetName("netdojo-marker-" + id)
	u.SetLabels(map[string]string{cluster.MarkerLabel: ""})
	switch ref.Kind {
	case policies.NetworkPolicy:
		u.Object["spec"] = map[string]any{"podSelector": nobody, "policyTypes": []any{"Ingress"}}
	case policies.ClusterNetworkPolicy:
		everybody := map[string]any{"namespaces": map[string]any{}}
		u.Object["spec"] = map[string]any{
			"tier": "Baseline", "priority": int64(0), "subject": map[string]any{"pods": map[string]any{"namespaceSelector": map[string]any{}, "podSelector": nobody}},
			"ingress": []any{map[string]any{"action": "Accept", "from": []any{everybody}}},
		}
	default:
		u.Object["spec"] = map[string]any{"endpointSelector": nobody, "ingress": []any{map[string]any{}}}
	}
	object := manifests.Object{Unstructured: u}
	res, err := client.Apply(ctx, object, metav1.NamespaceSystem)
	if err != nil {
		return "", nil, fmt.Errorf("mark where the agents are: %w", err)
	}
	return string(res.GetUID()), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
		defer cancel()
		_, _ = client.Delete(ctx, object.Ref(metav1.NamespaceSystem)) // it selects nothing, should it stay
	}, nil
}

// endpoint is what of `cilium-dbg endpoint list` tells how far an endpoint is.
type endpoint struct {
	ID     int64 `json:"id"`
	Status struct {
		State  string `json:"state"`
		Policy *struct {
			Realized *struct {
				Revision int64 `json:"policy-revision"`
			} `json:"realized"`
		} `json:"policy"`
	} `json:"status"`
}

// lookScript prints an agent's policies, and after them its endpoints.
const lookScript = "cilium-dbg policy get -o json && echo '" + lookBreak + "' && cilium-dbg endpoint list -o json"

const lookBreak = "-- endpoints --"

// realised waits for one agent. A policy of the first generation that does not
// come may have been rejected: that is looked up on the way.
func (d cilium) realised(ctx context.Context, agent, uid string, ref cluster.PolicyRef) error {
	last := "its agents were not asked yet"
	err := wait.PollUntilContextCancel(ctx, policyPause, true, func(ctx context.Context) (bool, error) {
		out, err := d.exec(ctx, agent, ciliumContainer, "sh", "-c", lookScript)
		if err == nil {
			var pending string
			if pending, err = pendingIn(out, uid, !ref.Deleted); err == nil && pending == "" {
				return true, nil
			}
			last = pending
		}
		if err != nil && ctx.Err() == nil {
			last = err.Error()
		}
		if !ref.Deleted {
			if err := d.rejected(ctx, ref); err != nil && ctx.Err() == nil {
				return false, err
			}
		}
		return false, nil
	})
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s in agent %s: %s: %w", ref.Kind, ref.Name, agent, last, ctx.Err())
	}
	return err
}

// pendingIn says what lookScript's output lacks for the policy with that UID to
// be in force, or to be so no more; "" when nothing is.
func pendingIn(out []byte, uid string, there bool) (string, error) {
	policies, list, ok := strings.Cut(string(out), lookBreak)
	if !ok {
		return "", errors.New("the agent's answer has no end")
	}
	var known struct {
		Policy   string `json:"policy"`
		Revision int64  `json:"revision"`
	}
	if err := json.Unmarshal([]byte(policies), &known); err != nil {
		return "", fmt.Errorf("read the agent's policies: %w", err)
	}
	if strings.Contains(known.Policy, uid) != there {
		if there {
			return "it does not have the policy yet", nil
		}
		return "it still has the policy", nil
	}
	var endpoints []endpoint
	if err := json.Unmarshal([]byte(list), &endpoints); err != nil {
		return "", fmt.Errorf("read the agent's endpoints: %w", err)
	}
	for _, e := range endpoints {
		switch e.Status.State {
		case "disconnecting", "disconnected", "invalid":
			continue // it is on its way out
		}
		if p := e.Status.Policy; p == nil || p.Realized == nil || p.Realized.Revision < known.Revision {
			return fmt.Sprintf("endpoint %d, which is %s, has not realised revision %d", e.ID, e.Status.State, known.Revision), nil
		}
	}
	return "", nil
}

// rejected is a *cluster.RejectedError where the operator found the policy
// invalid: agents leave such a one out, or keep what it was before.
func (d cilium) rejected(ctx context.Context, ref cluster.PolicyRef) error {
	kind, ok := policies.Find(ref.Kind)
	if !ok || kind.Name == policies.NetworkPolicy {
		return nil
	}
	client, err := manifests.New(d.REST)
	if err != nil {
		return err
	}
	u, err := client.Get(ctx, manifests.Ref{GVK: kind.GVK(), Namespace: ref.Namespace, Name: ref.Name})
	if err != nil {
		if notFound(err) {
			return nil
		}
		return fmt.Errorf("look at %s %s: %w", ref.Kind, ref.Name, err)
	}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] == "Valid" && condition["status"] == "False" {
			return &cluster.RejectedError{Ref: ref, Rejection: policies.Invalid(errors.New(fmt.Sprint(condition["message"])))}
		}
	}
	return nil
}
