package lint

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/manifests/object"
)

// world is what is known of a cluster from manifests.
type world struct {
	pods      []*pod
	spaces    map[string]*space
	services  []service
	workloads int // of the files
}

// pod stands for the pods of a workload.
type pod struct {
	namespace, owner string
	labels           map[string]string
	account          string
	ports            []served
	known            bool // it is every cluster's, and not of the files
}

// served is a port on which a pod listens, as far as its manifest and the Services
// that lead to it tell.
type served struct {
	name     string
	number   int
	protocol string
}

// space is a namespace.
type space struct {
	labels   map[string]string
	declared bool // by an object
	// complete tells that all its workloads are taken to be known: some of it are of
	// the files. Of kube-system no file holds all.
	complete bool
}

type service struct {
	namespace, name string
	selector        map[string]string
	ports           []servicePort
}

type servicePort struct {
	number   int
	target   string // a number or a name
	protocol string
}

const (
	dnsNamespace = "kube-system"
	nameLabel    = "kubernetes.io/metadata.name"
)

// newWorld is a cluster that holds what every cluster does.
func newWorld() *world {
	w := &world{spaces: map[string]*space{}}
	for _, name := range []string{"default", dnsNamespace, "kube-public", "kube-node-lease"} {
		w.space(name).declared = true
	}
	w.pods = append(w.pods, &pod{
		namespace: dnsNamespace, owner: "Deployment coredns", labels: map[string]string{"k8s-app": "kube-dns"}, account: "coredns", known: true,
		ports: []served{
			{name: "dns", number: 53, protocol: "UDP"}, {name: "dns-tcp", number: 53, protocol: "TCP"},
			{name: "metrics", number: 9153, protocol: "TCP"}, {number: 8080, protocol: "TCP"}, {number: 8181, protocol: "TCP"},
		},
	})
	return w
}

func (w *world) space(name string) *space {
	s := w.spaces[name]
	if s == nil {
		s = &space{labels: map[string]string{nameLabel: name}}
		w.spaces[name] = s
	}
	return s
}

// templates are where each kind keeps the template of its pods.
var templates = map[string][]string{
	"Deployment": {"spec", "template"}, "StatefulSet": {"spec", "template"}, "DaemonSet": {"spec", "template"},
	"ReplicaSet": {"spec", "template"}, "ReplicationController": {"spec", "template"}, "Job": {"spec", "template"},
	"CronJob": {"spec", "jobTemplate", "spec", "template"}, "Pod": {},
}

// add takes up an object; those that say nothing about pods are passed over.
func (w *world) add(o object.Object, namespace string) {
	ns := o.Ref(namespace).Namespace
	path, isWorkload := templates[o.GetKind()]
	switch {
	case o.GetKind() == "Namespace":
		s := w.space(o.GetName())
		s.declared = true
		maps.Copy(s.labels, o.GetLabels())
	case o.GetKind() == "Service":
		w.services = append(w.services, readService(o, ns))
	case isWorkload:
		template := below(o.Object, path...)
		if template == nil {
			return
		}
		w.workloads++
		spec := below(template, "spec")
		w.space(ns).complete = ns != dnsNamespace
		if host, _ := spec["hostNetwork"].(bool); host {
			return // policies select it by its node
		}
		w.pods = append(w.pods, readPod(o, ns, template, spec))
	}
}

func below(m map[string]any, path ...string) map[string]any {
	for _, step := range path {
		m, _ = m[step].(map[string]any)
	}
	return m
}

func readPod(o object.Object, ns string, template, spec map[string]any) *pod {
	p := &pod{namespace: ns, owner: o.GetKind() + " " + o.GetName(), labels: map[string]string{}, account: "default"}
	for k, v := range below(template, "metadata", "labels") {
		p.labels[k] = fmt.Sprint(v)
	}
	if account, ok := spec["serviceAccountName"].(string); ok {
		p.account = account
	}
	for _, list := range []string{"containers", "initContainers"} {
		containers, _, _ := unstructured.NestedSlice(spec, list)
		for _, one := range containers {
			container, _ := one.(map[string]any)
			p.listens(container)
		}
	}
	return p
}

// listens takes up the ports that a container declares, and those where it is probed.
func (p *pod) listens(container map[string]any) {
	ports, _ := container["ports"].([]any)
	for _, one := range ports {
		declared, _ := one.(map[string]any)
		number, err := strconv.Atoi(fmt.Sprint(declared["containerPort"]))
		if err != nil {
			continue
		}
		name, _ := declared["name"].(string)
		protocol, _ := declared["protocol"].(string)
		if protocol == "" {
			protocol = "TCP"
		}
		p.ports = append(p.ports, served{name: name, number: number, protocol: protocol})
	}
	for _, probe := range []string{"readinessProbe", "livenessProbe", "startupProbe"} {
		for _, how := range []string{"httpGet", "tcpSocket", "grpc"} {
			if number, err := strconv.Atoi(fmt.Sprint(below(container, probe, how)["port"])); err == nil {
				p.ports = append(p.ports, served{number: number, protocol: "TCP"})
			}
		}
	}
}

func readService(o object.Object, ns string) service {
	s := service{namespace: ns, name: o.GetName(), selector: map[string]string{}}
	spec := below(o.Object, "spec")
	for k, v := range below(spec, "selector") {
		s.selector[k] = fmt.Sprint(v)
	}
	ports, _ := spec["ports"].([]any)
	for _, one := range ports {
		declared, _ := one.(map[string]any)
		port := servicePort{protocol: "TCP"}
		port.number, _ = strconv.Atoi(fmt.Sprint(declared["port"]))
		if proto, ok := declared["protocol"].(string); ok {
			port.protocol = proto
		}
		port.target = strconv.Itoa(port.number)
		if target := declared["targetPort"]; target != nil {
			port.target = fmt.Sprint(target)
		}
		s.ports = append(s.ports, port)
	}
	return s
}

// selects says whether a Service leads to a pod.
func (s *service) selects(p *pod) bool {
	if len(s.selector) == 0 || s.namespace != p.namespace {
		return false
	}
	for k, v := range s.selector {
		if p.labels[k] != v {
			return false
		}
	}
	return true
}

// complete adds to the pods what the Services tell of their ports, once all objects
// are known.
func (w *world) complete() {
	for _, p := range w.pods {
		for i := range w.services {
			s := &w.services[i]
			if !s.selects(p) {
				continue
			}
			for _, port := range s.ports {
				if number, err := strconv.Atoi(port.target); err == nil {
					p.ports = append(p.ports, served{number: number, protocol: port.protocol})
				}
			}
		}
	}
}

// spaceNames are the namespaces that are known, sorted.
func (w *world) spaceNames() []string { return slices.Sorted(maps.Keys(w.spaces)) }

// populated are the namespaces of the files' workloads, sorted.
func (w *world) populated() []string {
	var names []string
	for _, name := range w.spaceNames() {
		if w.spaces[name].complete {
			names = append(names, name)
		}
	}
	return names
}

// isDNS says whether a pod is the cluster's DNS server.
func (p *pod) isDNS() bool { return p.namespace == dnsNamespace && p.labels["k8s-app"] == "kube-dns" }

// describe lists the labels of pods, each set once.
func describe(pods []*pod) string {
	var sets []string
	for _, p := range pods {
		var pairs []string
		for _, k := range slices.Sorted(maps.Keys(p.labels)) {
			pairs = append(pairs, k+"="+p.labels[k])
		}
		if set := strings.Join(pairs, ","); set != "" && !slices.Contains(sets, set) {
			sets = append(sets, set)
		}
	}
	const most = 8
	if len(sets) > most {
		sets = append(sets[:most], "…")
	}
	return strings.Join(sets, "; ")
}
