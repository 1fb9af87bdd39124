package lint_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies/lint"
)

// mistakesOf makes the mistakes of all solutions, with the workloads that stand
// beside each, by lab.
func mistakesOf(t *testing.T) (all []mistake, beside map[string]lint.Beside, namespaces map[string]string, originals map[string][]byte) {
	beside, namespaces, originals = map[string]lint.Beside{}, map[string]string{}, map[string][]byte{}
	rng := rand.New(rand.NewPCG(15, 1))
	for _, l := range catalogue(t) {
		workloads := labFiles(t, l, l.Workloads)
		beside[l.ID], namespaces[l.ID] = lint.Read(workloads), l.Namespace
		for _, task := range l.Tasks {
			for _, f := range labFiles(t, l, task.Solution) {
				m := &maker{
					rng: rng, lab: l.ID, file: f, namespace: l.Namespace, labels: map[string]map[string]bool{}, spaces: map[string]bool{"default": true},
					ports: map[int]bool{53: true}, services: map[string]string{}, protocols: map[string]string{}, populated: map[string]bool{},
				}
				for _, b := range workloads {
					m.vocabulary(t, b)
				}
				originals[f.Name] = f.Data
				all = append(all, m.make()...)
			}
		}
	}
	return all, beside, namespaces, originals
}

// vocabulary takes up the labels, namespaces and ports of a manifest, by its words.
func (m *maker) vocabulary(t *testing.T, f lint.File) {
	objects, err := object.Parse(f.Name, f.Data)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		m.spaces[o.GetNamespace()] = true
		if o.GetKind() == "Deployment" {
			m.populated[cmp.Or(o.GetNamespace(), m.namespace)] = true
		}
		if o.GetKind() == "Service" {
			m.service(o.Object)
		}
		if o.GetKind() == "Namespace" {
			m.spaces[o.GetName()] = true
		}
		m.word(o.Object)
	}
}

// service takes up a Service's port that leads to another.
func (m *maker) service(o map[string]any) {
	ports, _, _ := unstructured.NestedSlice(o, "spec", "ports")
	for _, p := range ports {
		port := p.(map[string]any)
		number, target := fmt.Sprint(port["port"]), fmt.Sprint(port["targetPort"])
		if _, err := strconv.Atoi(target); err == nil && number != target {
			m.services[target] = number
		}
	}
}

func (m *maker) word(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, below := range v {
			if labels, ok := below.(map[string]any); ok && k == "labels" {
				for name, value := range labels {
					if m.labels[name] == nil {
						m.labels[name] = map[string]bool{}
					}
					if text, ok := value.(string); ok {
						m.labels[name][text] = true
					}
				}
			}
			if number, ok := below.(int64); ok && (k == "containerPort" || k == "targetPort") {
				m.ports[int(number)] = true
				if k == "containerPort" {
					text, protocol := strconv.FormatInt(number, 10), "TCP"
					if p, ok := v["protocol"].(string); ok {
						protocol = p
					}
					if m.protocols[text] == "" {
						m.protocols[text] = protocol
					} else if m.protocols[text] != protocol {
						m.protocols[text] = "both"
					}
				}
			}
			m.word(below)
		}
	case []any:
		for _, below := range v {
			m.word(below)
		}
	}
}

var everyMistake = flag.Bool("every-mistake", false, "judge every mistake, not each sixth of those of which there are many")

// many are operators that make hundreds of mistakes, each much like the others.
var many = []string{"field", "indentation", "dash", "case", "apiVersion"}

// TestMistakes counts how many mistakes are found, at their line and with a cure.
// docs/lint.md has the counts of all (-args -every-mistake).
func TestMistakes(t *testing.T) {
	all, beside, namespaces, originals := mistakesOf(t)
	made, found, same := map[string]int{}, map[string]int{}, 0
	var missed []string
	for i, m := range all {
		if !*everyMistake && i%6 != 0 && slices.Contains(many, m.operator) {
			continue
		}
		if sameObjects(originals[m.file.Name], m.file.Data) {
			same++ // the same policy, written in another way
			continue
		}
		made[m.operator]++
		r := lint.Check(lint.Input{Files: []lint.File{m.file}, Beside: beside[m.lab], Namespace: namespaces[m.lab]})
		if slices.ContainsFunc(r.Problems, func(p lint.Problem) bool {
			return m.first <= p.Line && p.Line <= m.last && p.Cure != ""
		}) {
			found[m.operator]++
			continue
		}
		text := m.String()
		for _, p := range r.Problems {
			text += "\n      told " + strconv.Itoa(p.Line) + ": " + p.Message + " (" + p.Cure + ")"
		}
		missed = append(missed, text)
	}
	total, hits := 0, 0
	for _, op := range slices.Sorted(maps.Keys(made)) {
		t.Logf("%-12s %4d of %4d", op, found[op], made[op])
		total, hits = total+made[op], hits+found[op]
	}
	t.Logf("%d of %d, %d are the same policy; not found:\n%s", hits, total, same, strings.Join(missed, "\n"))
	if total < 200 || hits*100 < total*98 {
		t.Errorf("found %d of %d", hits, total)
	}
}
