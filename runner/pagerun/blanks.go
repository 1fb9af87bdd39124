package pagerun

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/manifests"
)

// candidate is an object that may be meant by a blank.
type candidate struct {
	name, address string
	owner         string // the UID of what made it; "" for none
	labels        map[string]string
}

// blankKinds are the objects that blanks want.
var blankKinds = map[page.BlankOf]schema.GroupVersionKind{
	page.BlankPod:        podGVK,
	page.BlankService:    {Version: "v1", Kind: "Service"},
	page.BlankNode:       {Version: "v1", Kind: "Node"},
	page.BlankNamespace:  {Version: "v1", Kind: "Namespace"},
	page.BlankDeployment: {Group: "apps", Version: "v1", Kind: "Deployment"},
}

// blankValue is what may be put for a blank: a name of Kubernetes' or an address. It is
// typed into a shell.
var blankValue = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9.:-]*[A-Za-z0-9])?$`)

// fill puts what is meant for a command's blanks: what the caller says, else the one
// object that it can be. It tells what it put, or why not all are filled in.
func (r *reader) fill(ctx context.Context, c page.Command) (filled page.Command, told, why string) {
	var notes []string
	for _, b := range c.Blanks {
		key := page.BlankKey(b.Text)
		value, because := r.t.Fill[key], "as --fill says"
		if value == "" {
			value, because, why = r.meant(ctx, b, c)
		}
		if value == "" {
			cure := fmt.Sprintf("say it by --fill %s=VALUE", key)
			return c, "", fmt.Sprintf("%s is to be filled in: %s; %s", b, why, cure)
		}
		r.filled[key] = value
		c.Fill(b.Text, value)
		notes = append(notes, fmt.Sprintf("%s is %s here, %s", b.Text, value, because))
	}
	return c, strings.Join(notes, "; "), ""
}

// ofNamespace is the namespace that a command names.
var ofNamespace = regexp.MustCompile(`\s(?:-n|--namespace)[= ]?([a-z0-9-]+)`)

// meant is the value of the object that a blank can be, and why it is that one, or why
// none is known.
func (r *reader) meant(ctx context.Context, b page.Blank, c page.Command) (value, because, why string) {
	gvk, ok := blankKinds[b.Of]
	if !ok {
		return "", "", "nothing on the cluster is called so"
	}
	namespace := ""
	if b.Of != page.BlankNode && b.Of != page.BlankNamespace {
		namespace = r.namespace
		if m := ofNamespace.FindStringSubmatch(c.Text); m != nil {
			namespace = m[1]
		}
	}
	objects, err := r.objects.List(ctx, gvk, namespace, "")
	if err != nil {
		return "", "", "the cluster does not tell what there is"
	}
	chosen, because, why := choose(b, r.candidates(b, objects), r.listed(b.Of), r.filled[page.BlankKey(b.Text)])
	if why != "" {
		return "", "", why
	}
	value = chosen.name
	if b.Address {
		value = chosen.address
	}
	if !blankValue.MatchString(value) {
		return "", "", fmt.Sprintf("%s %s has no address", b.Of, chosen.name)
	}
	return value, because, ""
}

// candidates are the objects that may be meant.
func (r *reader) candidates(b page.Blank, objects []unstructured.Unstructured) []candidate {
	var all []candidate
	for i := range objects {
		u := &objects[i]
		c := candidate{name: u.GetName(), labels: u.GetLabels()}
		if owners := u.GetOwnerReferences(); len(owners) > 0 {
			c.owner = string(owners[0].UID)
		}
		switch b.Of {
		case page.BlankPod:
			if ready, _ := manifests.Ready(u); !ready || u.GetDeletionTimestamp() != nil {
				continue
			}
			c.address, _, _ = unstructured.NestedString(u.Object, "status", "podIP")
		case page.BlankService:
			if u.GetNamespace() == "default" && u.GetName() == "kubernetes" {
				continue
			}
			if c.address, _, _ = unstructured.NestedString(u.Object, "spec", "clusterIP"); c.address == "None" {
				c.address = "" // it is headless
			}
		case page.BlankNode:
			c.address = nodeAddress(u)
		case page.BlankNamespace:
			if !slices.ContainsFunc(r.made, func(ref manifests.Ref) bool { return ref.GVK.Kind == "Namespace" && ref.Name == u.GetName() }) {
				continue
			}
		}
		all = append(all, c)
	}
	return all
}

func nodeAddress(u *unstructured.Unstructured) string {
	addresses, _, _ := unstructured.NestedSlice(u.Object, "status", "addresses")
	for _, a := range addresses {
		if m, ok := a.(map[string]any); ok && m["type"] == "InternalIP" {
			text, _ := m["address"].(string)
			return text
		}
	}
	return ""
}

// listing is a command that lists objects of a kind.
var listing = map[page.BlankOf]*regexp.Regexp{
	page.BlankPod:        regexp.MustCompile(`\bget\s(?:.*[\s,])?(?:po|pods?)\b`),
	page.BlankService:    regexp.MustCompile(`\bget\s(?:.*[\s,])?(?:svc|services?)\b`),
	page.BlankNode:       regexp.MustCompile(`\bget\s(?:.*[\s,])?(?:no|nodes?)\b`),
	page.BlankNamespace:  regexp.MustCompile(`\bget\s(?:.*[\s,])?(?:ns|namespaces?)\b`),
	page.BlankDeployment: regexp.MustCompile(`\bget\s(?:.*[\s,])?(?:deploy|deployments?)\b`),
}

// list is what the page's last listing of a kind showed, and its line.
type list struct {
	shown string
	line  int
}

func (r *reader) listed(of page.BlankOf) list {
	for i := len(r.record.Commands) - 1; i >= 0; i-- {
		if c := r.record.Commands[i]; listing[of].MatchString(c.Text) && r.shown[c.Number] != "" {
			return list{r.shown[c.Number], c.Line}
		}
	}
	return list{}
}

// choose finds the one candidate that a blank can be: by its own words, by the last that
// the page listed, or as one of several that are the same. Before is what it was when
// it came before.
func choose(b page.Blank, all []candidate, last list, before string) (chosen candidate, because, why string) {
	if len(all) == 0 {
		return chosen, "", fmt.Sprintf("there is no %s", b.Of)
	}
	because = fmt.Sprintf("the only %s", b.Of)
	if narrowed := hinted(b.Hints, all); len(b.Hints) > 0 {
		if len(narrowed) == 0 {
			return chosen, "", fmt.Sprintf("no %s has %s in its name or labels", b.Of, strings.Join(b.Hints, " and "))
		}
		all, because = narrowed, fmt.Sprintf("the only %s with %s in its name or labels", b.Of, strings.Join(b.Hints, " and "))
	}
	if i := slices.IndexFunc(all, func(c candidate) bool { return before != "" && (c.name == before || c.address == before) }); i >= 0 {
		return all[i], "as before", ""
	}
	if len(all) > 1 {
		shown := slices.DeleteFunc(slices.Clone(all), func(c candidate) bool { return !slices.Contains(strings.Fields(last.shown), c.name) })
		if len(shown) > 0 {
			all, because = shown, fmt.Sprintf("the only %s that is listed on line %d", b.Of, last.line)
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return strings.Compare(a.name, b.name) })
	first := all[0]
	if len(all) == 1 {
		return first, because, ""
	}
	if first.owner != "" && !slices.ContainsFunc(all, func(c candidate) bool { return c.owner != first.owner }) {
		return first, fmt.Sprintf("one of %d that are the same", len(all)), ""
	}
	var names []string
	for _, c := range all[:min(len(all), 5)] {
		names = append(names, c.name)
	}
	return chosen, "", fmt.Sprintf("it can be %s", strings.Join(names, " or "))
}

// hinted are the candidates that have all of a blank's words in their names or labels.
func hinted(hints []string, all []candidate) []candidate {
	return slices.DeleteFunc(slices.Clone(all), func(c candidate) bool {
		words := []string{c.name}
		for _, v := range c.labels {
			words = append(words, v)
		}
		return slices.ContainsFunc(hints, func(h string) bool {
			return !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(w), h) })
		})
	})
}
