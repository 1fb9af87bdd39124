package imported

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
)

// document is an object that the pages apply.
type document struct {
	object.Object
	at        place
	file      string // that it came from, by its last name
	text      []byte
	namespace string // that kubectl was told, or means
	phase     int    // of a policy: which step of policies it belongs to, from 1
	todo      string // what its author has to do; "" for nothing
}

func (d document) policy() bool { return policies.Is(d.GroupVersionKind().GroupKind()) }

// wide are kinds whose objects have no namespace.
var wide = []string{
	"Namespace", "Node", "PersistentVolume", "StorageClass", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "PriorityClass",
	"IngressClass", "RuntimeClass", "CiliumCIDRGroup", policies.CiliumClusterwideNetworkPolicy, policies.ClusterNetworkPolicy,
}

// in is the namespace that the object is in; "" for one that has none.
func (d document) in() string {
	switch {
	case slices.Contains(wide, d.GetKind()):
		return ""
	case d.GetNamespace() != "":
		return d.GetNamespace()
	}
	return d.namespace
}

// ref is equal for the same object.
func (d document) ref() string { return d.GetKind() + " " + d.in() + "/" + d.GetName() }

// applied follows kubectl apply -f.
func (r *reader) applied(k kubectl, stdin string) {
	for _, name := range k.flags["--filename"] {
		found := r.named(name, stdin)
		if found == nil {
			r.leave("%s is nowhere beside the page", strings.ReplaceAll(name, unknown, "…"))
		}
		for _, base := range sortedKeys(found) {
			text := found[base]
			if base == "-" {
				base = ""
			}
			ns := k.flag("--namespace")
			if !known(ns) {
				ns = ""
			}
			r.apply(base, text, ns)
		}
	}
}

// named are the files of a name: one, those of a folder, or the input.
func (r *reader) named(name, stdin string) map[string][]byte {
	if name == "-" {
		if stdin == "" {
			return nil
		}
		return map[string][]byte{"-": []byte(stdin)}
	}
	name = clean(name)
	if text, ok := r.files[name]; ok {
		return map[string][]byte{path.Base(name): text}
	}
	found := map[string][]byte{}
	for f, text := range r.files {
		ext := path.Ext(f)
		if path.Base(f) == path.Base(name) || (path.Dir(f) == name || name == "." && path.Dir(f) == ".") && (ext == ".yaml" || ext == ".yml" || ext == ".json") {
			found[path.Base(f)] = text
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

// split cuts a file at the lines that begin with "---".
func split(text []byte) [][]byte {
	var docs [][]byte
	var current []byte
	for line := range bytes.SplitAfterSeq(normalize(text), []byte("\n")) {
		if bytes.HasPrefix(line, []byte("---")) && len(bytes.TrimSpace(line)) == 3 {
			docs, current = append(docs, current), nil
			continue
		}
		current = append(current, line...)
	}
	return append(docs, current)
}

// apply keeps the objects of a file. What is applied once more as it was is nothing new;
// policies that come after something was observed begin the next task.
func (r *reader) apply(file string, text []byte, namespace string) {
	if strings.Contains(string(text), unknown) || strings.Contains(string(text), podMark) {
		r.leave("a manifest has words that are known only when the page is run")
		return
	}
	for _, doc := range split(text) {
		objects, err := object.Parse(file, doc)
		if err != nil {
			r.leave("a manifest is not read: %v", err)
		}
		for _, o := range objects {
			d := document{Object: o, at: r.at, file: file, text: doc, namespace: namespace}
			if len(objects) > 1 { // of a List
				d.text = encode(o.Object)
			}
			if d.namespace == "" {
				d.namespace = r.namespace
			}
			r.keep(d)
		}
	}
}

func encode(v any) []byte {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	_ = enc.Encode(v) // of what was decoded
	return b.Bytes()
}

func (r *reader) keep(d document) {
	i := slices.IndexFunc(r.docs, func(o document) bool { return o.ref() == d.ref() && (!d.policy() || o.phase == r.phase) })
	same := slices.ContainsFunc(r.docs, func(o document) bool { return o.ref() == d.ref() && bytes.Equal(o.text, d.text) })
	switch {
	case same:
	case !d.policy() && i >= 0:
		r.leave("%s is applied once more, and otherwise: the lab deploys it as it was first", d.ref())
	case !d.policy():
		r.docs = append(r.docs, d)
	case i >= 0 && !r.observed:
		d.phase = r.phase
		r.docs[i] = d
	default:
		if r.phase == 0 || r.observed {
			r.phase, r.observed = r.phase+1, false
		}
		d.phase = r.phase
		r.docs = append(r.docs, d)
	}
}

// create follows what kubectl create makes of words.
func (r *reader) create(k kubectl) {
	if len(k.flags["--kustomize"]) > 0 {
		r.leave("a kustomization is not built: apply what it makes")
		return
	}
	if len(k.args) < 2 || !known(append(k.args, k.flag("--image"), k.flag("--namespace"))...) {
		return
	}
	name := k.args[1]
	switch kindOf(k.args[0]) {
	case "namespace":
		r.made(k, "namespaces.yaml", fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n", name))
	case "deployment":
		replicas, err := strconv.Atoi(k.flag("--replicas"))
		if err != nil {
			replicas = 1
		}
		r.made(k, name+".yaml", deployment(name, map[string]string{"app": name}, replicas, k.flag("--image"), k.flag("--port"), k.rest))
	default:
		r.leave("kubectl create %s is not followed: write the object into the lab's manifests", k.args[0])
	}
}

// made keeps an object that words of kubectl make.
func (r *reader) made(k kubectl, file, text string) {
	r.apply(file, []byte(text), k.flag("--namespace"))
}

// runPod follows kubectl run. A pod that is to end by itself is one that lasts in the lab.
func (r *reader) runPod(k kubectl) {
	if len(k.args) == 0 {
		return
	}
	p := pod{namespace: r.namespaceOf(k), target: k.args[0], labels: "run=" + k.args[0], image: k.flag("--image")}
	for _, name := range []string{"--selector", "--labels"} {
		if l := k.flag(name); l != "" {
			p.labels = l
		}
	}
	if !known(p.namespace, p.target, p.labels, p.image) {
		r.leave("the pod of kubectl run is known only when the page is run")
		return
	}
	command := k.rest
	if len(command) == 0 && len(k.args) > 1 {
		command = k.args[1:]
	}
	_, passing := k.flags["--rm"]
	for f := range k.flags {
		passing = passing || strings.HasPrefix(f, "-") && !strings.HasPrefix(f, "--") && strings.Contains(f, "i")
	}
	if _, dry := k.flags["--dry-run"]; dry {
		return
	}
	if !passing {
		r.made(k, p.target+".yaml", podText(p.target, labelsOf(p.labels), p.image, k.flag("--port"), command))
		return
	}
	p.target = ""
	if len(command) == 0 || isShell(command) {
		r.inPod = &p
		return
	}
	r.dials(p, command)
}

// expose follows kubectl expose.
func (r *reader) expose(k kubectl) {
	if len(k.args) == 1 {
		kind, name, _ := strings.Cut(k.args[0], "/")
		k.args = []string{kind, name}
	}
	if len(k.args) < 2 || !known(append(k.args, k.flag("--port"), k.flag("--target-port"), k.flag("--name"))...) {
		return
	}
	of := pod{namespace: r.namespaceOf(k), target: kindOf(k.args[0]) + "/" + k.args[1]}
	labels := r.labels(of)
	name, port := k.flag("--name"), k.flag("--port")
	if name == "" {
		name = k.args[1]
	}
	if labels == nil || port == "" {
		r.leave("kubectl expose %s: what it exposes is not known", k.args[1])
		return
	}
	target := k.flag("--target-port")
	if target == "" {
		target = port
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Service\nmetadata:\n  name: %s\nspec:\n  selector:%s\n  ports:\n    - port: %s\n      targetPort: %s\n", quoted(name), labelLines(labels, "    "), port, target)
	r.made(k, name+"-service.yaml", b.String())
}

// labels are those of the pods that a name of kubectl's means; nil where no object of
// the pages tells.
func (r *reader) labels(p pod) map[string]string {
	if p.labels != "" {
		return labelsOf(p.labels)
	}
	kind, name, qualified := strings.Cut(p.target, "/")
	if !qualified {
		kind, name = "pod", p.target
	}
	kind = kindOf(kind)
	for _, d := range r.docs {
		if d.in() != p.namespace {
			continue
		}
		dk := strings.ToLower(d.GetKind())
		made := kind == "pod" && strings.HasPrefix(name, d.GetName()+"-") && template(d) != nil
		named := dk == kind && d.GetName() == name
		switch {
		case named && kind == "pod":
			return d.GetLabels()
		case named && kind == "service":
			return stringsOf(mapAt(d.Object.Object, "spec", "selector"))
		case (named || made) && template(d) != nil:
			return stringsOf(mapAt(template(d), "metadata", "labels"))
		}
	}
	return nil
}

// template is that of the pods that an object makes; nil where it makes none.
func template(d document) map[string]any { return mapAt(d.Object.Object, "spec", "template") }

func mapAt(m map[string]any, path ...string) map[string]any {
	for _, step := range path {
		m, _ = m[step].(map[string]any)
	}
	return m
}

func stringsOf(m map[string]any) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = fmt.Sprint(v)
	}
	return out
}

// labelsOf reads a selector of equalities; what it says otherwise is left out.
func labelsOf(selector string) map[string]string {
	labels := map[string]string{}
	for part := range strings.SplitSeq(selector, ",") {
		key, value, ok := strings.Cut(strings.ReplaceAll(part, "==", "="), "=")
		if ok && !strings.HasSuffix(key, "!") {
			labels[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return labels
}

// labelLines are labels as lines of YAML, each after a line feed.
func labelLines(labels map[string]string, indent string) string {
	var b strings.Builder
	for _, k := range sortedKeys(labels) {
		fmt.Fprintf(&b, "\n%s%s: %s", indent, quoted(k), quoted(labels[k]))
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// quoted is a scalar of YAML.
func quoted(text string) string { return strings.TrimRight(string(encode(text)), "\n") }

// container is the list of one container, as lines of YAML.
func container(name, image, port string, command []string, indent string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s- name: %s\n%s  image: %s\n%s  imagePullPolicy: IfNotPresent\n", indent, quoted(name), indent, quoted(image), indent)
	if len(command) > 0 {
		list := make([]string, len(command))
		for i, w := range command {
			list[i] = strconv.Quote(w)
		}
		fmt.Fprintf(&b, "%s  command: [%s]\n", indent, strings.Join(list, ", "))
	}
	if port != "" {
		fmt.Fprintf(&b, "%s  ports:\n%s    - containerPort: %s\n", indent, indent, port)
	}
	return b.String()
}

func podText(name string, labels map[string]string, image, port string, command []string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\n  labels:%s\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n%s",
		quoted(name), labelLines(labels, "    "), container(name, image, port, command, "    "))
}

func deployment(name string, labels map[string]string, replicas int, image, port string, command []string) string {
	return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: %s\n  labels:%s\nspec:\n  replicas: %d\n  selector:\n    matchLabels:%s\n  template:\n    metadata:\n      labels:%s\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n%s",
		quoted(name), labelLines(labels, "    "), replicas, labelLines(labels, "      "), labelLines(labels, "        "), container(name, image, port, command, "        "))
}
