package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/cluster"
	examine "github.com/netdojo/netdojo/cluster/doctor"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cluster/existing"
	images "github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cmd/netdojo/app/course"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/preflight"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
)

// catalogueName is the course that netdojo brings, in --course.
const catalogueName = "catalogue"

// coursePart are the labs of a course that --course names: a folder, a track of the
// catalogue, or the catalogue.
func coursePart(name string) ([]*labs.Lab, error) {
	if name == catalogueName {
		name = ""
	}
	own, all, err := course.Open("")
	if err != nil || name == "" {
		return all, err
	}
	if of, err := course.OfTrack(own, all, name); err == nil {
		return of, nil
	}
	_, all, err = course.Open(name)
	if err != nil && exit.Code(err) == exit.Usage {
		var tracks []string
		for _, t := range own.Tracks {
			tracks = append(tracks, t.ID)
		}
		var invalid *labs.InvalidError
		if !errors.As(err, &invalid) {
			return nil, exit.WithCure(err, "or name a track of the catalogue: %s; or %s for all", strings.Join(tracks, ", "), catalogueName)
		}
	}
	return all, err
}

// needs are what the labs of a course need of a machine and of its cluster.
type needs struct {
	images   map[string][]string // the labs that have an image
	features map[string][]string // the labs that need a feature of the datapath
	metadata []string            // the labs that ask the metadata service
	ipv6     []string            // the labs that need IPv6 beside IPv4
	nodes    []string            // the labs that need two nodes
	largest  examine.Demand
}

func needsOf(all []*labs.Lab) (needs, error) {
	n := needs{images: map[string][]string{}, features: map[string][]string{}}
	for _, l := range all {
		for _, f := range l.Needs {
			if cluster.Having(f) == "" {
				n.features[f] = append(n.features[f], l.ID)
			}
		}
		if l.NeedsIPv6() {
			n.ipv6 = append(n.ipv6, l.ID)
		}
		if l.NeedsNodes() {
			n.nodes = append(n.nodes, l.ID)
		}
		if l.AsksMetadata() {
			n.metadata = append(n.metadata, l.ID)
		}
		pods := 0
		for _, name := range l.Workloads {
			text, err := fs.ReadFile(l.FS, name)
			if err != nil {
				return n, fmt.Errorf("read %s of lab %s: %w", name, l.ID, err)
			}
			objects, err := object.Parse(name, text)
			if err != nil {
				return n, fmt.Errorf("read %s of lab %s: %w", name, l.ID, err)
			}
			for _, o := range objects {
				pods += podsOf(o.Unstructured)
				for _, image := range imagesIn(o.Object) {
					if !slices.Contains(n.images[image], l.ID) {
						n.images[image] = append(n.images[image], l.ID)
					}
				}
			}
		}
		if pods >= n.largest.Pods {
			n.largest = examine.Demand{Lab: l.ID, Pods: pods}
		}
	}
	return n, nil
}

// podsOf is how many pods an object makes, on one node.
func podsOf(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Pod", "DaemonSet", "Job":
		return 1
	case "Deployment", "ReplicaSet", "StatefulSet":
		if n, found, err := unstructured.NestedInt64(o.Object, "spec", "replicas"); found && err == nil {
			return int(n)
		}
		return 1
	}
	return 0
}

// imagesIn are those of the containers anywhere in an object.
func imagesIn(v any) []string {
	var found []string
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if list, ok := v[key].([]any); ok && (key == "containers" || key == "initContainers") {
				for _, c := range list {
					if c, ok := c.(map[string]any); ok {
						if image, ok := c["image"].(string); ok {
							found = append(found, image)
						}
					}
				}
				continue
			}
			found = append(found, imagesIn(v[key])...)
		}
	case []any:
		for _, below := range v {
			found = append(found, imagesIn(below)...)
		}
	}
	return found
}

// forCourse examines what a course needs beside what a cluster does.
func forCourse(ctx context.Context, o *Options, all []*labs.Lab) ([]examine.Result, error) {
	n, err := needsOf(all)
	if err != nil {
		return nil, err
	}
	if o.Spec.Provider != embedded.Name {
		return n.elsewhere(o.Spec.Provider), nil
	}
	results := append([]examine.Result{n.inStore(stored(ctx, o), missingHere)}, n.ofKernel(kernelIPv6)...)
	return append(results, examine.Room(ctx, preflight.Config(o.Env, o.Spec), n.largest)...), nil
}

// stored are the full names of the images in the local store; none where it cannot be
// read, of which another requirement tells.
func stored(ctx context.Context, o *Options) map[string]bool {
	have := map[string]bool{}
	p, err := o.Env.Provider(o.Spec.Provider)
	if err != nil {
		return have
	}
	s, ok := p.(interface {
		Images(ctx context.Context) ([]images.Info, error)
	})
	if !ok {
		return have
	}
	all, err := s.Images(ctx)
	if err != nil {
		return have
	}
	for _, i := range all {
		if i.StandIn != "" {
			continue
		}
		for _, tag := range i.Tags {
			have[tag] = true
		}
	}
	return have
}

// missingHere are the packages whose programs a stand-in needs and this machine lacks.
func missingHere(s *images.StandIn) []string {
	var all []string
	for _, t := range s.Missing("/") {
		all = append(all, t.Package)
	}
	return all
}

// inStore says whether each image of the labs is in the local store or has a stand-in that
// this machine can run.
func (n needs) inStore(have map[string]bool, missing func(*images.StandIn) []string) examine.Result {
	r := examine.Result{ID: "course-images", Requirement: "The images of the labs are here, or have stand-ins", State: examine.OK}
	var foreign, lacking []string
	for _, image := range slices.Sorted(maps.Keys(n.images)) {
		name, err := images.Normalize(image)
		if err == nil && have[name] {
			continue
		}
		standIn, err := images.StandInFor(image)
		if err != nil || standIn == nil {
			foreign = append(foreign, fmt.Sprintf("%s (lab %s)", image, strings.Join(n.images[image], ", ")))
			continue
		}
		for _, pkg := range missing(standIn) {
			if !slices.Contains(lacking, pkg) {
				lacking = append(lacking, pkg)
			}
		}
	}
	switch {
	case len(lacking) > 0:
		r.State = examine.Failed
		r.Cause = "stand-ins need programs that this machine lacks"
		r.Cure = "install the packages " + strings.Join(lacking, ", ")
	case len(foreign) > 0:
		r.State = examine.Warning
		r.Cause = "a registry has to be asked for " + strings.Join(foreign, "; ")
		r.Cure = "load them before the day: docker save IMAGE | netdojo image load -"
	}
	return r
}

// kernelIPv6 is there where the kernel has IPv6.
const kernelIPv6 = "/proc/sys/net/ipv6"

// ofKernel says whether an embedded cluster can have IPv6, where labs need it.
func (n needs) ofKernel(sign string) []examine.Result {
	if len(n.ipv6) == 0 {
		return nil
	}
	r := examine.Result{ID: courseIPv6, Requirement: "A cluster can have IPv6 beside IPv4", State: examine.OK}
	if _, err := os.Stat(sign); err != nil {
		r.State = examine.Warning
		r.Cause = "the kernel has no IPv6, which is needed by lab " + strings.Join(n.ipv6, ", ")
		r.Cure = "boot without ipv6.disable=1, and load the module ipv6"
	}
	return []examine.Result{r}
}

// IDs of findings.
const (
	courseIPv6  = "course-ipv6"
	courseNodes = "course-nodes"
)

// elsewhere are the findings on a cluster whose nodes pull images and are not on the way
// of the simulated world.
func (n needs) elsewhere(provider string) []examine.Result {
	pulled := examine.Result{ID: "course-images", Requirement: "The images of the labs are here, or have stand-ins", State: examine.OK}
	if len(n.images) > 0 {
		pulled.State = examine.Warning
		pulled.Cause = "the nodes of a cluster of provider " + provider + " pull them: " + strings.Join(slices.Sorted(maps.Keys(n.images)), ", ")
		pulled.Cure = "run a lab once on the network of the room; an embedded cluster has stand-ins and pulls none of these"
	}
	service := examine.Result{ID: "course-metadata", Requirement: "The metadata service can be asked", State: examine.OK}
	if len(n.metadata) > 0 {
		service.State = examine.Warning
		service.Cause = labs.MetadataAddress + " is served in embedded clusters alone; it is in lab " + strings.Join(n.metadata, ", ")
		service.Cure = "take these labs on an embedded cluster"
	}
	results := []examine.Result{pulled, service}
	if len(n.ipv6) > 0 {
		six := examine.Result{
			ID: courseIPv6, Requirement: "A cluster can have IPv6 beside IPv4", State: examine.Warning,
			Cause: "clusters of provider " + provider + " have IPv4 alone; IPv6 is needed by lab " + strings.Join(n.ipv6, ", "),
			Cure:  "take these labs on an embedded cluster: netdojo up --ip-family dual",
		}
		if provider == existing.Name {
			six.State, six.Cause = examine.Unknown, "whether pods have IPv6 is found out when one is run: lab "+strings.Join(n.ipv6, ", ")
		}
		results = append(results, six)
	}
	if len(n.nodes) > 0 && provider == existing.Name {
		results = append(results, examine.Result{
			ID: courseNodes, Requirement: "The cluster has two nodes", State: examine.Unknown,
			Cause: "how many nodes there are is found out when one is run: lab " + strings.Join(n.nodes, ", "),
			Cure:  "take these labs on a cluster of netdojo's: netdojo up --nodes 2",
		})
	}
	if len(n.features) == 0 {
		return results
	}
	var lines []string
	for _, f := range slices.Sorted(maps.Keys(n.features)) {
		lines = append(lines, fmt.Sprintf("%s (lab %s)", f, strings.Join(n.features[f], ", ")))
	}
	judged := examine.Result{ID: "course-datapath", Requirement: "The datapath judges what the labs need: " + strings.Join(lines, "; "), State: examine.OK}
	if provider == existing.Name {
		judged.State = examine.Unknown
		judged.Cause = "each lab finds out when it is run"
		judged.Cure = "try them on the cluster before the day: netdojo run LAB --provider existing"
	}
	return append(results, judged)
}
