package lint

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	tiers "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/netdojo/netdojo/internal/typo"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
)

// shape is the part of a schema that tells which fields there are, and of which form.
type shape struct {
	Type       string            `yaml:"type"`
	Format     string            `yaml:"format"`
	Properties map[string]*shape `yaml:"properties"`
	Items      *shape            `yaml:"items"`
	Values     *shape            `yaml:"additionalProperties"` // of a mapping whose keys are free
	Required   []string          `yaml:"required"`
	Enum       []string          `yaml:"enum"`
	Pattern    string            `yaml:"pattern"`
	Minimum    *int              `yaml:"minimum"`
	Maximum    *int              `yaml:"maximum"`
	MinItems   int               `yaml:"minItems"`
	MaxItems   *int              `yaml:"maxItems"`
	IntOrStr   bool              `yaml:"x-kubernetes-int-or-string"`
	Open       bool              `yaml:"x-kubernetes-preserve-unknown-fields"`
}

// Schema compares an object with what the API has under its name: its kind, its
// fields, and their types. Kinds of groups that netdojo does not know are not judged,
// unless their name is a mistyped one of those that it does.
func Schema(o object.Object) []Problem {
	root := o.Node.Content[0]
	if list := (value{node: root}).get("items"); list.ok() && strings.HasSuffix((value{node: root}).get("kind").text(), "List") {
		// An object out of a List: find it by its name.
		for _, item := range list.items() {
			meta := item.get("metadata")
			if item.get("kind").text() == o.GetKind() && meta.get("name").text() == o.GetName() && meta.get("namespace").text() == o.GetNamespace() {
				root = item.node
			}
		}
	}
	c := &comparison{object: o}
	s, wrong := shapeOf(o)
	if wrong != nil {
		key, _ := object.NodeAt(root, []string{wrong.field})
		c.add(key, "", UnknownKind, wrong.message, wrong.cure)
		return c.problems
	}
	if s == nil {
		return nil
	}
	c.fields(root, s, "")
	if strings.HasPrefix(o.GetKind(), "Cilium") && strings.HasSuffix(o.GetKind(), "NetworkPolicy") && !c.wrongRoot {
		v := value{node: root}
		if spec := v.get("spec"); (!spec.ok() || spec.null()) && !v.get("specs").ok() {
			c.add(root, "", MissingField, "has neither spec nor specs", "add a spec with the policy's rules")
		}
	}
	return c.problems
}

// Knows says whether a kind's fields are judged.
func Knows(gvk schema.GroupVersionKind) bool {
	if k, ok := policies.Find(gvk.Kind); ok && k.GVK() == gvk {
		return true
	}
	return scheme.Scheme.Recognizes(gvk) || gvk.Group == ciliumGroup && ciliumFiles[gvk.Kind] != ""
}

// misnamed is an object whose kind or apiVersion no cluster has.
type misnamed struct{ field, message, cure string }

// shapeOf is the schema of an object; nil when it is not known.
func shapeOf(o object.Object) (*shape, *misnamed) {
	gvk := o.GroupVersionKind()
	if k, ok := policies.Find(gvk.Kind); ok && k.GVK() != gvk {
		switch {
		case gvk.Group == k.Group:
			return nil, &misnamed{"apiVersion", fmt.Sprintf("%s has no version %s", gvk.Kind, gvk.Version), "write apiVersion: " + k.APIVersion()}
		case gvk.Group == "" || gvk.Group == "extensions" || typo.Nearest(gvk.Group, []string{k.Group}) != "" || slices.Contains(knownGroups(), gvk.Group):
			cure := "write apiVersion: " + k.APIVersion()
			if typo.Nearest(gvk.Group, []string{k.Group}) != "" {
				return nil, &misnamed{"apiVersion", fmt.Sprintf("unknown API group %q", gvk.Group), fmt.Sprintf("did you mean %q?", k.Group)}
			}
			return nil, &misnamed{"apiVersion", fmt.Sprintf("there is no %s in %s", gvk.Kind, o.GetAPIVersion()), cure}
		}
		return nil, nil // a policy of another maker's
	}
	switch {
	case scheme.Scheme.Recognizes(gvk):
		return typedShape(gvk), nil
	case gvk.Group == ciliumGroup:
		return ciliumShape(o)
	case gvk.Group == tiers.GroupName:
		if k, _ := policies.Find(policies.ClusterNetworkPolicy); gvk != k.GVK() {
			return nil, &misnamed{"kind", fmt.Sprintf("unknown kind %s in %s", gvk.Kind, o.GetAPIVersion()), tiersCure()}
		}
		return goShape(&tiers.ClusterNetworkPolicy{}), nil
	}
	var known []string
	for k := range scheme.Scheme.AllKnownTypes() {
		if k.Group == gvk.Group {
			known = append(known, k.Kind)
		}
	}
	if gvk.Group == "" || len(known) > 0 {
		if gvk.Group == "" {
			known = append(known, policies.Names()...)
		}
		slices.Sort(known)
		known = slices.Compact(known)
		if slices.Contains(known, gvk.Kind) {
			return nil, &misnamed{"apiVersion", fmt.Sprintf("%s has no version %s", gvk.Kind, gvk.Version), versionsCure(gvk.Group, gvk.Kind)}
		}
		cure := ""
		if near := typo.Nearest(gvk.Kind, known); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, &misnamed{"kind", fmt.Sprintf("unknown kind %s in %s", gvk.Kind, o.GetAPIVersion()), cure}
	}
	if near := typo.Nearest(gvk.Group, knownGroups()); near != "" {
		return nil, &misnamed{"apiVersion", fmt.Sprintf("unknown API group %q", gvk.Group), fmt.Sprintf("did you mean %q?", near)}
	}
	return nil, nil
}

func tiersCure() string {
	k, _ := policies.Find(policies.ClusterNetworkPolicy)
	return fmt.Sprintf("netdojo's clusters have %s of %s", k.Name, k.APIVersion())
}

func versionsCure(group, kind string) string {
	for gvk := range scheme.Scheme.AllKnownTypes() {
		if gvk.Group == group && gvk.Kind == kind && !strings.Contains(gvk.Version, "beta") && !strings.Contains(gvk.Version, "alpha") {
			return "write apiVersion: " + gvk.GroupVersion().String()
		}
	}
	return ""
}

// knownGroups are the API groups of netdojo's clusters.
func knownGroups() []string {
	known := []string{ciliumGroup, tiers.GroupName}
	for _, gv := range scheme.Scheme.PreferredVersionAllGroups() {
		known = append(known, gv.Group)
	}
	return known
}

// comparison walks a document and a shape side by side.
type comparison struct {
	object    object.Object
	wrongRoot bool // a field of the root is unknown: it may be a mistyped spec
	problems  []Problem
}

func (c *comparison) add(n *yaml.Node, path string, code Code, message, cure string) {
	if path != "" {
		message = path + ": " + message
	}
	c.problems = append(c.problems, Problem{
		File: c.object.File, Line: n.Line, Column: n.Column, Message: message, Cure: cure,
		Code: code, Object: c.object.Ref("").String(), Field: path,
	})
}

// fields compares what stands at path. A place whose shape is not known takes
// anything.
func (c *comparison) fields(n *yaml.Node, s *shape, path string) {
	if n = resolved(n); n == nil || s == nil || s.Open || n.ShortTag() == "!!null" {
		return
	}
	if s.IntOrStr {
		if n.Kind != yaml.ScalarNode {
			c.add(n, path, WrongType, "is "+nodeText(n)+", want a number or text", "")
		}
		return
	}
	switch s.Type {
	case "object":
		if n.Kind != yaml.MappingNode {
			c.add(n, path, WrongType, "is "+nodeText(n)+", want a mapping", mappingCure(n, s))
			return
		}
		c.mapping(n, s, path)
	case "array":
		if n.Kind != yaml.SequenceNode {
			c.add(n, path, WrongType, "is "+nodeText(n)+", want a list", "start the entry with \"- \"")
			return
		}
		if len(n.Content) < s.MinItems {
			c.add(n, path, MissingField, "is empty", fmt.Sprintf("give it at least %d entry", s.MinItems))
		}
		if s.MaxItems != nil && len(n.Content) > *s.MaxItems {
			if *s.MaxItems == 0 {
				c.add(n, path, BadValue, "is not taken any more", "remove it")
				return
			}
			c.add(n, path, BadValue, "has too many entries", fmt.Sprintf("keep at most %d", *s.MaxItems))
		}
		for i, item := range n.Content {
			if s.Items != nil && s.Items.Type == "object" && item.ShortTag() == "!!null" {
				c.add(item, fmt.Sprintf("%s[%d]", path, i), MissingField, "has no value", "indent what belongs to it below it, or write {}")
				continue
			}
			c.fields(item, s.Items, fmt.Sprintf("%s[%d]", path, i))
		}
	case "string":
		c.text(n, s, path)
	case "integer":
		if n.ShortTag() != "!!int" {
			cure := ""
			if _, err := strconv.Atoi(n.Value); err == nil && n.Kind == yaml.ScalarNode {
				cure = "write it without quotes: " + n.Value
			}
			c.add(n, path, WrongType, "is "+nodeText(n)+", want an integer", cure)
			return
		}
		number, err := strconv.Atoi(n.Value)
		if err == nil && (s.Minimum != nil && number < *s.Minimum || s.Maximum != nil && number > *s.Maximum) {
			c.add(n, path, BadValue, "is "+n.Value+", which is out of range", rangeCure(s))
		}
	case "boolean":
		if n.ShortTag() != "!!bool" {
			c.add(n, path, WrongType, "is "+nodeText(n)+", want true or false", "")
		}
	}
}

func rangeCure(s *shape) string {
	switch {
	case s.Minimum != nil && s.Maximum != nil:
		return fmt.Sprintf("write a number from %d to %d", *s.Minimum, *s.Maximum)
	case s.Maximum != nil:
		return fmt.Sprintf("write at most %d", *s.Maximum)
	}
	return fmt.Sprintf("write at least %d", *s.Minimum)
}

func mappingCure(n *yaml.Node, s *shape) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "remove the \"- \""
	case n.Kind == yaml.ScalarNode && strings.Contains(n.Value, ":"):
		return "put a space after the colon"
	case len(s.Properties) > 0:
		return knownFields(s)
	}
	return "write KEY: VALUE"
}

func (c *comparison) text(n *yaml.Node, s *shape, path string) {
	switch {
	case n.Kind != yaml.ScalarNode:
		c.add(n, path, WrongType, "is "+nodeText(n)+", want text", textCure(n))
	case n.ShortTag() != "!!str" && n.ShortTag() != "!!timestamp":
		c.add(n, path, WrongType, "is "+n.Value+", want text", fmt.Sprintf("put it in quotes: %q", n.Value))
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, n.Value):
		cure := "known: " + strings.Join(s.Enum, ", ")
		if near := typo.Nearest(n.Value, s.Enum); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		}
		c.add(n, path, BadValue, fmt.Sprintf("%q is not known", n.Value), cure)
	case s.Pattern != "" && !matches(s.Pattern, n.Value):
		c.add(n, path, BadValue, fmt.Sprintf("%q is not of the form that the API takes", n.Value), patternCure(path, s.Pattern))
	}
}

func textCure(n *yaml.Node) string {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 1 && n.Content[0].Kind == yaml.ScalarNode {
		return "write the one value: " + n.Content[0].Value
	}
	return "write one value"
}

// patternCure says a pattern in words where it has some.
func patternCure(path, pattern string) string {
	field := path[strings.LastIndex(path, ".")+1:]
	switch field {
	case "matchName":
		return "write a DNS name of letters, digits, - and ., such as example.com; with * it is a matchPattern"
	case "matchPattern":
		return "write a DNS name with *, such as *.example.com"
	case "port":
		return "write a number from 0 to 65535 in quotes, or a port's name"
	}
	return "it is to match " + pattern
}

// patterns are those of the schemas, compiled at their first use.
var patterns sync.Map // of string to *regexp.Regexp

func matches(pattern, text string) bool {
	re, ok := patterns.Load(pattern)
	if !ok {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return true // it is of another dialect, and not judged
		}
		re, _ = patterns.LoadOrStore(pattern, compiled)
	}
	return re.(*regexp.Regexp).MatchString(text)
}

// mapping compares the fields of a mapping.
func (c *comparison) mapping(n *yaml.Node, s *shape, path string) {
	have := map[string]bool{}
	v := value{node: n, path: path}
	if path == "metadata" && len(s.Properties) == 0 {
		s = goShape(&metav1.ObjectMeta{}) // which definitions leave to the API server
	}
	for _, e := range v.entries() {
		have[e.name] = true
		if len(s.Properties) == 0 {
			c.fields(e.node, s.Values, e.path)
			continue
		}
		if field, known := s.Properties[e.name]; known {
			c.fields(e.node, field, e.path)
			continue
		}
		if path == "" {
			c.wrongRoot = true
		}
		names := slices.Sorted(maps.Keys(s.Properties))
		cure := knownFields(s)
		if near := typo.Nearest(e.name, names); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		} else if other := placed[e.name]; other != "" {
			cure = other
		} else if len(names) > manyFields {
			cure = "netdojo kubectl explain " + explainPath(c.object.GetKind(), e.path) + " lists the fields"
		}
		c.add(e.at, path, UnknownField, fmt.Sprintf("unknown field %q", e.name), cure)
		c.problems[len(c.problems)-1].Field = e.path
	}
	for _, r := range s.Required {
		if !have[r] {
			c.add(n, path, MissingField, fmt.Sprintf("lacks %q", r), "add "+r)
		}
	}
}

// manyFields is more than can be listed in a line.
const manyFields = 16

// placed says of fields that are often indented wrongly where they belong.
var placed = map[string]string{
	"matchLabels":      "it belongs below a selector: indent it by two more",
	"matchExpressions": "it belongs below a selector: indent it by two more",
	"ports":            "it belongs to a rule, beside from or to, and below toPorts in Cilium's policies",
	"rules":            "it belongs beside ports, in an entry of toPorts",
}

func knownFields(s *shape) string {
	return "known fields: " + strings.Join(slices.Sorted(maps.Keys(s.Properties)), ", ")
}

func nodeText(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%q", n.Value)
}

func explainPath(kind, path string) string {
	steps := []string{strings.ToLower(kind)}
	for _, s := range object.SplitPath(path) {
		if _, err := strconv.Atoi(s); err != nil {
			steps = append(steps, s)
		}
	}
	return strings.Join(steps[:len(steps)-1], ".")
}
