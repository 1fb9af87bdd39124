package oracle_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/cilium/pkg/policy/api"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/internal/oracle"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
)

// TestCatalogue has the simulator judge the catalogue's labs of addresses and ports:
// nothing, the solution and each wrong answer bring the verdicts that the lab
// declares. It takes no cluster, and is no proof of one.
func TestCatalogue(t *testing.T) {
	api.InitEntities("default")
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, lab := range all {
		w := &labWorld{World: oracle.World{Node: firstNode}, services: map[string]service{}}
		w.build(t, lab)
		for _, task := range lab.Tasks {
			if len(task.Checks) == 0 || ofNames(t, lab, task) {
				continue
			}
			judged++
			t.Run(task.ID, func(t *testing.T) { w.task(t, lab, task) })
		}
	}
	if judged == 0 {
		t.Error("no task was judged")
	}
}

// ofNames says whether an answer to a task speaks of names or of requests, which are
// not the simulator's.
func ofNames(t *testing.T, lab *labs.Lab, task labs.Task) bool {
	t.Helper()
	files := slices.Clone(task.Solution)
	for _, wrong := range task.Wrong {
		files = append(files, wrong.Files...)
	}
	for _, file := range files {
		data, err := fs.ReadFile(lab.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"toFQDNs:", "serverNames:", "rules:"} {
			if strings.Contains(string(data), field) {
				return true
			}
		}
	}
	return false
}

// The nodes: the API server is on the first.
var (
	firstNode  = netip.MustParseAddr("172.16.0.1")
	secondNode = netip.MustParseAddr("172.16.0.2")
)

// labWorld is a lab's pods, and where its Services lead.
type labWorld struct {
	oracle.World
	services map[string]service // by NAME.NAMESPACE
	policies []unstructured.Unstructured
	hosts    []oracle.Pod // pods that have their node's address
	away     []netip.Addr // of pods on the second node
}

// service is where a Service leads.
type service struct {
	pod   netip.Addr
	ports map[uint16]uint16 // of the Service → of the pod
}

// The cluster's DNS and its API server, which labs have without declaring them.
const (
	dnsService = "kube-dns.kube-system"
	apiService = "kubernetes.default"
)

func parse(t *testing.T, lab *labs.Lab, files []string) []unstructured.Unstructured {
	t.Helper()
	var found []unstructured.Unstructured
	for _, file := range files {
		data, err := fs.ReadFile(lab.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := object.Parse(file, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			found = append(found, *o.Unstructured)
		}
	}
	return found
}

func (w *labWorld) build(t *testing.T, lab *labs.Lab) {
	t.Helper()
	w.Namespaces = map[string]map[string]string{"kube-system": {}}
	w.add("kube-system", "kube-dns", map[string]string{"k8s-app": "kube-dns"})
	objects := parse(t, lab, lab.Workloads)
	for _, o := range objects {
		switch o.GetKind() {
		case "Namespace":
			w.Namespaces[o.GetName()] = o.GetLabels()
		case "Deployment":
			labels, _, err := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "labels")
			if err != nil {
				t.Fatal(err)
			}
			w.add(o.GetNamespace(), o.GetName(), labels, namedPorts(t, o)...)
			w.place(o)
		default:
			if policies.Is(o.GroupVersionKind().GroupKind()) {
				w.policies = append(w.policies, o)
			}
		}
	}
	for name, labels := range w.Namespaces {
		of := map[string]string{"kubernetes.io/metadata.name": name}
		for k, v := range labels {
			of[k] = v
		}
		w.Namespaces[name] = of
	}
	w.services[dnsService] = service{pod: w.Pods[0].Addr, ports: map[uint16]uint16{53: 53, 9153: 9153}}
	w.services[apiService] = service{pod: w.Node, ports: map[uint16]uint16{443: 6443}}
	for _, o := range objects {
		if o.GetKind() != "Service" {
			continue
		}
		selector, _, err := unstructured.NestedStringMap(o.Object, "spec", "selector")
		if err != nil {
			t.Fatal(err)
		}
		pod := w.find(t, o.GetNamespace(), selector)
		w.services[o.GetName()+"."+o.GetNamespace()] = service{pod.Addr, servicePorts(t, o, pod)}
	}
}

// place puts the pod that was added last on its node, which is the second one where it
// must not run on the first.
func (w *labWorld) place(deployment unstructured.Unstructured) {
	last := len(w.Pods) - 1
	_, away, _ := unstructured.NestedMap(deployment.Object, "spec", "template", "spec", "affinity", "nodeAffinity")
	if away {
		w.away = append(w.away, w.Pods[last].Addr)
	}
	if host, _, _ := unstructured.NestedBool(deployment.Object, "spec", "template", "spec", "hostNetwork"); !host {
		return
	}
	pod := w.Pods[last]
	if pod.Addr = firstNode; away {
		pod.Addr = secondNode
	}
	w.Pods, w.hosts = w.Pods[:last], append(w.hosts, pod)
}

// judgedOn has the world be as the node sees it that judges a connection: the source's, or
// the destination's where the source has a node's address.
func (w *labWorld) judgedOn(from, to netip.Addr) {
	pod := from
	if from == firstNode || from == secondNode {
		pod = to
	}
	if w.Node, w.RemoteNode = firstNode, secondNode; slices.Contains(w.away, pod) {
		w.Node, w.RemoteNode = secondNode, firstNode
	}
}

// fields are the maps of a list below an object.
func fields(t *testing.T, object map[string]any, path ...string) (found []map[string]any) {
	t.Helper()
	list, _, err := unstructured.NestedSlice(object, path...)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range list {
		found = append(found, one.(map[string]any))
	}
	return found
}

// namedPorts are the container ports of a Deployment that have names.
func namedPorts(t *testing.T, deployment unstructured.Unstructured) (ports []oracle.Port) {
	t.Helper()
	for _, c := range fields(t, deployment.Object, "spec", "template", "spec", "containers") {
		for _, p := range fields(t, c, "ports") {
			name, _ := p["name"].(string)
			number, _ := p["containerPort"].(int64)
			protocol, ok := p["protocol"].(string)
			if !ok {
				protocol = "TCP"
			}
			ports = append(ports, oracle.Port{Name: name, Number: uint16(number), Protocol: protocol})
		}
	}
	return ports
}

func servicePorts(t *testing.T, o unstructured.Unstructured, pod oracle.Pod) map[uint16]uint16 {
	t.Helper()
	ports := map[uint16]uint16{}
	for _, p := range fields(t, o.Object, "spec", "ports") {
		port, _ := p["port"].(int64)
		switch target := p["targetPort"].(type) {
		case int64:
			ports[uint16(port)] = uint16(target)
		case string:
			i := slices.IndexFunc(pod.Ports, func(p oracle.Port) bool { return p.Name == target })
			if i < 0 {
				t.Fatalf("Service %s: pod %s has no port %s", o.GetName(), pod.Name, target)
			}
			ports[uint16(port)] = pod.Ports[i].Number
		default:
			ports[uint16(port)] = uint16(port)
		}
	}
	return ports
}

func (w *labWorld) add(namespace, name string, labels map[string]string, ports ...oracle.Port) {
	addr := netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", len(w.Pods)+10))
	six := netip.MustParseAddr(fmt.Sprintf("fd00::%d", len(w.Pods)+10))
	w.Pods = append(w.Pods, oracle.Pod{Namespace: namespace, Name: name, Labels: labels, Addr: addr, Addr6: six, Ports: ports})
}

// find is the pod that a selector picks.
func (w *labWorld) find(t *testing.T, namespace string, selector map[string]string) oracle.Pod {
	t.Helper()
pods:
	for _, p := range slices.Concat(w.Pods, w.hosts) {
		for k, v := range selector {
			if p.Labels[k] != v {
				continue pods
			}
		}
		if p.Namespace == namespace {
			return p
		}
	}
	t.Fatalf("no pod of %s has %v", namespace, selector)
	return oracle.Pod{}
}

func (w *labWorld) task(t *testing.T, lab *labs.Lab, task labs.Task) {
	changes := []labs.Fails{}
	for _, c := range task.Checks {
		if c.After != c.Before {
			changes = append(changes, labs.Fails{Check: c.ID, Verdict: checks.Kind(c.Before)})
		}
	}
	w.answer(t, lab, task, "nothing", nil, changes)
	w.answer(t, lab, task, "the solution", task.Solution, nil)
	for _, wrong := range task.Wrong {
		if wrong.Fails[0].Cause == checks.CausePolicyRejected {
			continue // by the API server, which is not asked here
		}
		w.answer(t, lab, task, wrong.Name, wrong.Files, wrong.Fails)
	}
}

// apply puts files of a lab in place of all policies but those that it begins with. The
// error is of one that the simulator does not take.
func (w *labWorld) apply(t *testing.T, lab *labs.Lab, files []string) error {
	t.Helper()
	var docs [][]byte
	for _, o := range slices.Concat(w.policies, parse(t, lab, files)) {
		doc, err := json.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	return w.SetPolicies(docs)
}

// answer wants exactly the failures that are declared.
func (w *labWorld) answer(t *testing.T, lab *labs.Lab, task labs.Task, name string, files []string, fails []labs.Fails) {
	t.Helper()
	if err := w.apply(t, lab, files); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	want := map[string]checks.Kind{}
	for _, f := range fails {
		want[f.Check] = f.Verdict
	}
	for _, c := range task.Checks {
		if !c.InPod() {
			continue // it reads an object
		}
		expect := checks.Kind(c.After)
		if declared, ok := want[c.ID]; ok {
			expect = declared
		}
		if got := w.verdict(t, c); got != expect {
			t.Errorf("%s: %s is %s, want %s", name, c.ID, got, expect)
		}
	}
}

// largeName is the world's name whose answer takes a question by TCP.
const largeName = "large.example.com"

const (
	tcp = 6
	udp = 17
)

func (w *labWorld) verdict(t *testing.T, c checks.Check) checks.Kind {
	t.Helper()
	d, err := c.Destination()
	if err != nil {
		t.Fatal(err)
	}
	selector := maps.Clone(c.From.Labels)
	if c.From.App != "" {
		selector = map[string]string{"app": c.From.App}
		maps.Copy(selector, c.From.Labels)
	}
	pod := w.find(t, c.From.Namespace, selector)
	from := pod.Addr
	proto := uint8(tcp)
	switch c.Probe.Probe.(type) {
	case *checks.UDP:
		proto = udp
	case *checks.DNS:
		d.Host, proto = dnsService, udp
	}
	to, port, named := w.destination(t, c, d)
	dns := w.Pods[0].Addr
	if asks, ok := c.Probe.Probe.(*checks.Curl); ok && slices.Contains(asks.Args, "-6") {
		from, to = pod.Addr6, w.six(to)
	}
	w.judgedOn(from, to)
	switch {
	case named && !w.Allowed(oracle.Conn{From: pod.Addr, To: dns, Proto: udp, Port: 53}),
		d.Host == largeName && !w.Allowed(oracle.Conn{From: pod.Addr, To: dns, Proto: tcp, Port: 53}):
		return checks.Broken
	case w.Allowed(oracle.Conn{From: from, To: to, Proto: proto, Port: port}):
		return checks.Allowed
	}
	return checks.Denied
}

// six is the address of IPv6 of a pod with one of IPv4; others stay.
func (w *labWorld) six(a netip.Addr) netip.Addr {
	for _, p := range w.Pods {
		if p.Addr == a {
			return p.Addr6
		}
	}
	return a
}

// destination is where a check arrives, and whether it asks DNS for it.
func (w *labWorld) destination(t *testing.T, c checks.Check, d checks.Destination) (to netip.Addr, port uint16, named bool) {
	t.Helper()
	if d.IsIP() {
		return netip.MustParseAddr(d.Host), d.Port, false
	}
	if _, asks := c.Probe.Probe.(*checks.DNS); asks {
		return w.Pods[0].Addr, 53, false
	}
	host := strings.TrimSuffix(d.Host, ".svc.cluster.local")
	if !strings.Contains(host, ".") {
		host += "." + c.From.Namespace
	}
	s, ok := w.services[host]
	if !ok && !strings.HasSuffix(d.Host, ".com") && !strings.HasSuffix(d.Host, ".io") {
		t.Fatalf("check %s: there is no Service %s", c.ID, host)
	}
	if !ok {
		return netip.MustParseAddr("93.184.216.34"), d.Port, true
	}
	if s.ports[d.Port] == 0 {
		t.Fatalf("check %s: Service %s has no port %d", c.ID, host, d.Port)
	}
	return s.pod, s.ports[d.Port], true
}
