package inside

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/policies"
)

// Cilium's workloads, as its chart names them.
const (
	ciliumAgents    = "cilium"
	ciliumOperator  = "cilium-operator"
	ciliumEnvoy     = "cilium-envoy"
	ciliumRelay     = "hubble-relay"
	ciliumSettings  = "cilium-config"
	ciliumSelector  = "k8s-app=cilium"
	relaySelector   = "k8s-app=hubble-relay"
	ciliumContainer = "cilium-agent"
)

// cilium is real Cilium.
type cilium struct{ *Cluster }

func (d cilium) Enforcer() cluster.Datapath { return cluster.DatapathCilium }

func (d cilium) Waiting(ctx context.Context, nodes int) (string, error) {
	apps := d.Client.AppsV1()
	agents, err := apps.DaemonSets(metav1.NamespaceSystem).Get(ctx, ciliumAgents, metav1.GetOptions{})
	if err != nil {
		return "Cilium", fmt.Errorf("look at Cilium's agents: %w", err)
	}
	well, err := d.well(ctx, agents, nodes)
	if err != nil {
		return "Cilium's agents", err
	}
	if well < nodes {
		return fmt.Sprintf("Cilium's agents of %d of %d nodes", nodes-well, nodes), nil
	}
	operator, err := apps.Deployments(metav1.NamespaceSystem).Get(ctx, ciliumOperator, metav1.GetOptions{})
	if err != nil {
		return "Cilium's operator", fmt.Errorf("look at Cilium's operator: %w", err)
	}
	if operator.Status.ReadyReplicas < 1 {
		return "Cilium's operator", nil
	}
	envoys, err := apps.DaemonSets(metav1.NamespaceSystem).Get(ctx, ciliumEnvoy, metav1.GetOptions{})
	switch {
	case notFound(err):
	case err != nil:
		return "Envoy", fmt.Errorf("look at Envoy: %w", err)
	case !rolledOut(envoys, nodes):
		return fmt.Sprintf("Envoy on %d of %d nodes", nodes-int(envoys.Status.NumberReady), nodes), nil
	}
	return d.relayWaiting(ctx, nodes)
}

// well counts the agents that are well. The kubelet's probes say so up to seconds
// after it is so: those that it does not know of yet are asked themselves.
func (d cilium) well(ctx context.Context, agents *appsv1.DaemonSet, nodes int) (int, error) {
	if rolledOut(agents, nodes) {
		return nodes, nil
	}
	running, err := d.running(ctx, ciliumSelector)
	if err != nil || len(running) < nodes || agents.Status.ObservedGeneration < agents.Generation || int(agents.Status.UpdatedNumberScheduled) < nodes {
		return int(agents.Status.NumberReady), err
	}
	settings, err := d.settings(ctx)
	if err != nil {
		return 0, err
	}
	port, err := strconv.Atoi(settings["agent-health-port"])
	if err != nil {
		return int(agents.Status.NumberReady), nil //nolint:nilerr // the kubelet knows it in the end
	}
	well := 0
	for _, a := range running {
		if d.healthy(ctx, a.Name, port) {
			well++
		}
	}
	return well, nil
}

// healthy asks an agent what the kubelet's probes ask it.
func (d cilium) healthy(ctx context.Context, agent string, port int) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return d.dial(ctx, agent, port, port) },
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/healthz", nil)
	if err != nil {
		return false
	}
	req.Header.Set("brief", "true")
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}

// Lacks is for what is set in the cluster and runs there: HTTP rules without Envoy
// are valid, and let everything pass.
func (d cilium) Lacks(ctx context.Context, features []string) ([]cluster.Lack, error) {
	settings, err := d.settings(ctx)
	if err != nil {
		return nil, err
	}
	noEnvoy := func() (string, error) { return d.noEnvoy(ctx, settings) }
	lacks, features, err := d.oneNode(ctx, features)
	if err != nil {
		return nil, err
	}
	for _, f := range features {
		_, isPolicy := policies.Find(f)
		why, fix := "", "use --datapath netdojo, or a Cilium with l7Proxy and Envoy (envoy.enabled in --cilium-values)"
		switch {
		case f == policies.ClusterNetworkPolicy && settings["enable-k8s-cluster-network-policy"] != "true":
			why, fix = "Cilium serves no ClusterNetworkPolicy (enable-k8s-cluster-network-policy)", "set k8sClusterNetworkPolicy.enabled in --cilium-values"
		case isPolicy:
		case f == cluster.FeatureIPv6:
			if settings["enable-ipv6"] != "true" {
				lack := cluster.NoIPv6("Cilium gives pods IPv4 alone (enable-ipv6)")
				why, fix = lack.Why, lack.Fix
			}
		case !slices.Contains(proxied, f):
			why, fix = "netdojo does not know how to find out", "use --datapath netdojo"
		case settings["enable-l7-proxy"] != "true":
			why = "Cilium's proxy is switched off (enable-l7-proxy)"
		case f != "dns":
			if why, err = noEnvoy(); err != nil {
				return nil, err
			}
		}
		if why != "" {
			lacks = append(lacks, cluster.Lack{Feature: f, Why: why, Fix: fix})
		}
	}
	return lacks, nil
}

// proxied are the features that take a proxy, by the names that labs have for them.
var proxied = []string{"dns", "http", "tls"}

func (d cilium) settings(ctx context.Context) (map[string]string, error) {
	config, err := d.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, ciliumSettings, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Cilium's settings: %w", err)
	}
	return config.Data, nil
}

// noEnvoy says why Cilium has no Envoy; "" when it has: one in pods of its own,
// or one in the agent's.
func (d cilium) noEnvoy(ctx context.Context, settings map[string]string) (string, error) {
	if settings["external-envoy-proxy"] == "true" {
		envoys, err := d.Client.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, ciliumEnvoy, metav1.GetOptions{})
		switch {
		case notFound(err):
			return "Cilium expects an Envoy, and there is none", nil
		case err != nil:
			return "", fmt.Errorf("look at Envoy: %w", err)
		case !rolledOut(envoys, int(envoys.Status.DesiredNumberScheduled)):
			return fmt.Sprintf("Envoy runs on %d of %d nodes", envoys.Status.NumberReady, envoys.Status.DesiredNumberScheduled), nil
		}
		return "", nil
	}
	agents, err := d.agents(ctx)
	if err != nil {
		return "", err
	}
	for _, a := range agents {
		_, err := d.exec(ctx, a.Name, ciliumContainer, "cilium-envoy", "--version")
		if errors.Is(err, ctx.Err()) && ctx.Err() != nil {
			return "", err
		}
		if err != nil {
			return "no Envoy runs, and Cilium's agent has none in it", nil //nolint:nilerr // that is the answer
		}
	}
	return "", nil
}
