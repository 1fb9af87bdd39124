package grade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/cluster/containers"
	"github.com/netdojo/netdojo/cluster/existing"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/version"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/oncluster"
)

// Beyond says on which cluster submissions are judged in place of this machine.
type Beyond struct {
	Context    string // of the kubeconfig; "" is this machine
	Namespace  string // "" is the context's
	Image      string // of the workers; "" makes it, and loads it into a kind cluster
	Privileged bool
}

func (b *Beyond) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&b.Context, "on-cluster", "", "judge in pods of the cluster of this context, as an Indexed Job, in place of this machine")
	f.StringVar(&b.Namespace, "namespace", "", "with --on-cluster: the namespace of the Job (default: the context's)")
	f.StringVar(&b.Image, "worker-image", "", "with --on-cluster: the image of the workers, as its nodes pull it; netdojo grade worker-image makes it (default: made and loaded where the cluster is kind's on this machine, or netdojo's)")
	f.BoolVar(&b.Privileged, "privileged-workers", false, "with --on-cluster: pods that are root of their nodes, for clusters that give pods no users of their own")
}

func (b *Beyond) check(scripts bool) error {
	switch {
	case b.Context == "" && (b.Namespace != "" || b.Image != "" || b.Privileged):
		return exit.WithCure(exit.Usagef("--namespace, --worker-image and --privileged-workers are about a cluster, and none is named"), "name one of your kubeconfig's contexts: --on-cluster CONTEXT")
	case b.Context != "" && scripts:
		return exit.WithCure(exit.Usagef("--allow-scripts is given beside --on-cluster, whose workers run no scripts"), "grade what has scripts on this machine, without --on-cluster")
	}
	return nil
}

// elsewhere has the class judged on the cluster, once it has been asked whether it can.
func (b *Beyond) elsewhere(ctx context.Context, e *env.Env, lab *labs.Lab, results string, say func(string)) (grade.Elsewhere, error) {
	if err := standIns(e, lab); err != nil {
		return nil, err
	}
	target, err := existing.Find(ctx, b.Context)
	if err != nil {
		return nil, err
	}
	config, namespace, err := target.Client()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 50, 100
	config.WarningHandler = rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	if b.Namespace != "" {
		namespace = b.Namespace
	}
	run := &oncluster.Run{
		Client: client, Attach: oncluster.AttachBy(config, client), Log: e.Log,
		Plan: oncluster.Plan{Namespace: namespace, Name: "netdojo-" + grade.NameOf(results), Image: b.Image, Privileged: b.Privileged},
	}
	if run.Plan.Image == "" {
		say("making the workers' image")
		if run.Plan.Image, err = b.bringImage(ctx, e, client); err != nil {
			return nil, err
		}
	}
	say("asking the cluster whether workers can work there")
	if err := run.Examine(ctx, version.Get().Version); err != nil {
		return nil, err
	}
	return run.Judge, nil
}

// standIns refuses a lab whose images workers do not have: they ask no registry, and what
// lies in the image store of this machine they do not see.
func standIns(e *env.Env, lab *labs.Lab) error {
	refs, err := labs.Images([]*labs.Lab{lab})
	if err != nil {
		return err
	}
	store, err := image.Open(image.Options{Dir: image.StoreIn(e.StateDir)})
	if err != nil {
		return err
	}
	for _, ref := range refs {
		_, _, err := store.Image(ref)
		if err != nil && !errors.Is(err, image.ErrNotFound) {
			return err
		}
		own, serr := image.StandInFor(ref)
		if serr != nil {
			return serr
		}
		if err == nil || own == nil {
			return exit.WithCure(fmt.Errorf("workers on a cluster have built-in stand-ins alone, and the lab's image %s is another", ref),
				"grade this lab on this machine, without --on-cluster")
		}
	}
	return nil
}

// bringImage makes the workers' image and has the nodes of the cluster hold it.
func (b *Beyond) bringImage(ctx context.Context, e *env.Env, client kubernetes.Interface) (string, error) {
	name, img, err := workerImage(e)
	if err != nil {
		return "", err
	}
	images := map[string]v1.Image{name: img}
	if own, ok := strings.CutPrefix(b.Context, "netdojo-"); ok {
		if st, _, found, err := e.Status(ctx, own); err == nil && found && st.Provider == e.Kinds[0].Name {
			return name, loadIntoStore(ctx, e, images)
		}
	}
	cluster, engine, err := existing.KindCluster(ctx, client)
	if err != nil {
		return "", exit.WithCure(fmt.Errorf("the workers' image cannot be loaded into the nodes: they are no containers of this machine: %w", err),
			"netdojo grade worker-image FILE writes the image: push it to a registry that the nodes pull from, and name it with --worker-image")
	}
	nodes, err := engine.Kind(log.NoopLogger{}).ListInternalNodes(cluster)
	if err != nil {
		return "", fmt.Errorf("list the nodes of %s: %w", cluster, err)
	}
	return name, containers.Load(ctx, nodes, images)
}

func loadIntoStore(ctx context.Context, e *env.Env, images map[string]v1.Image) error {
	store, err := image.Open(image.Options{Dir: image.StoreIn(e.StateDir)})
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(image.Write(w, images)) }()
	_, err = store.Load(ctx, r)
	r.CloseWithError(err)
	return err
}
