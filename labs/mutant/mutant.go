// Package mutant changes the policies of an answer, one field at a time, by a fixed
// list of operators: what a learner gets wrong. It knows no cluster; whether a change
// matters is for a lab's checks to show.
package mutant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
)

// File is a file of an answer.
type File struct {
	Name string
	Data []byte
}

// Operator is a way to change a policy.
type Operator string

// Operators are all that there are.
const (
	PolicyRemoved     Operator = "policy-removed"
	NamespaceChanged  Operator = "namespace-changed" // of the policy, or of those that it selects
	TypesChanged      Operator = "policy-types"
	DirectionChanged  Operator = "direction"
	RuleRemoved       Operator = "rule-removed"
	RuleOpened        Operator = "rule-opened" // its peers or ports are dropped
	PeerRemoved       Operator = "peer-removed"
	PeerChanged       Operator = "peer-changed"
	AndToOr           Operator = "and-to-or"
	OrToAnd           Operator = "or-to-and"
	SelectorEmptied   Operator = "selector-emptied"
	SelectorNarrowed  Operator = "selector-narrowed"
	LabelChanged      Operator = "label-changed" // its value
	LabelRenamed      Operator = "label-renamed" // its key
	LabelDropped      Operator = "label-dropped"
	ExpressionChanged Operator = "expression-operator"
	ExpressionValue   Operator = "expression-value"
	ExpressionDropped Operator = "expression-dropped"
	PortChanged       Operator = "port-changed"
	PortDropped       Operator = "port-dropped"
	ProtocolChanged   Operator = "protocol"
	RangeChanged      Operator = "port-range"
	CIDRChanged       Operator = "cidr"
	ExceptDropped     Operator = "except-dropped"
	NameChanged       Operator = "name" // of DNS or TLS
	L7Dropped         Operator = "l7-dropped"
	L7Changed         Operator = "l7-changed"
	DenyChanged       Operator = "allow-or-deny"
	DefaultDeny       Operator = "default-deny"
	PriorityChanged   Operator = "priority"
)

// Known is what a cluster has, so that changes are ones that a learner makes.
type Known struct {
	Labels     map[string][]string // values of pods' labels, by key
	Teams      map[string][]string // values of namespaces' labels, by key
	Namespaces []string
	Ports      []int64
	// What only Repairs writes: names that are asked for, addresses that are dialled,
	// and HTTP requests.
	Names     []string
	Addresses []netip.Addr
	Requests  []Request
}

// Request is an HTTP request that a pod makes.
type Request struct{ Method, Path string }

// Mutant is an answer with one change.
type Mutant struct {
	Operator Operator
	Object   string // KIND [NAMESPACE/]NAME
	Path     string // the field: spec.ingress[0].from
	Change   string // what was done, for people
	// File, Line and Column are where the field is in the answer, from 1; 0 where that is
	// not known.
	File         string
	Line, Column int
	// Files are the whole answer with the change.
	Files []File
}

// Of makes all mutants of an answer's policies, in the order of their fields.
// Other objects stay as they are. The error is that of a file that is no manifest.
func Of(files []File, known Known) ([]Mutant, error) {
	m := maker{files: files, known: known, seen: map[string]bool{}}
	return m.make()
}

func (m *maker) make() ([]Mutant, error) {
	for _, f := range m.files {
		objects, err := object.Parse(f.Name, f.Data)
		if err != nil {
			return nil, err
		}
		m.objects = append(m.objects, objects)
	}
	m.all()
	return m.out, nil
}

// all changes the policies among the objects.
func (m *maker) all() {
	for i := range m.objects {
		for j, o := range m.objects[i] {
			// An answer as it is, in the form that a mutant has, is no mutant.
			m.seen[fmt.Sprint(i, j, text(o.Object))] = true
		}
	}
	for i := range m.objects {
		for j, o := range m.objects[i] {
			if policies.Is(o.GroupVersionKind().GroupKind()) {
				m.file, m.index, m.object = i, j, o
				m.policy()
				if m.mends {
					m.mend()
				}
			}
		}
	}
}

// maker makes the mutants of one answer.
type maker struct {
	files   []File
	known   Known
	objects [][]object.Object // by file
	seen    map[string]bool   // changed objects, so that each is made once
	mends   bool              // the changes are to mend the answer
	narrows bool              // selectors of all pods pick those of a label too
	out     []Mutant

	// The policy whose mutants are made.
	file, index int
	object      object.Object
}

// add makes a mutant of the present policy: change gets a copy of its content.
func (m *maker) add(op Operator, path []string, what string, change func(root map[string]any)) {
	root := runtime.DeepCopyJSON(m.object.Object)
	change(root)
	id := fmt.Sprint(m.file, m.index, text(root))
	if m.seen[id] {
		return
	}
	m.seen[id] = true
	m.append(op, path, what, root)
}

func (m *maker) append(op Operator, path []string, what string, root map[string]any) {
	one := Mutant{
		Operator: op, Object: m.name(), Path: pathText(path), Change: what,
		File: m.files[m.file].Name, Files: slices.Clone(m.files),
	}
	if len(m.object.Node.Content) > 0 {
		key, _ := object.NodeAt(m.object.Node.Content[0], path)
		one.Line, one.Column = key.Line, key.Column
	}
	contents := make([]map[string]any, 0, len(m.objects[m.file]))
	for j, o := range m.objects[m.file] {
		if j == m.index {
			contents = append(contents, root)
		} else {
			contents = append(contents, o.Object)
		}
	}
	one.Files[m.file].Data = documents(contents)
	m.out = append(m.out, one)
}

// documents writes objects, nil ones left out.
func documents(contents []map[string]any) []byte {
	var data bytes.Buffer
	for _, c := range contents {
		if c != nil {
			data.WriteString("---\n" + text(c) + "\n")
		}
	}
	return data.Bytes()
}

func (m *maker) name() string {
	name := m.object.GetName()
	if ns := m.object.GetNamespace(); ns != "" {
		name = ns + "/" + name
	}
	return m.object.GetKind() + " " + name
}

// text is JSON with sorted keys, which YAML is too. What was decoded encodes.
func text(root map[string]any) string {
	data, err := json.Marshal(root)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func pathText(path []string) string {
	out := ""
	for _, step := range path {
		if _, err := strconv.Atoi(step); err == nil {
			out += "[" + step + "]"
		} else if out == "" {
			out = step
		} else {
			out += "." + step
		}
	}
	return out
}

// at is the value at a path of a mapping or a list; nil when there is none.
func at(root any, path []string) any {
	for _, step := range path {
		switch v := root.(type) {
		case map[string]any:
			root = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				return nil
			}
			root = v[i]
		default:
			return nil
		}
	}
	return root
}

// set puts a value at a path, whose parent is there.
func set(root map[string]any, path []string, value any) {
	last := path[len(path)-1]
	switch parent := at(root, path[:len(path)-1]).(type) {
	case map[string]any:
		parent[last] = value
	case []any:
		i, _ := strconv.Atoi(last)
		parent[i] = value
	}
}

// drop removes a key of a mapping or an entry of a list.
func drop(root map[string]any, path []string) {
	last := path[len(path)-1]
	switch parent := at(root, path[:len(path)-1]).(type) {
	case map[string]any:
		delete(parent, last)
	case []any:
		i, _ := strconv.Atoi(last)
		set(root, path[:len(path)-1], slices.Delete(slices.Clone(parent), i, i+1))
	}
}

// to is a path with further steps.
func to(path []string, steps ...string) []string { return append(slices.Clone(path), steps...) }

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
