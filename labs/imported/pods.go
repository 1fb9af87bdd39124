package imported

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs/page"
)

var generatedEnd = regexp.MustCompile(`(?:-[a-z0-9]{6,10})?-[a-z0-9]{5}$`)

// pods finds the labels of the pods that dial, and deploys those that no page shows.
func (b *builder) pods() {
	var seen []observation
	for _, o := range b.seen {
		if o.get != "" {
			seen = append(seen, o)
			continue
		}
		labels, shown := b.labels(o.from), true
		name := o.from.target[strings.LastIndex(o.from.target, "/")+1:]
		if labels == nil {
			if end := name[strings.LastIndex(name, "-")+1:]; page.Generated(end) {
				name = generatedEnd.ReplaceAllString(name, "")
			}
			labels, shown = map[string]string{"app": name}, false
		}
		if len(labels) == 0 {
			b.at = o.at
			b.leave("%q: pod %s has no labels, by which labs find their pods", o.claim.Says, o.from.target)
			continue
		}
		o.from.labels = selector(labels)
		if !b.deployed(o.from.namespace, labels) {
			b.deploy(o, name, labels, shown)
		}
		o.from.target = ""
		seen = append(seen, o)
	}
	b.seen = seen
}

func selector(labels map[string]string) string {
	var parts []string
	for _, k := range sortedKeys(labels) {
		parts = append(parts, k+"="+labels[k])
	}
	return strings.Join(parts, ",")
}

// podLabels are those of the pods that an object is, or makes; nil for others.
func podLabels(d document) map[string]string {
	if d.GetKind() == "Pod" {
		return d.GetLabels()
	}
	if t := template(d); t != nil {
		return stringsOf(mapAt(t, "metadata", "labels"))
	}
	return nil
}

// deployed says whether the lab has a pod with the labels.
func (b *builder) deployed(namespace string, labels map[string]string) bool {
	return slices.ContainsFunc(b.docs, func(d document) bool {
		if d.in() != namespace {
			return false
		}
		has := podLabels(d)
		for k, v := range labels {
			if has[k] != v {
				return false
			}
		}
		return true
	})
}

// curlImage is that of pods of which a page does not say what they run.
const curlImage = "docker.io/curlimages/curl:8.10.1"

// deploy adds a pod that dials and that no page shows.
func (b *builder) deploy(o observation, name string, labels map[string]string, shown bool) {
	b.at = o.at
	sleep := []string{"sleep", "infinity"}
	if o.from.image != "" {
		name = labels[sortedKeys(labels)[0]]
		b.add(o.from.namespace, name, podText(name, labels, o.from.image, "", sleep), "the page starts this pod for one command; the lab's has to last")
		return
	}
	if name == "" {
		name = labels[sortedKeys(labels)[0]]
	}
	todo := "no page shows this pod: give it its image, and its ports where it serves"
	if !shown {
		todo = "no page shows this pod: give it its labels and its image"
	}
	b.add(o.from.namespace, name, deployment(name, labels, 1, curlImage, "", sleep), todo)
}

// add keeps an object that the lab needs beside those of the pages.
func (b *builder) add(namespace, name, text, todo string) {
	n := len(b.docs)
	b.apply(name+".yaml", []byte(text), namespace)
	for i := n; i < len(b.docs); i++ {
		b.docs[i].todo = todo
	}
}

// dialled is the Service that an observation dials, or the name outside; "" for none.
func (b *builder) dialled(o observation) (service, outside string) {
	d, err := checks.ParseDestination(o.To)
	if err != nil { // ping's have no port
		d = checks.Destination{Host: strings.ToLower(o.To)}
	}
	if o.get != "" || d.IsIP() {
		return "", ""
	}
	name, rest, _ := strings.Cut(d.Host, ".")
	namespace, rest, _ := strings.Cut(rest, ".")
	switch {
	case namespace == "":
		return o.from.namespace + "/" + name, ""
	case rest == "svc", rest == "svc.cluster.local", rest == "" && b.hasNamespace(namespace):
		return namespace + "/" + name, ""
	}
	return "", d.Host
}

// servers tells of Services that are dialled and that no page shows.
func (b *builder) servers() {
	told := map[string]bool{"": true, "default/kubernetes": true, "kube-system/kube-dns": true}
	for _, o := range b.seen {
		service, _ := b.dialled(o)
		found := slices.ContainsFunc(b.docs, func(d document) bool { return d.GetKind() == "Service" && d.in()+"/"+d.GetName() == service })
		if !found && !told[service] {
			told[service] = true
			b.todo = append(b.todo, fmt.Sprintf("no page shows the Service %s, which %s dials: deploy it, and the pods behind it", service, o.podName()))
		}
	}
}

func (b *builder) hasNamespace(name string) bool {
	return name == b.namespace || slices.ContainsFunc(b.docs, func(d document) bool { return d.in() == name || d.GetKind() == "Namespace" && d.GetName() == name })
}
