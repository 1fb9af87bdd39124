package kind

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/builtin"
)

// toolsDir is the nodes' folder with Cilium's own tools, which the cilium pods see at
// the same path.
const toolsDir = "/opt/netdojo/bin"

// nodeDirs are the nodes' folders that the cilium pods see beside it: a shell and what
// else people pipe the tools' output to.
var nodeDirs = map[string]string{"usr": "/usr", "bin": "/bin", "lib": "/lib", "lib64": "/lib64"}

// bringTools brings the cilium pods, whose tools ask their node's agent. It is work for
// the time in which the cluster is waited for, and nothing waits for the pods. The
// program is copied into the nodes: an image with it would take seconds to load. Real
// Cilium has the tools in its agents.
func (pl *plan) bringTools(ctx context.Context, h *handle) error {
	if pl.Datapath != cluster.DatapathNetdojo || pl.cilium == "" {
		return nil
	}
	fail := func(err error) error { return fmt.Errorf("bring Cilium's tools: %w", err) }
	agent, err := pl.agentImage()
	if err != nil {
		return fail(err)
	}
	nodes, err := pl.engine.Kind(log.NoopLogger{}).ListInternalNodes(pl.Name)
	if err != nil {
		return fail(err)
	}
	group, gctx := errgroup.WithContext(ctx)
	for _, node := range nodes {
		group.Go(func() error { return pl.copyTools(gctx, node.String()) })
	}
	if err := group.Wait(); err != nil {
		return fail(err)
	}
	objects, err := toolsObjects(agent.name)
	if err != nil {
		return fail(err)
	}
	client, err := manifests.New(h.REST)
	if err != nil {
		return fail(err)
	}
	for _, o := range objects {
		if _, err := client.Apply(ctx, manifests.Object{Unstructured: o}, metav1.NamespaceSystem); err != nil {
			return fail(err)
		}
	}
	return nil
}

// copyTools copies the program into a node, with the names that it is called by.
func (pl *plan) copyTools(ctx context.Context, node string) error {
	dir := strings.TrimPrefix(toolsDir, "/") + "/"
	files, err := image.Files(
		image.File{Path: dir + "netdojo-cilium", Source: pl.cilium, Mode: 0o755},
		image.File{Path: dir + "cilium-dbg", Link: "netdojo-cilium"},
		image.File{Path: dir + "cilium", Link: "netdojo-cilium"},
		image.File{Path: dir + "hubble", Link: "netdojo-cilium"},
	).Uncompressed()
	if err != nil {
		return err
	}
	_, err = pl.engine.Feed(ctx, files, "cp", "-", node+":/")
	return errors.Join(err, files.Close())
}

// toolsObjects are the embedded cluster's but for the relay, which would gather what
// the nodes tell; here each tells its own. Their pods run from the agent's image.
func toolsObjects(agentImage string) ([]*unstructured.Unstructured, error) {
	all, err := builtin.Cilium(builtin.CiliumSettings{})
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, o := range all {
		switch o.GetKind() {
		case "DaemonSet":
		case "Service", "Deployment":
			continue
		default:
			out = append(out, o)
			continue
		}
		pod := o.Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
		container := pod["containers"].([]any)[0].(map[string]any)
		container["image"], container["imagePullPolicy"] = agentImage, "Never"
		container["command"] = []any{"/netdojo-helper", "pause"}
		container["env"] = []any{
			map[string]any{"name": "PATH", "value": toolsDir + ":/usr/local/bin:/usr/bin:/bin"},
			map[string]any{"name": "HUBBLE_SERVER", "value": "unix:///var/run/cilium/hubble.sock"},
		}
		mounts, volumes := container["volumeMounts"].([]any), pod["volumes"].([]any)
		add := func(name, dir string) {
			mounts = append(mounts, map[string]any{"name": name, "mountPath": dir, "readOnly": true})
			volumes = append(volumes, map[string]any{"name": name, "hostPath": map[string]any{"path": dir}})
		}
		add("tools", toolsDir)
		for name, dir := range nodeDirs {
			add(name, dir)
		}
		container["volumeMounts"], pod["volumes"] = mounts, volumes
		out = append(out, o)
	}
	return out, nil
}
