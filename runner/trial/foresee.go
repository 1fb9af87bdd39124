package trial

import (
	"context"
	"fmt"
	"maps"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/mutant"
)

// Foreseen is what becomes of a task's checks with one set of files.
type Foreseen struct {
	// Refused is why a policy of the set is not taken; there are no verdicts then.
	Refused string
	// Verdicts are by check. A check of which the engine cannot say has none.
	Verdicts map[string]checks.Kind
}

// largeName is the name outside whose answer takes a question by TCP, as the world of
// netdojo's clusters has it.
const largeName = "large.example.com"

// apiServer is the API server's Service, of which no file tells.
const apiServer = "svc/kubernetes.default"

// Foresee asks the engine what becomes of a task's checks with each of several sets of
// files, of which each holds all that stands on the cluster then. Services are those
// that the lab has, as NAMESPACE/NAME. The error is the engine's, or that of files that
// hold no objects.
func Foresee(ctx context.Context, e Engine, lab *labs.Lab, task labs.Task, services map[string]bool, sets [][]mutant.File) ([]Foreseen, error) {
	services = maps.Clone(services)
	services["kube-system/kube-dns"], services["default/kubernetes"] = true, true
	ofNodes, err := OfNodes(lab, task)
	if err != nil {
		return nil, err
	}
	var all []asked
	var questions []Question
	for _, c := range task.Checks {
		found := foretelling(questionsOf(c, services))
		if found == nil || ofNodes[c.ID] {
			continue
		}
		all = append(all, asked{check: c, questions: found, first: len(questions)})
		questions = append(questions, found...)
	}
	found, err := e.Compare(ctx, Comparison{Namespace: lab.Namespace, Sets: sets, Ask: questions})
	if err != nil {
		return nil, fmt.Errorf("ask the engine about task %s: %w", task.ID, err)
	}
	out := make([]Foreseen, len(found))
	for i, f := range found {
		out[i] = Foreseen{Refused: f.Refused, Verdicts: map[string]checks.Kind{}}
		if f.Refused != "" {
			continue
		}
		for _, a := range all {
			if v := foreseen(a, f.Said); v != "" {
				out[i].Verdicts[a.check.ID] = v
			}
		}
	}
	return out, nil
}

// foretelling are a check's questions as the engine is asked when nobody probes: with
// what a probe would do beside them.
func foretelling(questions []Question) []Question {
	if len(questions) == 0 {
		return nil
	}
	last := &questions[len(questions)-1]
	switch last.To {
	case apiServer:
		last.To, last.Port = "kube-apiserver", 0 // the port that it listens on
	case largeName:
		byTCP := Question{Namespace: last.Namespace, From: last.From, To: "svc/kube-dns.kube-system", Port: 53, Protocol: "TCP", DNS: largeName}
		return append([]Question{byTCP}, questions...)
	}
	return questions
}

// foreseen is the verdict that a probe of the check would come to, "" where the engine
// does not say.
func foreseen(a asked, said []Said) checks.Kind {
	v := verdict(a, said)
	switch last := a.questions[len(a.questions)-1]; {
	case v == unclear:
		return checks.Broken // the name is not found
	case v == checks.ExpectDeniedL7 && last.SNI != "":
		return checks.Denied // TLS has no answer that says so: the connection ends
	}
	return checks.Kind(v)
}
