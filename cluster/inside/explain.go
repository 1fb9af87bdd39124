package inside

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath/explain"
)

// Explain has every agent tell what it judges, and joins that.
func (d netdojo) Explain(ctx context.Context, req explain.Request) (*explain.Answer, error) {
	return askAll(ctx, d, func(ctx context.Context, c *control.Client) (*explain.Answer, error) { return c.ExplainEach(ctx, req) }, explain.Join)
}

func (d netdojo) Matrix(ctx context.Context, req explain.MatrixRequest) (*explain.Matrix, error) {
	return askAll(ctx, d, func(ctx context.Context, c *control.Client) (*explain.Matrix, error) { return c.Matrix(ctx, req) }, explain.JoinMatrices)
}

// Agents learn of another node's pods by their status, moments after the node does.
const (
	evenTries = 10
	evenPause = 200 * time.Millisecond
)

// askAll asks the agents of all nodes and joins their answers, again while they do
// not know the same pods.
func askAll[T any](ctx context.Context, d netdojo, ask func(context.Context, *control.Client) (T, error), join func([]explain.Part[T]) (T, error)) (T, error) {
	var out T
	pods, err := d.agents(ctx)
	if err != nil {
		return out, err
	}
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return cmp.Compare(a.Spec.NodeName, b.Spec.NodeName) })
	for try := 1; ; try++ {
		parts, err := askEach(ctx, d, pods, ask)
		if err == nil {
			out, err = join(parts)
		}
		var uneven *explain.UnevenError
		if !errors.As(err, &uneven) || try == evenTries {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(evenPause):
		}
	}
}

// askEach asks the agents side by side. What some of them do not find, and others
// do, is an *explain.UnevenError.
func askEach[T any](ctx context.Context, d netdojo, pods []corev1.Pod, ask func(context.Context, *control.Client) (T, error)) ([]explain.Part[T], error) {
	parts, errs := make([]explain.Part[T], len(pods)), make([]error, len(pods))
	var wg sync.WaitGroup
	for i, p := range pods {
		wg.Go(func() {
			c := control.NewClientOver(d.dialAgent(p.Name, ControlPort))
			defer c.CloseIdle()
			parts[i].Node = p.Spec.NodeName
			parts[i].Says, errs[i] = ask(ctx, c)
		})
	}
	wg.Wait()
	misses := 0
	for i, err := range errs {
		var call *control.CallError
		switch {
		case err == nil:
		case errors.As(err, &call) && call.Question():
			misses++
		default:
			return nil, fmt.Errorf("ask the agent of node %s: %w", parts[i].Node, err)
		}
	}
	switch misses {
	case 0:
		return parts, nil
	case len(pods):
		return nil, errs[0]
	}
	return nil, &explain.UnevenError{What: "the nodes' agents do not know the same pods yet"}
}

// noEngine is the refusal of what can be asked nothing.
func noEngine(name, enforcer string) error {
	what := "cluster " + name + " has " + enforcer
	if enforcer == Nothing {
		what = "nothing that netdojo knows enforces policies in cluster " + name
	}
	return &cluster.Problem{
		What: what, Err: cluster.ErrNoEngine,
		Fix: "ask about its objects in files, which netdojo's own engine reads: kubectl get pods,services,… -o yaml, then netdojo explain FROM TO -f DIR",
	}
}

func (d cilium) Explain(context.Context, explain.Request) (*explain.Answer, error) {
	return nil, noEngine(d.Name, "real Cilium")
}

func (d cilium) Matrix(context.Context, explain.MatrixRequest) (*explain.Matrix, error) {
	return nil, noEngine(d.Name, "real Cilium")
}

func (o others) Explain(context.Context, explain.Request) (*explain.Answer, error) {
	return nil, noEngine(o.cluster, o.name)
}

func (o others) Matrix(context.Context, explain.MatrixRequest) (*explain.Matrix, error) {
	return nil, noEngine(o.cluster, o.name)
}
