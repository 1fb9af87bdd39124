package checks

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"k8s.io/client-go/util/jsonpath"
)

var kubectlKind = ProbeKind{
	Name:    "kubectl",
	Summary: "Reads an object of the cluster: it exists, or a field has a value. It has neither from nor to.",
	Evidence: "met and unmet are the API server's own word; the object's UID and version are kept as evidence. " +
		"A kind that the server does not know is broken, a server that does not answer ends the session.",
	Example: `
- id: default-deny
  title: The namespace has a default deny
  probe: {kubectl: {get: networkpolicy/default-deny}}
  before: unmet
  after: met
- id: tier
  title: The backend's pods have the label tier=api
  probe:
    kubectl:
      get: deployment/backend
      jsonpath: "{.spec.template.metadata.labels.tier}"
      value: api
  after: met
`,
	New: func() Probe { return &Kubectl{} },
}

// Kubectl asks the API server for an object.
type Kubectl struct {
	// KIND/NAME, as kubectl get takes it.
	Get string `yaml:"get" jsonschema:"required,pattern=^[a-zA-Z0-9.-]+/[a-z0-9]([a-z0-9.:-]*[a-z0-9])?$"`
	// The object's namespace; the lab's when absent.
	Namespace string `yaml:"namespace" jsonschema:"pattern=^[a-z0-9]([a-z0-9-]{0\\,61}[a-z0-9])?$"`
	// A field of the object, as kubectl get -o jsonpath takes it.
	JSONPath string `yaml:"jsonpath" jsonschema:"minLength=1"`
	// What the field is to be. Without value and matches it is to be there and not empty.
	Value string `yaml:"value" jsonschema:"minLength=1"`
	// A regular expression (RE2) that is to match the field as a whole.
	Matches string `yaml:"matches" jsonschema:"minLength=1"`
}

// Object is the API server's word on an object.
type Object struct {
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Found     bool   `json:"found"`
	UID       string `json:"uid,omitempty"`
	Version   string `json:"resourceVersion,omitempty"`
	Value     string `json:"value,omitempty"` // of the field that was asked for
}

// Object implements objectProbe.
func (p Kubectl) Object(c Check) ObjectRef {
	resource, name, _ := strings.Cut(p.Get, "/")
	ref := ObjectRef{Resource: resource, Name: name, Namespace: p.Namespace}
	if ref.Namespace == "" {
		ref.Namespace = c.From.Namespace
	}
	return ref
}

// Look implements objectProbe.
func (p Kubectl) Look(o *Outcome, obj map[string]any) {
	resource, name, _ := strings.Cut(p.Get, "/")
	o.Object = &Object{Resource: resource, Name: name, Found: obj != nil}
	unmet := func(format string, args ...any) { o.Reading, o.Says = CauseUnmet, fmt.Sprintf(format, args...) }
	if obj == nil {
		unmet("there is no %s", p.Get)
		return
	}
	meta, _ := obj["metadata"].(map[string]any)
	text := func(key string) string { s, _ := meta[key].(string); return s }
	o.Object.Namespace, o.Object.UID, o.Object.Version = text("namespace"), text("uid"), text("resourceVersion")
	o.Reading, o.Answer = CauseOK, p.Get+" exists"
	if p.JSONPath == "" {
		return
	}
	value, err := evaluate(p.JSONPath, obj)
	if err != nil {
		o.Reading, o.Says = CauseProbe, err.Error()
		return
	}
	o.Object.Value = value
	o.Answer = fmt.Sprintf("%s has %s = %q", p.Get, p.JSONPath, shorten(value))
	switch {
	case p.Value != "" && value != p.Value:
		unmet("%s has %s = %q, not %q", p.Get, p.JSONPath, shorten(value), p.Value)
	case p.Matches != "" && !matchesAll(p.Matches, value):
		unmet("%s has %s = %q, which %q does not match", p.Get, p.JSONPath, shorten(value), p.Matches)
	case value == "":
		unmet("%s has no %s", p.Get, p.JSONPath)
	}
}

func matchesAll(pattern, text string) bool {
	re, err := regexp.Compile("^(?:" + pattern + ")$")
	return err == nil && re.MatchString(text)
}

// evaluate returns what kubectl get -o jsonpath prints, "" for a field that is
// not there.
func evaluate(path string, obj map[string]any) (string, error) {
	j := jsonpath.New("field").AllowMissingKeys(true)
	if err := j.Parse(path); err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := j.Execute(&out, obj); err != nil {
		return "", err
	}
	return out.String(), nil
}

// Commands implements Probe.
func (p Kubectl) Commands(c Check) []CommandLine {
	ref := p.Object(c)
	words := []string{"kubectl", "get", ref.Resource, ref.Name}
	if ref.Namespace != "" {
		words = append(words, "-n", ref.Namespace)
	}
	if p.JSONPath != "" {
		words = append(words, "-o", "jsonpath="+p.JSONPath)
	}
	return []CommandLine{{Program: "kubectl", Words: words}}
}

// Script implements Probe. Nothing is run in a pod.
func (p Kubectl) Script([]CommandLine) []string { return nil }

// Destination implements Probe.
func (p Kubectl) Destination(Check) (Destination, error) { return Destination{}, nil }

// Target implements Probe.
func (p Kubectl) Target(Check) string { return p.Get }

// Read implements Probe.
func (p Kubectl) Read(*Outcome, ExecResult) bool { return false }

// Conclude implements Probe.
func (p Kubectl) Conclude(*Outcome) {}

// Match implements Probe.
func (p Kubectl) Match(Target, *flowpb.Flow) Relation { return RelationNone }

// Expects implements Probe.
func (p Kubectl) Expects(Check) []Expect { return claims }

// Problems implements Probe.
func (p Kubectl) Problems(c Check) []Problem {
	var problems []Problem
	add := func(field, message, cure string) {
		problems = append(problems, Problem{Path: []string{"probe", "kubectl", field}, Message: message, Cure: cure})
	}
	if p.JSONPath != "" {
		if _, err := evaluate(p.JSONPath, map[string]any{}); err != nil {
			add("jsonpath", err.Error(), "write it as kubectl get -o jsonpath takes it: {.spec.replicas}")
		} else if !strings.Contains(p.JSONPath, "{") {
			add("jsonpath", fmt.Sprintf("%q names no field", p.JSONPath), "put the path in braces: {.spec.replicas}")
		}
	}
	if _, err := regexp.Compile(p.Matches); err != nil {
		add("matches", err.Error(), "write a regular expression in Go's syntax (RE2)")
	}
	if p.JSONPath == "" && p.Value != "" {
		add("value", "is of no field", "add jsonpath, the field that is meant")
	}
	if p.JSONPath == "" && p.Matches != "" {
		add("matches", "is of no field", "add jsonpath, the field that is meant")
	}
	if c.To != "" {
		problems = append(problems, Problem{Path: []string{"to"}, Message: "kubectl dials nobody", Cure: "remove to"})
	}
	if c.From.Selector() != "" {
		problems = append(problems, Problem{Path: []string{"from"}, Message: "kubectl runs in no pod", Cure: "remove from"})
	}
	return problems
}
