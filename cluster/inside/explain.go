package inside

import (
	"cmp"
	"context"
	"slices"

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

// askAll asks the agents of all nodes and joins their answers.
func askAll[T any](ctx context.Context, d netdojo, ask func(context.Context, *control.Client) (T, error), join func([]explain.Part[T]) (T, error)) (T, error) {
	pods, err := d.agents(ctx)
	if err != nil {
		var none T
		return none, err
	}
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return cmp.Compare(a.Spec.NodeName, b.Spec.NodeName) })
	var agents []control.Agent[T]
	for _, p := range pods {
		agents = append(agents, control.Agent[T]{Node: p.Spec.NodeName, Ask: func(ctx context.Context) (T, error) {
			c := control.NewClientOver(d.dialAgent(p.Name, ControlPort))
			defer c.CloseIdle()
			return ask(ctx, c)
		}})
	}
	return control.AskAll(ctx, agents, join)
}

// noEngine is the refusal of what can be asked nothing.
func noEngine(name string, enforcer cluster.Datapath) error {
	what := "cluster " + name + " has " + string(enforcer)
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
	return nil, noEngine(o.Name, o.name)
}

func (o others) Matrix(context.Context, explain.MatrixRequest) (*explain.Matrix, error) {
	return nil, noEngine(o.Name, o.name)
}
