package pagerun

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/manifests"
)

// generated is a pod's name whose end Kubernetes made: of a ReplicaSet with two parts,
// of others with one.
var generated = regexp.MustCompile(`\b([a-z0-9][a-z0-9-]*?)(-[a-f0-9]{8,10})?-([a-z0-9]{5})\b`)

// hereNames puts, for the generated names of pods that a page shows and that are not on
// this cluster, those of the pods of the same owner, as a reader would. It says so.
func (r *reader) hereNames(ctx context.Context, text string) (here, told string) {
	if !strings.Contains(text, "kubectl") || !generated.MatchString(text) {
		return text, ""
	}
	pods, err := r.objects.List(ctx, podGVK, r.only, "")
	if err != nil {
		return text, ""
	}
	var names []string
	for i := range pods {
		if ready, _ := manifests.Ready(&pods[i]); ready {
			names = append(names, pods[i].GetName())
		}
	}
	return rename(text, names)
}

// rename does it, with the names of the pods that are here.
func rename(text string, names []string) (here, told string) {
	slices.Sort(names)
	var notes []string
	here = generated.ReplaceAllStringFunc(text, func(name string) string {
		m := generated.FindStringSubmatch(name)
		if slices.Contains(names, name) || !page.Generated(m[3]) {
			return name
		}
		for _, other := range names {
			o := generated.FindStringSubmatch(other)
			if o != nil && o[0] == other && o[1] == m[1] && (o[2] == "") == (m[2] == "") {
				notes = append(notes, fmt.Sprintf("%s is %s here", name, other))
				return other
			}
		}
		return name
	})
	return here, strings.Join(slices.Compact(notes), "; ")
}
