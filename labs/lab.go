// Package labs knows what a lab is: its folder, its lab.yaml, and how to load,
// lint and list labs. It runs nothing.
//
//	lab.yaml       what the lab declares (schema/lab.schema.json)
//	*.md           the pages that a learner reads
//	manifests/     what is deployed before the first task
//	solution/      what solves the tasks
//	wrong/NAME/    known wrong answers, each with its own hint
//
// A pack is what of a lab those who take it as an exam are given.
package labs

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/internal/typo"
)

// FileName is the file that makes a folder a lab.
const FileName = "lab.yaml"

// Lab is a loaded lab. Its paths are relative to FS.
type Lab struct {
	// How the lab is called on the command line. Quote numbers.
	ID string `yaml:"id" jsonschema:"required,pattern=^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"`
	// What the lab is called in lists.
	Title string `yaml:"title" jsonschema:"required,minLength=1"`
	// One sentence for the list of labs.
	Summary string `yaml:"summary" jsonschema:"minLength=1"`
	// Where the lab's objects live; default when absent. A lab with a namespace of its own leaves others alone.
	Namespace string `yaml:"namespace" jsonschema:"pattern=^[a-z0-9]([a-z0-9-]{0\\,61}[a-z0-9])?$"`
	// What the datapath must be able to judge, beside addresses and ports (dns, http, tls), and what the cluster must have: IPv6 beside IPv4 for pods and Services (ipv6), two nodes (nodes).
	Needs []string `yaml:"needs" jsonschema:"enum=dns,enum=http,enum=tls,enum=ipv6,enum=nodes,uniqueItems=true"`
	// What of the outside the lab needs.
	World World `yaml:"world"`
	// Manifests to deploy before the first task, in this order.
	Workloads Files `yaml:"workloads"`
	// The kinds of objects that a graded answer may hold, by name; when absent NetworkPolicy, CiliumNetworkPolicy, and those of the solutions and known wrong answers.
	Accepts []string `yaml:"accepts" jsonschema:"minItems=1,uniqueItems=true,pattern=^[A-Z][A-Za-z]*$"`
	// Makes an exam of the lab.
	Exam *Exam `yaml:"exam"`
	// Words of the lab's files that differ from person to person, by a seed.
	Values []Value `yaml:"values" jsonschema:"minItems=1"`
	// The seed whose words the files have. netdojo writes it; it stands in place of values.
	Seed string `yaml:"seed" jsonschema:"maxLength=64,pattern=^[a-z0-9]([a-z0-9._@+-]*[a-z0-9])?$"`
	// The exercises, in their order.
	Tasks []Task `yaml:"tasks" jsonschema:"required,minItems=1"`

	FS fs.FS `yaml:"-"`
	// Dir is where the lab was opened, "" for one of the catalogue.
	Dir string `yaml:"-"`
	// Begun is the netdojo with which the learner began the lab, where the catalogue has
	// another by now; else "".
	Begun string `yaml:"-"`

	root *yaml.Node // lab.yaml, for the places of what it declares
}

// Files are paths inside the lab's folder, with slashes.
type Files = []string

// World is what of the outside a lab needs.
type World struct {
	// DNS names outside the cluster that must answer.
	Names []string `yaml:"names" jsonschema:"uniqueItems=true,pattern=^([a-z0-9_]([a-z0-9-]*[a-z0-9])?\\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?$"`
}

// Task is one exercise of a lab.
type Task struct {
	// How the task is called on the command line, after the lab.
	ID string `yaml:"id" jsonschema:"required,pattern=^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"`
	// What the task is called.
	Title string `yaml:"title" jsonschema:"required,minLength=1"`
	// The Markdown page that the learner reads.
	Page string `yaml:"page" jsonschema:"minLength=1"`
	// What the learner starts from: a file that is put into their folder, in which they write their answer.
	Skeleton string `yaml:"skeleton" jsonschema:"minLength=1"`
	// What is probed before and after the policy.
	Checks []checks.Check `yaml:"checks" jsonschema:"minItems=1"`
	// The checks whose outcome the learner is asked to predict before the first apply, by id; none when absent.
	Predict []string `yaml:"predict" jsonschema:"uniqueItems=true"`
	// Questions about what was seen.
	Quiz []Question `yaml:"quiz" jsonschema:"minItems=1"`
	// What the task is worth: an allow and a deny that share an end.
	Pairs []Pair `yaml:"pairs" jsonschema:"minItems=1"`
	// Manifests that solve the task, in this order.
	Solution Files `yaml:"solution"`
	// Hints, from the vaguest to the plainest.
	Hints Hints `yaml:"hints"`
	// Known wrong answers.
	Wrong []Wrong `yaml:"wrong"`
	// Changes of the solution that no check is to notice, each with its reason.
	Unnoticed []Unnoticed `yaml:"unnoticed" jsonschema:"minItems=1"`
}

// Unnoticed is a change of the solution that no check is to notice.
type Unnoticed struct {
	// The policy that is changed: KIND NAMESPACE/NAME, or KIND NAME, as lab test prints it.
	Object string `yaml:"object" jsonschema:"required,minLength=1"`
	// The field that is changed, as lab test prints it.
	Path string `yaml:"path" jsonschema:"required,minLength=1"`
	// What is done to it, as lab test prints it.
	Change string `yaml:"change" jsonschema:"required,minLength=1"`
	// Why no check is to notice it.
	Because string `yaml:"because" jsonschema:"required,minLength=1"`
}

// Hints climb: each gives more away than the one before.
type Hints struct {
	// A question that leads to the concept.
	Question string `yaml:"question" jsonschema:"minLength=1"`
	// The concept that is needed.
	Concept string `yaml:"concept" jsonschema:"minLength=1"`
	// The fields to write.
	Field string `yaml:"field" jsonschema:"minLength=1"`
	// What to write in them.
	Diff string `yaml:"diff" jsonschema:"minLength=1"`
}

// Levels are the hints that there are, in the order in which they climb.
func (h Hints) Levels() []string {
	var levels []string
	for _, text := range []string{h.Question, h.Concept, h.Field, h.Diff} {
		if text != "" {
			levels = append(levels, strings.TrimSpace(text))
		}
	}
	return levels
}

// Question is one of a quiz.
type Question struct {
	// How the question is called.
	ID string `yaml:"id" jsonschema:"required,pattern=^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"`
	// What is asked.
	Ask string `yaml:"ask" jsonschema:"required,minLength=1"`
	// The choices, of which some are right and some wrong.
	Choices []Choice `yaml:"choices" jsonschema:"required,minItems=2"`
	// Why, told when it was answered.
	Because string `yaml:"because" jsonschema:"minLength=1"`
}

// Choice is an answer that a question offers.
type Choice struct {
	// The answer.
	Text string `yaml:"text" jsonschema:"required,minLength=1"`
	// Whether it is right.
	Right bool `yaml:"right"`
}

// Pair is what points are given for: an allow that must survive and a deny that
// must hold. They share a source or a destination, so that neither an empty
// answer nor one that denies everything earns anything.
type Pair struct {
	// The check that is allowed after the policy, by id.
	Allow string `yaml:"allow" jsonschema:"required,minLength=1"`
	// The check that is denied after the policy, by id.
	Deny string `yaml:"deny" jsonschema:"required,minLength=1"`
	// What the two are worth together; 1 when absent.
	Points int `yaml:"points" jsonschema:"minimum=1"`
}

// Worth is what a pair earns when both halves pass.
func (p Pair) Worth() int { return max(p.Points, 1) }

// Score is what a task earned of what it is worth, by which checks after the
// policy passed. A pair of which one half failed earns nothing.
func (t Task) Score(passed func(check string) bool) (points, of int) {
	for _, p := range t.Pairs {
		of += p.Worth()
		if passed(p.Allow) && passed(p.Deny) {
			points += p.Worth()
		}
	}
	return points, of
}

// Graded is the task as it is graded: where it has no pairs of its own, each check
// that is allowed after the policy makes one with each denied one that shares its
// pod or its destination.
func (t Task) Graded() Task {
	if len(t.Pairs) > 0 {
		return t
	}
	all := t.cells()
	for _, allow := range all {
		for _, deny := range all {
			denied := deny.After == checks.ExpectDenied || deny.After == checks.ExpectDeniedL7
			if allow.After == checks.ExpectAllowed && denied && (allow.From.String() == deny.From.String() || allow.Target() == deny.Target()) {
				t.Pairs = append(t.Pairs, Pair{Allow: allow.ID, Deny: deny.ID})
			}
		}
	}
	return t
}

// Wrong is a known wrong answer.
type Wrong struct {
	// How the answer is called, and the folder below wrong that holds it.
	Name string `yaml:"name" jsonschema:"required,pattern=^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"`
	// What is applied instead of the solution.
	Files Files `yaml:"files" jsonschema:"required"`
	// What a learner who made this mistake is told.
	Hint string `yaml:"hint" jsonschema:"required,minLength=1"`
	// The points that the answer earns; not compared when absent.
	Points *int `yaml:"points" jsonschema:"minimum=0"`
	// Every check that differs after this answer, and how.
	Fails []Fails `yaml:"fails" jsonschema:"required,minItems=1"`
}

// Fails is how one check differs under a wrong answer. Empty fields match all.
type Fails struct {
	// The check's id.
	Check string `yaml:"check" jsonschema:"required,minLength=1"`
	// The verdict that it brings.
	Verdict checks.Kind `yaml:"verdict"`
	// The verdict's cause.
	Cause checks.Cause `yaml:"cause" jsonschema:"minLength=1"`
	// Whether a policy let the connection through or refused it (policy), or none did (none).
	By string `yaml:"by" jsonschema:"enum=policy,enum=none"`
}

// NeedsIPv6 says whether the lab needs a cluster with IPv6 beside IPv4.
func (l *Lab) NeedsIPv6() bool { return slices.Contains(l.Needs, "ipv6") }

// NeedsNodes says whether the lab needs a cluster of two nodes.
func (l *Lab) NeedsNodes() bool { return slices.Contains(l.Needs, "nodes") }

// MetadataAddress is that of the metadata service of clouds.
const MetadataAddress = "169.254.169.254"

// AsksMetadata says whether a check dials the metadata service, which the simulated world
// has in embedded clusters alone.
func (l *Lab) AsksMetadata() bool {
	return slices.ContainsFunc(l.Tasks, func(t Task) bool {
		return slices.ContainsFunc(t.Checks, func(c checks.Check) bool { return strings.Contains(c.To, MetadataAddress) })
	})
}

// Task returns the task with an id, or nil.
func (l *Lab) Task(id string) *Task {
	for i := range l.Tasks {
		if l.Tasks[i].ID == id {
			return &l.Tasks[i]
		}
	}
	return nil
}

// AnswerFile is how the file for the task's answer is called: as the lab's skeleton of
// it, else as its solution, which is what pages call it, else by the task.
func (t Task) AnswerFile() string {
	switch {
	case t.Skeleton != "":
		return path.Base(t.Skeleton)
	case len(t.Solution) == 1:
		return path.Base(t.Solution[0])
	}
	return t.ID + ".yaml"
}

// Select returns the tasks to run: all for "", else the one with the id. The
// tasks before it are its prerequisites.
func (l *Lab) Select(id string) (selected, prerequisites []Task, err error) {
	if id == "" {
		return l.Tasks, nil, nil
	}
	for i, t := range l.Tasks {
		if t.ID == id {
			return l.Tasks[i : i+1], l.Tasks[:i], nil
		}
	}
	var ids []string
	for _, t := range l.Tasks {
		ids = append(ids, t.ID)
	}
	return nil, nil, &UnknownError{What: "task", Name: id, Of: "lab " + l.ID, Known: ids}
}

// In is the lab in another namespace: what its files and checks say of the one that
// it has is said of that. Objects of its files that name their own are left to the
// reader.
func (l *Lab) In(namespace string) *Lab {
	moved := *l
	moved.Namespace = namespace
	moved.Tasks = slices.Clone(l.Tasks)
	for i := range moved.Tasks {
		moved.Tasks[i].Checks = slices.Clone(moved.Tasks[i].Checks)
		for j := range moved.Tasks[i].Checks {
			if from := &moved.Tasks[i].Checks[j].From; from.Namespace == l.Namespace {
				from.Namespace = namespace
			}
		}
	}
	return &moved
}

// UnknownError is a lab or task that does not exist.
type UnknownError struct {
	What, Name, Of string
	Known          []string
}

func (e *UnknownError) Error() string {
	if e.Of == "" {
		return fmt.Sprintf("no %s %q", e.What, e.Name)
	}
	return fmt.Sprintf("%s has no %s %q", e.Of, e.What, e.Name)
}

// Cure names what there is.
func (e *UnknownError) Cure() string {
	if near := typo.Nearest(e.Name, e.Known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(e.Known) == 0 {
		return ""
	}
	return fmt.Sprintf("known: %s", strings.Join(e.Known, ", "))
}
