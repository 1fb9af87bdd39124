package trial

import (
	"fmt"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/runner"
)

// attempt is an answer to a task and what it must bring.
type attempt struct {
	kind    Kind
	name    string
	answers runner.Answers
	fails   []labs.Fails // every check that fails after it
	any     bool         // fails does not matter
	policy  string       // of any: the name of its policies
	hint    string       // "" for any
	points  *int         // nil for any
}

// awaited are the verdicts by which the attempt is declared to fail and, of policies for
// everything, those that the datapath says it has by these.
func (a attempt) awaited() runner.Awaited {
	return func(check string, v checks.Verdict) bool {
		if a.any {
			by := v.Evidence.Allow
			if v.Evidence.Drop != nil {
				by = v.Evidence.Drop.Policies
			}
			return slices.ContainsFunc(by, func(p checks.PolicyName) bool { return p.Name == a.policy })
		}
		return slices.ContainsFunc(a.fails, func(f labs.Fails) bool { return f.Check == check && meets(v, f) })
	}
}

// attemptsAt are the answers that a task is tried with: nothing, the solution, every
// known wrong answer and, where there are points, policies that deny or allow
// everything in the namespaces that the task is about.
func attemptsAt(lab *labs.Lab, task labs.Task) ([]attempt, error) {
	none := 0
	_, full := task.Score(func(string) bool { return true })
	all := []attempt{
		{kind: Nothing, name: string(Nothing), fails: mustChange(lab, task), points: &none},
		{kind: Solution, name: string(Solution), answers: runner.Solution(lab), points: &full},
	}
	for _, w := range task.Wrong {
		answers, err := runner.KnownWrong(lab, task.ID, w.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, attempt{
			kind: Wrong, name: w.Name, answers: answers, fails: w.Fails, hint: strings.TrimSpace(w.Hint), points: w.Points,
		})
	}
	if len(task.Pairs) == 0 {
		return all, nil
	}
	for _, e := range []struct {
		kind Kind
		spec string
	}{
		{DenyAll, `{podSelector: {}, policyTypes: [Ingress, Egress]}`},
		{AllowAll, `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`},
	} {
		policy := "lab-test-" + string(e.kind)
		answer, err := everywhere(lab, task, e.kind, policy, e.spec)
		if err != nil {
			return nil, err
		}
		all = append(all, attempt{kind: e.kind, name: string(e.kind), answers: runner.Always(answer), any: true, policy: policy, points: &none})
	}
	return all, nil
}

// everywhere is one policy in each namespace that a task is about.
func everywhere(lab *labs.Lab, task labs.Task, kind Kind, policy, spec string) (runner.Answer, error) {
	namespaces := []string{lab.Namespace}
	for _, c := range task.Checks {
		if c.InPod() && !slices.Contains(namespaces, c.From.Namespace) {
			namespaces = append(namespaces, c.From.Namespace)
		}
	}
	var text strings.Builder
	for _, ns := range namespaces {
		fmt.Fprintf(&text, "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: %s, namespace: %s}, spec: %s}\n", policy, ns, spec)
	}
	return runner.Text("the answer "+string(kind), string(kind)+".yaml", text.String())
}

// mustChange are the checks that a cluster without an answer fails: what they bring
// before the policy is not what they are to bring after it. No policy lets them
// through, but for one that the lab deploys itself or that an earlier task has left.
func mustChange(lab *labs.Lab, task labs.Task) []labs.Fails {
	by := byNone
	if lab.Tasks[0].ID != task.ID || deploysPolicies(lab) {
		by = ""
	}
	var fails []labs.Fails
	for _, c := range task.Checks {
		if c.Before != "" && c.After != "" && c.Before != c.After {
			fails = append(fails, labs.Fails{Check: c.ID, Verdict: checks.Kind(c.Before), By: by})
		}
	}
	return fails
}

func deploysPolicies(lab *labs.Lab) bool {
	for _, file := range lab.Workloads {
		for _, obj := range objectsIn(lab.FS, file) {
			if policies.Is(obj.GroupVersionKind().GroupKind()) {
				return true
			}
		}
	}
	return false
}

// Who decided a check, as labs.Fails has it.
const (
	byPolicy = "policy"
	byNone   = "none"
)
