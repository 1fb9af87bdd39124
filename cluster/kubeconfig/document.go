package kubeconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"go.yaml.in/yaml/v3"
)

// formerExtension is the extension on our context that remembers what was
// current before it. Kubectl keeps extensions that it does not know.
const formerExtension = "netdojo.dev/former-context"

// document is a kubeconfig as YAML nodes, so that what is not ours survives.
type document struct {
	path  string
	root  *yaml.Node // a mapping
	isNew bool       // there was no file
	dirty bool
	spent bool // the file was made for us, and nothing is left in it
}

// read parses a file; one that is missing or empty gives an empty document.
func read(ctx context.Context, path string) (*document, error) {
	data, err := readUsers(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		doc, err := parse(path, nil)
		doc.isNew = true
		return doc, err
	}
	if err != nil {
		return nil, err
	}
	return parse(path, data)
}

func parse(path string, data []byte) (*document, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var top, second yaml.Node
	err := dec.Decode(&top)
	switch {
	case errors.Is(err, io.EOF), err == nil && top.Content[0].Tag == "!!null":
		root := mapping("apiVersion", scalar("v1"), "kind", scalar("Config"))
		return &document{path: path, root: root}, nil
	case err != nil:
		return nil, &Error{Act: "read " + path, Err: err, cure: "correct the file, or set KUBECONFIG to another one"}
	}
	doc := &document{path: path, root: top.Content[0]}
	if doc.root.Kind != yaml.MappingNode {
		return nil, doc.errorf(doc.root, "a kubeconfig is a mapping")
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, doc.errorf(&second, "a kubeconfig is one YAML document")
	}
	for _, key := range []string{"clusters", "contexts", "users"} {
		list := get(doc.root, key)
		if list == nil || list.Tag == "!!null" {
			continue
		}
		if list.Kind != yaml.SequenceNode {
			return nil, doc.errorf(list, "%s is a list", key)
		}
		for _, item := range list.Content {
			if item.Kind != yaml.MappingNode {
				return nil, doc.errorf(item, "an entry of %s is a mapping with a name", key)
			}
		}
	}
	return doc, nil
}

func (d *document) errorf(at *yaml.Node, format string, args ...any) error {
	where := d.path
	if at != nil && at.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", d.path, at.Line, at.Column)
	}
	return &Error{Act: "read " + where, Err: fmt.Errorf(format, args...), cure: "correct the file, or set KUBECONFIG to another one"}
}

// encode renders the document in kubectl's layout.
func (d *document) encode() ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	enc.CompactSeqIndent()
	if err := enc.Encode(d.root); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// add puts the entry under name and makes it current.
func (d *document) add(name string, e *entry) error {
	former, created := d.current(), d.isNew
	if old := d.find("contexts", name); old != nil {
		// Ours from before, left by a crash: it knows the true former context.
		was, madeFile := formerOf(old)
		created = madeFile
		if former == name {
			former = was
		}
	}
	context := mapping("cluster", scalar(name), "extensions", formerNode(former, created), "user", scalar(name))
	if e.namespace != "" {
		set(context, "namespace", scalar(e.namespace))
	}
	d.put("clusters", name, "cluster", e.cluster)
	d.put("contexts", name, "context", context)
	d.put("users", name, "user", e.user)
	set(d.root, "current-context", scalar(name))
	d.dirty = true
	return nil
}

// remove takes all entries of that name away. Known is the set of contexts in
// all files: a former context that is gone is not brought back.
func (d *document) remove(name string, known map[string]bool) (restored string) {
	ours := d.find("contexts", name)
	former, created := formerOf(ours)
	for _, section := range []string{"clusters", "contexts", "users"} {
		d.drop(section, name)
	}
	if former == name || former != "" && !known[former] {
		former = ""
	}
	if d.current() == name {
		set(d.root, "current-context", scalar(former))
		restored = former
		d.dirty = true
	}
	for _, other := range d.items("contexts") {
		// A cluster that came up after this one must not bring it back.
		if was, madeFile := formerOf(other); was == name {
			if c := get(other, "context"); c != nil {
				set(c, "extensions", formerNode(former, madeFile || created))
				d.dirty = true
			}
		}
	}
	d.spent = created && len(d.items("clusters"))+len(d.items("contexts"))+len(d.items("users")) == 0
	return restored
}

// formerNode is the extensions list that remembers a context. Created says that
// the file did not exist before ours.
func formerNode(former string, created bool) *yaml.Node {
	ext := mapping("context", scalar(former))
	if created {
		set(ext, "createdFile", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	}
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{
		mapping("extension", ext, "name", scalar(formerExtension)),
	}}
}

func formerOf(item *yaml.Node) (former string, created bool) {
	list := get(get(item, "context"), "extensions")
	if list == nil {
		return "", false
	}
	for _, e := range list.Content {
		if value(get(e, "name")) == formerExtension {
			ext := get(e, "extension")
			return value(get(ext, "context")), value(get(ext, "createdFile")) == "true"
		}
	}
	return "", false
}

func (d *document) current() string { return value(get(d.root, "current-context")) }

// items are the entries of clusters, contexts or users.
func (d *document) items(section string) []*yaml.Node {
	list := get(d.root, section)
	if list == nil {
		return nil
	}
	return list.Content
}

func (d *document) names(section string) []string {
	var names []string
	for _, item := range d.items(section) {
		names = append(names, value(get(item, "name")))
	}
	return names
}

func (d *document) first(section string) *yaml.Node {
	if items := d.items(section); len(items) > 0 {
		return items[0]
	}
	return nil
}

func (d *document) find(section, name string) *yaml.Node {
	for _, item := range d.items(section) {
		if value(get(item, "name")) == name {
			return item
		}
	}
	return nil
}

func (d *document) put(section, name, key string, content *yaml.Node) {
	if item := d.find(section, name); item != nil {
		set(item, key, content)
		return
	}
	list := get(d.root, section)
	if list == nil || list.Kind != yaml.SequenceNode {
		list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		set(d.root, section, list)
	}
	list.Style &^= yaml.FlowStyle // [] would put the certificates on one line
	list.Content = append(list.Content, mapping(key, content, "name", scalar(name)))
}

func (d *document) drop(section, name string) {
	list := get(d.root, section)
	if list == nil {
		return
	}
	var kept []*yaml.Node
	for _, item := range list.Content {
		if value(get(item, "name")) != name {
			kept = append(kept, item)
		}
	}
	d.dirty = d.dirty || len(kept) != len(list.Content)
	list.Content = kept
}

// get is the value of a mapping's key; nil where there is none.
func get(m *yaml.Node, key string) *yaml.Node {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

func set(m *yaml.Node, key string, v *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content[i+1] = v
			return
		}
	}
	m.Content = append(m.Content, scalar(key), v)
}

func value(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

func scalar(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

// mapping makes a mapping from keys (string) and values (*yaml.Node) in turn.
func mapping(pairs ...any) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for i := 0; i < len(pairs); i += 2 {
		m.Content = append(m.Content, scalar(pairs[i].(string)), pairs[i+1].(*yaml.Node))
	}
	return m
}
