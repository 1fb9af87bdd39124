// Package helm renders and installs a chart by Helm's own library. Only
// netdojo-helm links it.
package helm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/action"
	v2 "helm.sh/helm/v4/pkg/chart/v2"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/cli"
	"helm.sh/helm/v4/pkg/cli/values"
	"helm.sh/helm/v4/pkg/getter"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/registry"
	release "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/cluster/kind/chart"
)

// hookTimeout bounds the wait for a chart's hooks; the packed one has none.
const hookTimeout = 5 * time.Minute

// Serve answers the question that in holds. Packed is the archive of the chart
// that is taken when none is named; empty when the program was built without.
// The error is of reading and writing only: all else is in the answer.
func Serve(ctx context.Context, role string, packed []byte, in io.Reader, out io.Writer) error {
	var req chart.Request
	if err := json.NewDecoder(in).Decode(&req); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	answer, err := answer(ctx, role, packed, req)
	if err != nil {
		answer = chart.Answer{Error: &chart.Error{Message: err.Error()}}
		var known *chart.Error
		if errors.As(err, &known) {
			answer.Error.Fix = known.Fix
		}
	}
	if err := json.NewEncoder(out).Encode(answer); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

func answer(ctx context.Context, role string, packed []byte, req chart.Request) (chart.Answer, error) {
	var answer chart.Answer
	cfg := action.NewConfiguration()
	if role == chart.Install {
		flags := genericclioptions.NewConfigFlags(true)
		cache, err := os.MkdirTemp("", "netdojo-helm-")
		if err != nil {
			return answer, err
		}
		defer os.RemoveAll(cache)
		flags.KubeConfig, flags.Namespace, flags.CacheDir = &req.Kubeconfig, &req.Namespace, &cache
		if err := cfg.Init(flags, req.Namespace, ""); err != nil {
			return answer, fmt.Errorf("connect Helm to the cluster: %w", err)
		}
	}
	install := action.NewInstall(cfg)
	install.ReleaseName, install.Namespace = req.Release, req.Namespace
	// Who waits for pods has more to look at than Helm.
	install.WaitStrategy, install.Timeout = kube.HookOnlyStrategy, hookTimeout
	install.DisableOpenAPIValidation = true // the API server validates what is applied
	if role == chart.Render {
		install.DryRunStrategy = action.DryRunClient
		if req.KubeVersion != "" {
			version, err := common.ParseKubeVersion(req.KubeVersion)
			if err != nil {
				return answer, fmt.Errorf("read the version of Kubernetes: %w", err)
			}
			install.KubeVersion = version
		}
	}
	c, err := load(install, packed, req)
	if err != nil {
		return answer, err
	}
	vals, err := merge(req)
	if err != nil {
		return answer, err
	}
	done, err := install.RunWithContext(ctx, c, vals)
	if err != nil {
		return answer, fmt.Errorf("%s chart %s %s: %w", role, c.Metadata.Name, c.Metadata.Version, err)
	}
	r, ok := done.(*release.Release)
	if !ok {
		return answer, fmt.Errorf("helm made a release of an unknown form: %T", done)
	}
	answer.Version = c.Metadata.Version
	answer.Images, err = images(r.Manifest)
	return answer, err
}

// load finds the chart: the packed one, or what Helm makes of its name.
func load(install *action.Install, packed []byte, req chart.Request) (*v2.Chart, error) {
	var found any
	var err error
	if req.Chart == "" {
		if len(packed) == 0 {
			return nil, &chart.Error{Message: "this netdojo-helm was built without a chart", Fix: "build it with make build, or name a chart: --cilium-chart"}
		}
		found, err = loader.LoadArchive(bytes.NewReader(packed))
	} else {
		found, err = fetch(install, req)
	}
	if err != nil {
		return nil, &chart.Error{Message: "get the chart " + req.Chart + ": " + err.Error(), Fix: "give --cilium-chart a folder or a .tgz that is here, or a reference that can be reached"}
	}
	c, ok := found.(*v2.Chart)
	if !ok {
		return nil, &chart.Error{Message: fmt.Sprintf("the chart %s is of a form that is not known: %T", req.Chart, found), Fix: "use a chart of version 2"}
	}
	if req.Version != "" && strings.TrimPrefix(req.Version, "v") != strings.TrimPrefix(c.Metadata.Version, "v") {
		return nil, &chart.Error{
			Message: fmt.Sprintf("the chart is version %s, not %s", c.Metadata.Version, req.Version),
			Fix:     "name where that version is: --cilium-chart with a folder, a .tgz or an oci:// reference",
		}
	}
	return c, nil
}

func fetch(install *action.Install, req chart.Request) (any, error) {
	client, err := registry.NewClient()
	if err != nil {
		return nil, err
	}
	install.SetRegistryClient(client)
	install.Version = req.Version
	path, err := install.LocateChart(req.Chart, cli.New())
	if err != nil {
		return nil, err
	}
	return loader.Load(path)
}

// merge lays the files' values over ours.
func merge(req chart.Request) (map[string]any, error) {
	files := values.Options{ValueFiles: req.ValueFiles}
	theirs, err := files.MergeValues(getter.All(cli.New()))
	if err != nil {
		return nil, &chart.Error{Message: "read the values: " + err.Error(), Fix: "see --cilium-values: it names a YAML file of the chart's values"}
	}
	return util.CoalesceTables(theirs, req.Values), nil
}

// images are those of a manifest's workloads.
func images(manifest string) (map[string][]string, error) {
	found := map[string][]string{}
	for _, doc := range strings.Split(manifest, "\n---") {
		var o struct {
			Kind     string `json:"kind"`
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Spec struct {
				Template struct {
					Spec struct {
						InitContainers []container `json:"initContainers"`
						Containers     []container `json:"containers"`
					} `json:"spec"`
				} `json:"template"`
			} `json:"spec"`
		}
		// Other kinds have other forms of the same fields.
		if !strings.Contains(doc, "containers:") {
			continue
		}
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			return nil, fmt.Errorf("read what the chart makes: %w", err)
		}
		var of []string
		for _, c := range append(o.Spec.Template.Spec.InitContainers, o.Spec.Template.Spec.Containers...) {
			of = append(of, c.Image)
		}
		slices.Sort(of)
		found[o.Kind+"/"+o.Metadata.Name] = slices.Compact(of)
	}
	return found, nil
}

type container struct {
	Image string `json:"image"`
}
