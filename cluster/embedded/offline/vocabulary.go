package offline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/manifests"
)

// vocabulary is what policies speak of.
type vocabulary struct {
	labels     map[string]map[string]bool // of pods, by key
	namespaces map[string]bool            // by name
	teams      map[string]string          // "KEY=VALUE" of namespaces' labels
	ports      map[uint16]bool
	addrs      map[netip.Addr]bool
	names      map[string]bool
	methods    map[string]bool
	paths      map[string]bool
	servers    map[string]bool
	dns        map[string]bool
	icmp       bool
}

// read takes up what an object says. Key is the field that v is the value of;
// namespaces that its labels are those of namespaces.
func (w *vocabulary) read(v any, key string, namespaces bool) {
	switch v := v.(type) {
	case map[string]any:
		if key == "matchLabels" {
			for k, value := range v {
				w.label(k, fmt.Sprint(value), namespaces)
			}
			return
		}
		if k, ok := v["key"].(string); ok && v["operator"] != nil {
			values, _ := v["values"].([]any)
			for _, value := range values {
				w.label(k, fmt.Sprint(value), namespaces)
			}
			if len(values) == 0 {
				w.label(k, unseenName, namespaces)
			}
			return
		}
		for k, below := range v {
			w.read(below, k, k == "namespaceSelector" || k == "namespaces" || namespaces && (k == "matchLabels" || k == "matchExpressions"))
		}
	case []any:
		for _, below := range v {
			w.read(below, key, namespaces)
		}
	case string:
		w.text(key, v)
	case int64:
		w.port(key, v)
	case float64:
		w.port(key, int64(v))
	}
}

func (w *vocabulary) label(key, value string, namespaces bool) {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "k8s:"), "any:")
	switch bare, ofNamespace := strings.CutPrefix(key, "io.cilium.k8s.namespace.labels."); {
	case key == "io.kubernetes.pod.namespace", key == "kubernetes.io/metadata.name", bare == "kubernetes.io/metadata.name":
		w.namespaces[value] = true
	case ofNamespace, namespaces:
		w.teams[bare+"="+value] = bare
	default:
		if w.labels[key] == nil {
			w.labels[key] = map[string]bool{}
		}
		w.labels[key][value] = true
	}
}

func (w *vocabulary) text(key, v string) {
	switch key {
	case "port":
		if n, err := strconv.ParseUint(v, 10, 16); err == nil {
			w.ports[uint16(n)] = true
		}
	case "cidr", "fromCIDR", "toCIDR", "except", "networks":
		w.prefix(v)
	case "matchName", "matchPattern":
		name := strings.ToLower(strings.TrimSuffix(strings.ReplaceAll(v, "*", unseenName), "."))
		w.names[name], w.dns[name] = true, true
	case "method":
		w.methods[v] = true
	case "path":
		w.paths[v] = true
		w.paths[strings.NewReplacer(".*", "/"+unseenName, "[^/]*", unseenName).Replace(v)] = true
		w.paths[v+"/"+unseenName] = true
	case "serverNames":
		w.servers[strings.ReplaceAll(v, "*", unseenName)] = true
	}
	if strings.HasPrefix(strings.ToUpper(v), "ICMP") {
		w.icmp = true
	}
	if key == "type" || key == "family" {
		w.icmp = w.icmp || key == "family"
	}
}

func (w *vocabulary) port(key string, n int64) {
	if n < 1 || n > 65535 {
		return
	}
	switch key {
	case "port", "containerPort", "number", "start":
		w.ports[uint16(n)] = true
	case "endPort", "end":
		w.ports[uint16(n)] = true
		if n < 65535 {
			w.ports[uint16(n)+1] = true
		}
	}
}

// prefix adds a range's ends and their neighbours.
func (w *vocabulary) prefix(text string) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		if a, err := netip.ParseAddr(text); err == nil {
			w.addrs[a] = true
		}
		return
	}
	first := p.Masked().Addr()
	bytes := first.AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	for _, a := range []netip.Addr{first, first.Prev(), last, last.Next()} {
		if a.IsValid() && !podCIDR.Contains(a) && !a.IsUnspecified() {
			w.addrs[a] = true
		}
	}
}

// complete adds what no policy mentions.
func (w *vocabulary) complete() {
	if len(w.ports) > mostPorts {
		kept := slices.Sorted(maps.Keys(w.ports))[:mostPorts]
		w.ports = map[uint16]bool{}
		for _, p := range kept {
			w.ports[p] = true
		}
	}
	w.ports[unusedPort] = true
	w.addrs[netip.MustParseAddr("198.51.100.77")] = true
	if len(w.names) > 0 || len(w.dns) > 0 {
		w.names[unseenName+".example"], w.dns[unseenName+".example"] = true, true
	}
	if len(w.paths) > 0 || len(w.methods) > 0 {
		w.paths["/"+unseenName], w.methods["GET"], w.methods["POST"], w.methods["DELETE"] = true, true, true, true
	}
	if len(w.servers) > 0 {
		w.servers[unseenName+".example"] = true
	}
}

// strangers are a file of pods that none of the objects is: in each namespace, and in
// one of each label that policies select namespaces by, pods without labels, with
// each label that policies mention, and with those of each of the objects' pods but
// one.
func (w *vocabulary) strangers(objects []manifests.Object, namespace string) control.File {
	sets := []map[string]string{{}}
	for _, key := range slices.Sorted(maps.Keys(w.labels)) {
		for _, value := range slices.Sorted(maps.Keys(w.labels[key])) {
			sets = append(sets, map[string]string{key: value})
		}
		sets = append(sets, map[string]string{key: unseenName})
	}
	namespaces := []string{namespace}
	for _, o := range objects {
		if o.GetKind() == "Namespace" {
			namespaces = append(namespaces, o.GetName())
		}
		if lbls, ok := podLabels(o); ok {
			namespaces = append(namespaces, cmp.Or(o.GetNamespace(), namespace))
			sets = append(sets, lbls)
			if len(lbls) > 1 {
				for key := range lbls {
					less := maps.Clone(lbls)
					delete(less, key)
					sets = append(sets, less)
				}
			}
		}
	}
	slices.Sort(namespaces)
	namespaces = slices.Compact(namespaces)
	var text strings.Builder
	emit := func(o map[string]any) {
		// Plain data of ours always encodes.
		data, _ := json.Marshal(o)
		text.Write(data)
		text.WriteString("\n---\n")
	}
	foreign := func(name string, lbls map[string]string) {
		emit(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": lbls}})
		namespaces = append(namespaces, name)
	}
	for _, name := range slices.Sorted(maps.Keys(w.namespaces)) {
		if !slices.Contains(namespaces, name) && name != "kube-system" {
			foreign(name, nil)
		}
	}
	foreign(unseenName, nil)
	for i, pair := range slices.Sorted(maps.Keys(w.teams)) {
		key := w.teams[pair]
		foreign(fmt.Sprintf("%s-%d", unseenName, i+1), map[string]string{key: strings.TrimPrefix(pair, key+"=")})
	}
	seen := map[string]bool{}
	made := 0
	for _, lbls := range sets {
		id := fmt.Sprint(lbls) // fmt prints maps in the order of their keys
		if seen[id] {
			continue
		}
		seen[id] = true
		for _, ns := range namespaces {
			if made++; made > mostUnseen {
				break
			}
			emit(map[string]any{
				"apiVersion": "v1", "kind": "Pod",
				"metadata": map[string]any{"name": fmt.Sprintf("%s-%d", unseenName, made), "namespace": ns, "labels": lbls},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": "i"}}},
			})
		}
	}
	return control.File{Name: "pods that the files do not have", Data: []byte(text.String())}
}

// podLabels are the labels that an object's pods have.
func podLabels(o manifests.Object) (map[string]string, bool) {
	if o.GetKind() == "Pod" {
		return o.GetLabels(), true
	}
	path, ok := templates[o.GetKind()]
	if !ok {
		return nil, false
	}
	var at any = o.Object
	for _, step := range append(slices.Clone(path), "metadata", "labels") {
		m, _ := at.(map[string]any)
		at = m[step]
	}
	lbls := map[string]string{}
	m, _ := at.(map[string]any)
	for k, v := range m {
		lbls[k] = fmt.Sprint(v)
	}
	return lbls, true
}
