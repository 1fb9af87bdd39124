package tui

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/doctor"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cluster/existing"
	"github.com/netdojo/netdojo/cmd/netdojo/app/preflight"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/tui/backend"
)

// examineWithin is how long a choice has to tell how it is.
const examineWithin = 10 * time.Second

// Examine implements backend.Chooser.
func (b *world) Examine(ctx context.Context, id string) backend.Findings {
	return bounded(ctx, examineWithin, "the doctor of "+title(id), func(ctx context.Context) backend.Findings { return b.examine(ctx, id) })
}

// bounded is what look finds within a time, and else that it found nothing: a look
// may hang where no context reaches it.
func bounded(ctx context.Context, limit time.Duration, what string, look func(context.Context) backend.Findings) backend.Findings {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found := make(chan backend.Findings, 1)
	go func() { found <- look(ctx) }()
	select {
	case f := <-found:
		if ctx.Err() == nil {
			return f
		}
	case <-ctx.Done():
	}
	return backend.Findings{Missing: []backend.Missing{{
		Cause: fmt.Sprintf("%s was not done within %s: what it asks does not answer", what, limit), Cure: "see that it answers, and look again; netdojo doctor waits for it",
	}}}
}

func (b *world) examine(ctx context.Context, id string) backend.Findings {
	spec := b.specOf(id)
	now, err := b.current(ctx)
	if err == nil && now.id == id && !now.running {
		if spec, err = b.spec(ctx); err != nil {
			return backend.Findings{Missing: []backend.Missing{{Cause: err.Error(), Cure: strings.Join(cure.All(err), "; "), Fatal: true}}}
		}
	}
	results, _ := preflight.Thorough(ctx, b.e, spec)
	f := backend.Findings{Missing: missing(results)}
	b.lacking(ctx, spec, now == standing{id, true}, results, &f)
	return f
}

// missing are the requirements that are not met, those first without which nothing
// comes up.
func missing(results []doctor.Result) []backend.Missing {
	var out []backend.Missing
	for _, state := range []doctor.State{doctor.Failed, doctor.Warning} {
		for _, r := range results {
			if r.State == state {
				out = append(out, backend.Missing{Cause: r.Cause, Cure: r.Cure, Fatal: state == doctor.Failed})
			}
		}
	}
	return out
}

// lacking adds which labs need what the datapath of spec does not enforce.
func (b *world) lacking(ctx context.Context, spec cluster.Spec, running bool, results []doctor.Result, f *backend.Findings) {
	if spec.Provider == embedded.Name && !running {
		return // it comes up as a lab needs it
	}
	all, err := labs.Catalogue()
	if err != nil {
		return // it is told where the labs are listed
	}
	needs := map[string][]string{}
	var features []string
	for _, lab := range all {
		needs[lab.ID] = featuresOf(lab)
		features = append(features, needs[lab.ID]...)
	}
	slices.Sort(features)
	features = slices.Compact(features)
	var lacks []cluster.Lack
	switch {
	case spec.Provider == existing.Name:
		lacks, err = existing.Lacks(ctx, spec, features)
	case running:
		lacks, err = b.runningLacks(ctx, features)
	case spec.Datapath == cluster.DatapathCilium:
		lacks = append(ciliumLacks(spec, results), kindLacks)
	default:
		lacks = []cluster.Lack{kindLacks}
	}
	if err != nil {
		return // why the cluster does not answer is among the findings
	}
	f.Refused = spec.Provider != existing.Name
	f.Cannot = cannot(needs, lacks)
}

// featuresOf are what a lab needs to be enforced: what it says, and the kinds of its
// solutions' policies.
func featuresOf(lab *labs.Lab) []string {
	features := slices.Clone(lab.Needs)
	for _, task := range lab.Tasks {
		for _, name := range task.Solution {
			text, err := fs.ReadFile(lab.FS, name)
			if err != nil {
				continue // lint tells of it
			}
			objects, err := object.Parse(name, text)
			if err != nil {
				continue
			}
			for _, o := range objects {
				if policies.Is(o.GroupVersionKind().GroupKind()) {
					features = append(features, o.GetKind())
				}
			}
		}
	}
	slices.Sort(features)
	return slices.Compact(features)
}

// cannot says of labs why they cannot be done where something is lacking.
func cannot(needs map[string][]string, lacks []cluster.Lack) map[string]string {
	out := map[string]string{}
	for lab, features := range needs {
		var whys []string
		for _, l := range lacks {
			switch {
			case !slices.Contains(features, l.Feature):
			case cluster.Having(l.Feature) != "": // another cluster has it, by another command
				whys = append(whys, cluster.Having(l.Feature)+": "+l.Why+"; "+l.Fix)
			default:
				whys = append(whys, l.Feature+": "+l.Why)
			}
		}
		if len(whys) > 0 {
			out[lab] = strings.Join(whys, "; ")
		}
	}
	return out
}

// runningLacks asks the cluster.
func (b *world) runningLacks(ctx context.Context, features []string) ([]cluster.Lack, error) {
	h, err := b.e.Open(ctx, b.name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if x, ok := h.(cluster.Examiner); ok {
		return x.Lacks(ctx, features)
	}
	return nil, nil
}

// kindLacks is what every kind cluster that netdojo makes will lack.
var kindLacks = cluster.NoIPv6("kind clusters have IPv4 alone")

// ciliumLacks is what clusters with real Cilium will lack: the node image that is
// built here has no Envoy, and one that the engine pulls gets it from the chart.
func ciliumLacks(spec cluster.Spec, results []doctor.Result) []cluster.Lack {
	ours := spec.NodeImage == "" && slices.ContainsFunc(results, func(r doctor.Result) bool { return r.ID == doctor.NodeImage && r.State == doctor.OK })
	if !ours {
		return nil
	}
	why := "the node image of make kind-cilium has no Envoy"
	return []cluster.Lack{{Feature: "http", Why: why}, {Feature: "tls", Why: why}}
}
