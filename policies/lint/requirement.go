package lint

import (
	"slices"
	"strings"

	"github.com/netdojo/netdojo/internal/typo"
)

// attribute is what a requirement is about.
type attribute int

const (
	podLabel attribute = iota
	spaceLabel
	account // the pod's service account
	unknown // what no manifest tells: reserved labels, clusters
)

// requirement is one condition of a selector.
type requirement struct {
	value           // the label, or the expression
	of    attribute //
	key   string    // without what a dialect puts before it
	// written is the key as it stands in the file.
	written  string
	operator string // In, NotIn, Exists, DoesNotExist
	values   []string
	valuesAt []value
	keyAt    value
	isLabel  bool // of matchLabels
}

// dialect tells what a key is about, and its bare name.
type dialect func(written string) (key string, of attribute)

func plain(written string) (string, attribute) {
	if volatile(written) {
		return written, unknown
	}
	return written, podLabel
}

func ofSpaces(written string) (string, attribute) { return written, spaceLabel }

const (
	podNamespaceKey  = "io.kubernetes.pod.namespace"
	spaceLabelPrefix = "io.cilium.k8s.namespace.labels."
	accountKey       = "io.cilium.k8s.policy.serviceaccount"
)

// cilium reads a key of Cilium's selectors, before which a source may stand.
func cilium(written string) (string, attribute) {
	key := written
	if source, bare, ok := strings.Cut(written, ":"); ok {
		if source != "k8s" && source != "any" {
			return written, unknown
		}
		key = bare
	}
	switch name, ofSpace := strings.CutPrefix(key, spaceLabelPrefix); {
	case key == podNamespaceKey:
		return nameLabel, spaceLabel
	case ofSpace:
		return name, spaceLabel
	case key == accountKey:
		return key, account
	case strings.HasPrefix(key, "io.cilium.k8s.policy."), volatile(key):
		return key, unknown
	}
	return key, podLabel
}

// volatile says whether controllers set a label, so that no manifest shows it.
func volatile(key string) bool {
	return slices.Contains([]string{
		"pod-template-hash", "controller-revision-hash", "pod-template-generation", "job-name", "controller-uid",
		"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-name",
		"batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-completion-index",
	}, key) || strings.HasPrefix(key, "topology.kubernetes.io/") || strings.HasPrefix(key, "security.istio.io/") ||
		strings.HasPrefix(key, "service.istio.io/")
}

// requirements reads a selector.
func requirements(selector value, d dialect) []requirement {
	var out []requirement
	for _, e := range selector.get("matchLabels").entries() {
		key, of := d(e.name)
		out = append(out, requirement{
			value: e.value, of: of, key: key, written: e.name, operator: "In",
			values: []string{e.text()}, valuesAt: []value{e.here()}, keyAt: e.value, isLabel: true,
		})
	}
	for _, item := range selector.get("matchExpressions").items() {
		written := item.get("key")
		key, of := d(written.text())
		q := requirement{
			value: item, of: of, key: key, written: written.text(), operator: item.get("operator").text(), keyAt: written.here(),
		}
		for _, v := range item.get("values").items() {
			q.values = append(q.values, v.text())
			q.valuesAt = append(q.valuesAt, v)
		}
		out = append(out, q)
	}
	return out
}

// met says whether labels meet the requirement.
func (q *requirement) met(labels map[string]string) bool {
	if q.of == unknown {
		return true
	}
	have, ok := labels[q.key]
	switch q.operator {
	case "In":
		return ok && slices.Contains(q.values, have)
	case "NotIn":
		return !ok || !slices.Contains(q.values, have)
	case "Exists":
		return ok
	case "DoesNotExist":
		return !ok
	}
	return true
}

// wants says whether labels of a name have to be there.
func (q *requirement) wants() bool { return q.operator == "In" || q.operator == "Exists" }

// String is the requirement in words.
func (q *requirement) String() string {
	switch {
	case q.operator == "In" && len(q.values) == 1:
		return q.key + "=" + q.values[0]
	case q.operator == "In", q.operator == "NotIn":
		word := " in ("
		if q.operator == "NotIn" {
			word = " not in ("
		}
		return q.key + word + strings.Join(q.values, ", ") + ")"
	case q.operator == "DoesNotExist":
		return "no label " + q.key
	}
	return "a label " + q.key
}

func (q *requirement) metBy(p *pod) bool {
	if q.of == account {
		return q.met(map[string]string{q.key: p.account})
	}
	return q.met(p.labels)
}

func all(qs []requirement, met func(*requirement) bool) bool {
	for i := range qs {
		if !met(&qs[i]) {
			return false
		}
	}
	return true
}

// inSpace says whether the scope covers a namespace.
func (s *scope) inSpace(w *world, name string) bool {
	if s.nodes {
		return false
	}
	if s.own != "" {
		return name == s.own
	}
	labels := map[string]string{nameLabel: name}
	if space := w.spaces[name]; space != nil {
		labels = space.labels
	}
	return all(s.spaces, func(q *requirement) bool { return q.met(labels) })
}

func (s *scope) has(w *world, p *pod) bool {
	return s.inSpace(w, p.namespace) && all(s.pods, func(q *requirement) bool { return q.metBy(p) })
}

// named are the namespaces that the scope is limited to by name; nil when it may
// reach into others than those that are known.
func (s *scope) named() []string {
	if s.own != "" {
		return []string{s.own}
	}
	for _, q := range s.spaces {
		if q.key == nameLabel && q.operator == "In" {
			return q.values
		}
	}
	return nil
}

// miss is how a selector most likely misses a pod.
type miss struct {
	rank int // the least is the likeliest
	q    *requirement
	// at is where to write cure.
	at   value
	cure string
	pod  *pod
}

// ranks of a miss.
const (
	valueTypo = iota
	keyTypo
	otherKey   // the value, under another label
	otherValue // the label, with another value
	noMiss
)

// nearest finds the pod that a selector misses by the least.
func nearest(qs []requirement, pods []*pod, extraKeys ...string) miss {
	best := miss{rank: noMiss}
	for _, p := range pods {
		var failed []*requirement
		for i := range qs {
			if !qs[i].metBy(p) {
				failed = append(failed, &qs[i])
			}
		}
		if len(failed) != 1 {
			continue
		}
		if m := missOf(failed[0], p); m.rank < best.rank {
			best = m
		}
	}
	if best.rank <= keyTypo {
		return best
	}
	for i := range qs {
		if near := typo.Nearest(qs[i].key, extraKeys); near != "" && near != qs[i].key {
			return miss{rank: keyTypo, q: &qs[i], at: qs[i].keyAt, cure: "write " + source(qs[i].written) + near}
		}
	}
	return best
}

// source is what stands before a key in Cilium's selectors, the colon included.
func source(written string) string {
	if before, _, ok := strings.Cut(written, ":"); ok {
		return before + ":"
	}
	return ""
}

// missOf is how one requirement misses one pod.
func missOf(q *requirement, p *pod) miss {
	labels := p.labels
	if q.of == account {
		labels = map[string]string{q.key: p.account}
	}
	out := miss{rank: noMiss, q: q, at: q.value, pod: p}
	if !q.wants() {
		return out
	}
	have, hasKey := labels[q.key]
	for i, v := range q.values {
		if hasKey && typo.Nearest(v, []string{have}) != "" {
			out.rank, out.at, out.cure = valueTypo, q.valuesAt[i], q.write(have)
			return out
		}
	}
	if hasKey {
		out.rank, out.at, out.cure = otherValue, q.valuesAt[0], ""
		return out
	}
	for k, v := range labels {
		fits := q.operator == "Exists" || slices.Contains(q.values, v)
		if fits && typo.Nearest(q.key, []string{k}) != "" {
			out.rank, out.at, out.cure = keyTypo, q.keyAt, q.rename(k)
			return out
		}
	}
	for k, v := range labels {
		if slices.Contains(q.values, v) && (out.rank == noMiss || k < out.cure) {
			out.rank, out.at, out.cure = otherKey, q.keyAt, q.rename(k)
		}
	}
	return out
}

// write is the cure for a value.
func (q *requirement) write(v string) string {
	if q.isLabel {
		return "write " + q.written + ": " + v
	}
	return "write " + v
}

// rename is the cure for a key.
func (q *requirement) rename(k string) string {
	if q.isLabel {
		return "write " + source(q.written) + k + ": " + q.values[0]
	}
	return "write key: " + source(q.written) + k
}
