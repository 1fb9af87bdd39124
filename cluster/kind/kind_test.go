package kind

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/containers"
	"github.com/netdojo/netdojo/cluster/inside"
	"github.com/netdojo/netdojo/cluster/records"
	"github.com/netdojo/netdojo/manifests/builtin"
	"github.com/netdojo/netdojo/manifests/object"
)

func TestConfigure(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "kind.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const own = `
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
name: another
networking: {disableDefaultCNI: false, kubeProxyMode: iptables, apiServerPort: 7000}
featureGates: {SomeGate: true}
nodes:
- role: control-plane
  extraPortMappings: [{containerPort: 30080, hostPort: 8080}]
- role: worker
  labels: {zone: a}
`
	for name, tc := range map[string]struct {
		spec    cluster.Spec
		roles   []v1alpha4.NodeRole
		port    int32
		refused string
	}{
		"the default":     {cluster.Spec{}, []v1alpha4.NodeRole{"control-plane"}, 0, ""},
		"three nodes":     {cluster.Spec{Nodes: 3, APIPort: 6001}, []v1alpha4.NodeRole{"control-plane", "worker", "worker"}, 6001, ""},
		"the user's":      {cluster.Spec{KindConfig: file(own)}, []v1alpha4.NodeRole{"control-plane", "worker"}, 7000, ""},
		"both agree":      {cluster.Spec{KindConfig: file(own), Nodes: 2, APIPort: 6001}, []v1alpha4.NodeRole{"control-plane", "worker"}, 6001, ""},
		"both differ":     {cluster.Spec{KindConfig: file(own), Nodes: 3}, nil, 0, "2 nodes and --nodes says 3"},
		"no file":         {cluster.Spec{KindConfig: "/nowhere.yaml"}, nil, 0, "no such file"},
		"an unknown word": {cluster.Spec{KindConfig: file("nodez: []")}, nil, 0, "nodez"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.spec.Name = "mine"
			c, err := configure(t.Context(), tc.spec)
			if tc.refused != "" {
				var p *cluster.Problem
				if !errors.As(err, &p) || p.Cure() == "" || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("got %v, want a problem with %q", err, tc.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var roles []v1alpha4.NodeRole
			for _, n := range c.Nodes {
				roles = append(roles, n.Role)
			}
			if !slices.Equal(roles, tc.roles) || c.Networking.APIServerPort != tc.port {
				t.Errorf("nodes %v, port %d", roles, c.Networking.APIServerPort)
			}
			if c.Name != "mine" || !c.Networking.DisableDefaultCNI || c.Networking.KubeProxyMode != "none" || c.Networking.PodSubnet != podCIDR {
				t.Errorf("what netdojo needs is not so: %+v", c)
			}
			if tc.spec.KindConfig != "" && (!c.FeatureGates["SomeGate"] || len(c.Nodes[0].ExtraPortMappings) != 1 || c.Nodes[1].Labels["zone"] != "a") {
				t.Errorf("the user's own is lost: %+v", c)
			}
		})
	}
}

func TestKindLog(t *testing.T) {
	var said []string
	log := kindLog{func(s string) { said = append(said, s) }}
	log.V(0).Infof(" • %s  ...\n", "Preparing nodes 📦 📦")
	log.V(0).Infof(" ✓ %s\n", "Preparing nodes 📦 📦")
	log.V(1).Info(" • Hidden ...")
	log.V(0).Info("Have a nice day! 👋")
	if !slices.Equal(said, []string{"kind: preparing nodes"}) {
		t.Errorf("said %q", said)
	}
}

func TestAgentObjects(t *testing.T) {
	for _, o := range []agentObjects{
		{Image: "docker.io/netdojo/agent:1", ServiceCIDR: serviceCIDR, APIHost: "x-control-plane", APIPort: "6443", ControlPort: inside.ControlPort, FlowPort: inside.FlowPort},
		{Image: "docker.io/netdojo/agent:1", ServiceCIDR: serviceCIDR, ClusterCIDR: podCIDR, World: "172.18.0.4", APIHost: "x-control-plane", APIPort: "6443", ControlPort: inside.ControlPort, FlowPort: inside.FlowPort},
	} {
		text, err := renderAgent(o)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := object.Parse("agent.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		var kinds []string
		for _, obj := range objects {
			kinds = append(kinds, obj.GetKind())
		}
		if !slices.Equal(kinds, []string{"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "DaemonSet"}) {
			t.Errorf("objects are %v", kinds)
		}
		for _, want := range []string{"-cluster-cidr=" + o.ClusterCIDR + "\n", "-world=" + o.World + "\n", "-control=127.0.0.1:4246", "value: x-control-plane", `value: "6443"`} {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
}

// TestToolsObjects: the cilium pods run the agent's image, and whatever they mount is
// there.
func TestToolsObjects(t *testing.T) {
	objects, err := toolsObjects("docker.io/netdojo/agent:1")
	if err != nil || len(objects) != 3 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	var set appsv1.DaemonSet
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(objects[0].Object, &set, true); err != nil {
		t.Fatal(err)
	}
	pod := set.Spec.Template.Spec
	c := pod.Containers[0]
	if c.Name != "cilium-agent" || c.Image != "docker.io/netdojo/agent:1" || c.ImagePullPolicy != "Never" || len(c.Env) != 2 {
		t.Errorf("container %+v", c)
	}
	from := map[string]string{}
	for _, v := range pod.Volumes {
		from[v.Name] = v.HostPath.Path
	}
	seen := map[string]string{}
	for _, m := range c.VolumeMounts {
		seen[m.MountPath] = from[m.Name]
	}
	if seen[toolsDir] != toolsDir || seen["/usr"] != "/usr" || seen["/var/run/cilium"] != builtin.CiliumDir {
		t.Errorf("the pod sees %v", seen)
	}
}

// TestWithoutClusters: asking about what is not there needs no engine.
func TestWithoutClusters(t *testing.T) {
	t.Setenv("PATH", "")
	p := New(Config{StateDir: t.TempDir()})
	ctx := context.Background()
	if names, err := p.List(ctx); err != nil || len(names) != 0 {
		t.Errorf("list: %v, %v", names, err)
	}
	if st, err := p.Status(ctx, "x"); err != nil || st.Running {
		t.Errorf("status: %+v, %v", st, err)
	}
	if _, err := p.Open(ctx, "x"); !errors.Is(err, cluster.ErrNotRunning) {
		t.Errorf("open: %v", err)
	}
	if err := p.Down(ctx, "x", true, nil); err != nil {
		t.Errorf("down: %v", err)
	}
	_, err := containers.Find(ctx)
	var problem *cluster.Problem
	if !errors.As(err, &problem) || problem.Cure() == "" {
		t.Errorf("no engine: %v", err)
	}
}

func TestRecord(t *testing.T) {
	p := New(Config{StateDir: t.TempDir()})
	r := record{Spec: cluster.Spec{Name: "two", Provider: Name, Nodes: 2}, Engine: "docker", Network: "kind"}
	if err := p.write(r); err != nil {
		t.Fatal(err)
	}
	if back, err := p.read("two"); err != nil || back.Nodes != 2 || back.Network != "kind" || back.Engine != "docker" {
		t.Errorf("read %+v, %v", back, err)
	}
	if spec, err := p.Spec("two"); err != nil || spec.Nodes != 2 {
		t.Errorf("spec %+v, %v", spec, err)
	}
	if names, err := p.List(context.Background()); err != nil || !slices.Equal(names, []string{"two"}) {
		t.Errorf("list: %v, %v", names, err)
	}
	if err := os.WriteFile(filepath.Join(p.dir("two"), records.FileName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	var problem *cluster.Problem
	if _, err := p.read("two"); !errors.As(err, &problem) || problem.Cure() == "" {
		t.Errorf("a damaged record: %v", err)
	}
}

func TestHolds(t *testing.T) {
	here := map[string]bool{"docker.io/library/aa:1": true, "docker.io/xx/bb:2": true}
	for _, tc := range []struct {
		images []string
		want   bool
	}{{[]string{"aa:1", "xx/bb:2"}, true}, {[]string{"aa:1", "cc:1"}, false}, {nil, false}} {
		if got := holds(here, tc.images); got != tc.want {
			t.Errorf("%v: %v", tc.images, got)
		}
	}
}
