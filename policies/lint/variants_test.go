package lint_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/policies/lint"
)

// variant writes policies in another way that means the same. It changes documents in
// place, or the text; false where it has nothing to change.
type variant struct {
	name string
	docs func([]map[string]any) bool
	text func(string) string
}

// each calls f for every mapping below v, with the field that it is in.
func each(v any, field string, f func(m map[string]any, field string) bool) bool {
	changed := false
	switch v := v.(type) {
	case map[string]any:
		changed = f(v, field)
		for _, k := range slices.Sorted(maps.Keys(v)) {
			changed = each(v[k], k, f) || changed
		}
	case []any:
		for _, item := range v {
			changed = each(item, field, f) || changed
		}
	}
	return changed
}

func inAll(f func(m map[string]any, field string) bool) func([]map[string]any) bool {
	return func(docs []map[string]any) bool {
		changed := false
		for _, d := range docs {
			changed = each(d["spec"], "spec", f) || changed
		}
		return changed
	}
}

func inSpecs(kind string, f func(doc, spec map[string]any) bool) func([]map[string]any) bool {
	return func(docs []map[string]any) bool {
		changed := false
		for _, d := range docs {
			spec, _ := d["spec"].(map[string]any)
			if kind == "" || strings.HasPrefix(d["kind"].(string), kind) {
				changed = f(d, spec) || changed
			}
		}
		return changed
	}
}

// relabel writes the keys of Cilium's selectors in another way.
func relabel(f func(string) string) func([]map[string]any) bool {
	return inSpecs("Cilium", func(_, spec map[string]any) bool {
		return each(spec, "spec", func(m map[string]any, field string) bool {
			if field != "matchLabels" {
				return false
			}
			changed := false
			for _, k := range slices.Sorted(maps.Keys(m)) {
				if to := f(k); to != k {
					m[to] = m[k]
					delete(m, k)
					changed = true
				}
			}
			return changed
		})
	})
}

var variants = []variant{
	{name: "as YAML of another writer", docs: func([]map[string]any) bool { return true }},
	{name: "as JSON", text: func(text string) string {
		var out []string
		for _, doc := range strings.Split(text, "\n---\n") {
			if data, err := sigsyaml.YAMLToJSON([]byte(doc)); err == nil {
				out = append(out, string(data))
			}
		}
		return strings.Join(out, "\n---\n")
	}},
	{name: "as indented JSON", text: func(text string) string {
		var out []string
		for _, doc := range strings.Split(text, "\n---\n") {
			data, _ := sigsyaml.YAMLToJSON([]byte(doc))
			var b bytes.Buffer
			_ = json.Indent(&b, data, "", "    ")
			out = append(out, b.String())
		}
		return strings.Join(out, "\n---\n")
	}},
	{name: "with comments", text: func(text string) string {
		return "# a comment\n" + strings.ReplaceAll(text, "spec:\n", "spec: # what it does\n  # and more\n")
	}},
	{name: "with lines that end in CR", text: func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }},
	{name: "with spaces at the ends of lines", text: func(text string) string { return strings.ReplaceAll(text, "\n", "  \n") }},
	{name: "with empty documents", text: func(text string) string { return "---\n---\n" + text + "\n---\n# the end\n" }},
	{name: "the documents the other way round", docs: func(docs []map[string]any) bool { slices.Reverse(docs); return len(docs) > 1 }},
	{name: "as a List", text: func(text string) string {
		list := map[string]any{"apiVersion": "v1", "kind": "List"}
		var items []any
		for _, doc := range strings.Split(text, "\n---\n") {
			var v map[string]any
			if yaml.Unmarshal([]byte(doc), &v) == nil && v != nil {
				items = append(items, v)
			}
		}
		list["items"] = items
		data, _ := yaml.Marshal(list)
		return string(data)
	}},
	{name: "with labels and annotations", docs: func(docs []map[string]any) bool {
		for _, d := range docs {
			meta := d["metadata"].(map[string]any)
			meta["labels"] = map[string]any{"app.kubernetes.io/managed-by": "hand"}
			meta["annotations"] = map[string]any{"example.com/note": "why: because"}
		}
		return true
	}},
	{name: "with a description", docs: inSpecs("Cilium", func(_, spec map[string]any) bool { spec["description"] = "who may come"; return true })},
	{name: "with specs", docs: inSpecs("Cilium", func(d, spec map[string]any) bool {
		d["specs"] = []any{spec}
		delete(d, "spec")
		return true
	})},
	{name: "labels as expressions", docs: inAll(func(m map[string]any, _ string) bool {
		lbls, ok := m["matchLabels"].(map[string]any)
		if !ok {
			return false
		}
		list, _ := m["matchExpressions"].([]any)
		for _, k := range slices.Sorted(maps.Keys(lbls)) {
			list = append(list, map[string]any{"key": k, "operator": "In", "values": []any{lbls[k]}})
		}
		m["matchExpressions"] = list
		delete(m, "matchLabels")
		return true
	})},
	{name: "labels twice", docs: inAll(func(m map[string]any, _ string) bool {
		lbls, ok := m["matchLabels"].(map[string]any)
		for _, k := range slices.Sorted(maps.Keys(lbls)) {
			m["matchExpressions"] = []any{map[string]any{"key": k, "operator": "Exists"}}
		}
		return ok
	})},
	{name: "and a label that no pod has to lack", docs: inAll(func(m map[string]any, _ string) bool {
		_, ok := m["matchLabels"]
		if ok && m["matchExpressions"] == nil {
			m["matchExpressions"] = []any{map[string]any{"key": "quarantine", "operator": "DoesNotExist"}}
		}
		return ok
	})},
	{name: "k8s: before labels", docs: relabel(func(k string) string {
		if strings.Contains(k, ":") {
			return k
		}
		return "k8s:" + k
	})},
	{name: "any: before labels", docs: relabel(func(k string) string { return "any:" + strings.TrimPrefix(k, "k8s:") })},
	{name: "nothing before labels", docs: relabel(func(k string) string { return strings.TrimPrefix(k, "k8s:") })},
	{name: "the own namespace named", docs: inSpecs("CiliumNetworkPolicy", func(d, spec map[string]any) bool {
		ns, _ := d["metadata"].(map[string]any)["namespace"].(string)
		lbls, ok := spec["endpointSelector"].(map[string]any)["matchLabels"].(map[string]any)
		if !ok || ns == "" {
			return false
		}
		lbls["k8s:io.kubernetes.pod.namespace"] = ns
		return true
	})},
	{name: "without policyTypes", docs: inSpecs("NetworkPolicy", func(_, spec map[string]any) bool {
		types, _ := spec["policyTypes"].([]any)
		if len(types) != 1 || types[0] != "Ingress" {
			return false
		}
		delete(spec, "policyTypes")
		return true
	})},
	{name: "without rules that are none", docs: inSpecs("NetworkPolicy", func(_, spec map[string]any) bool {
		list, ok := spec["ingress"].([]any)
		if ok && len(list) == 0 {
			delete(spec, "ingress")
		}
		return ok && len(list) == 0
	})},
	{name: "with rules that are none", docs: inSpecs("NetworkPolicy", func(_, spec map[string]any) bool {
		changed := false
		for _, item := range spec["policyTypes"].([]any) {
			if field := strings.ToLower(item.(string)); spec[field] == nil {
				spec[field] = []any{}
				changed = true
			}
		}
		return changed
	})},
	{name: "TCP where it is the default", docs: inSpecs("NetworkPolicy", func(_, spec map[string]any) bool {
		return each(spec, "spec", func(m map[string]any, field string) bool {
			if field == "ports" && m["protocol"] == "TCP" && m["port"] != 53 {
				delete(m, "protocol")
				return true
			}
			return false
		})
	})},
	{name: "without protocol", docs: inSpecs("Cilium", func(_, spec map[string]any) bool {
		return each(spec, "spec", func(m map[string]any, field string) bool {
			if field == "ports" && m["protocol"] == "ANY" {
				delete(m, "protocol")
				return true
			}
			return false
		})
	})},
	{name: "ANY as UDP and TCP", docs: inSpecs("Cilium", func(_, spec map[string]any) bool {
		return each(spec, "spec", func(m map[string]any, _ string) bool {
			list, _ := m["ports"].([]any)
			if len(list) != 1 || list[0].(map[string]any)["protocol"] != "ANY" {
				return false
			}
			port := list[0].(map[string]any)["port"]
			m["ports"] = []any{map[string]any{"port": port, "protocol": "UDP"}, map[string]any{"port": port, "protocol": "TCP"}}
			return true
		})
	})},
	{name: "a port of many", docs: inSpecs("Cilium", func(_, spec map[string]any) bool {
		return each(spec, "spec", func(m map[string]any, _ string) bool {
			list, _ := m["ports"].([]any)
			if len(list) != 1 || m["rules"] != nil || list[0].(map[string]any)["port"] != "8080" {
				return false
			}
			list[0].(map[string]any)["endPort"] = 8080
			return true
		})
	})},
	{name: "the port's name", docs: inSpecs("", func(d, spec map[string]any) bool {
		return each(spec, "spec", func(m map[string]any, field string) bool {
			if field == "ports" && (m["port"] == 8080 || m["port"] == "8080") && m["endPort"] == nil {
				m["port"] = "http"
				if d["metadata"].(map[string]any)["namespace"] == "harbor" {
					m["port"] = "web"
				}
				return true
			}
			return false
		})
	})},
	{name: "the rules the other way round", docs: inSpecs("", func(_, spec map[string]any) bool {
		changed := false
		for _, field := range []string{"ingress", "egress"} {
			if list, ok := spec[field].([]any); ok && len(list) > 1 && spec["tier"] == nil {
				slices.Reverse(list)
				changed = true
			}
		}
		return changed
	})},
	{name: "a rule a peer", docs: inSpecs("Cilium", func(_, spec map[string]any) bool {
		changed := false
		for field, ends := range map[string]string{"ingress": "fromEndpoints", "egress": "toEndpoints"} {
			list, _ := spec[field].([]any)
			var out []any
			for _, item := range list {
				r := item.(map[string]any)
				peers, _ := r[ends].([]any)
				if len(peers) < 2 {
					out = append(out, r)
					continue
				}
				for _, one := range peers {
					part := maps.Clone(r)
					part[ends] = []any{one}
					out = append(out, part)
				}
				changed = true
			}
			if out != nil {
				spec[field] = out
			}
		}
		return changed
	})},
	{name: "the default deny said", docs: inSpecs("Cilium", func(_, spec map[string]any) bool {
		if spec["enableDefaultDeny"] != nil {
			return false
		}
		deny := map[string]any{}
		for _, field := range []string{"ingress", "egress"} {
			if spec[field] != nil {
				deny[field] = true
			}
		}
		spec["enableDefaultDeny"] = deny
		return len(deny) > 0
	})},
	{name: "the pattern as its name", docs: inAll(func(m map[string]any, field string) bool {
		if field == "toFQDNs" && m["matchName"] != nil {
			m["matchPattern"] = m["matchName"]
			delete(m, "matchName")
			return true
		}
		return false
	})},
	{name: "a name with its dot", docs: inAll(func(m map[string]any, field string) bool {
		if name, ok := m["matchName"].(string); ok && field == "toFQDNs" {
			m["matchName"] = name + "."
			return true
		}
		return false
	})},
	{name: "the method as an expression", docs: inAll(func(m map[string]any, field string) bool {
		if m["method"] == "GET" && field == "http" {
			m["method"] = "GET|HEAD"
			return true
		}
		return false
	})},
	{name: "an anchor for labels", text: func(text string) string {
		from := "matchLabels:\n      app: "
		if strings.Count(text, from) == 0 {
			return text
		}
		return strings.Replace(text, from, "matchLabels: &labels\n      app: ", 1)
	}},
}

// TestVariants judges the solutions written in other ways, which are as right.
func TestVariants(t *testing.T) {
	used, judged := map[string]bool{}, 0
	for _, l := range catalogue(t) {
		beside := lint.Read(labFiles(t, l, l.Workloads))
		for _, task := range l.Tasks {
			files := labFiles(t, l, task.Solution)
			for _, v := range variants {
				var changed []lint.File
				for _, f := range files {
					text, ok := v.write(t, string(f.Data))
					if used[v.name] = used[v.name] || ok; ok {
						judged++
					}
					changed = append(changed, lint.File{Name: f.Name, Data: []byte(text)})
				}
				r := lint.Check(lint.Input{Files: changed, Beside: beside, Namespace: l.Namespace})
				for _, p := range r.Problems {
					t.Errorf("%s: %s (%s)", v.name, p, p.Cure)
				}
			}
		}
	}
	for _, v := range variants {
		if !used[v.name] {
			t.Errorf("%s: there is no solution to change", v.name)
		}
	}
	t.Logf("%d ways, %d files", len(variants), judged)
	if len(variants) < 30 {
		t.Errorf("there are only %d ways", len(variants))
	}
}

func (v variant) write(t *testing.T, text string) (string, bool) {
	t.Helper()
	if v.text != nil {
		out := v.text(text)
		return out, out != text
	}
	var docs []map[string]any
	dec := yaml.NewDecoder(strings.NewReader(text))
	for {
		var d map[string]any
		err := dec.Decode(&d)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, d)
	}
	if !v.docs(docs) {
		return text, false
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	for _, d := range docs {
		if err := enc.Encode(d); err != nil {
			t.Fatal(err)
		}
	}
	return b.String(), true
}
