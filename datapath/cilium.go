//go:build linux

package datapath

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"github.com/cilium/cilium/api/v1/models"
	"github.com/go-openapi/strfmt"
	"k8s.io/apimachinery/pkg/version"

	"github.com/netdojo/netdojo/datapath/ciliumapi"
	"github.com/netdojo/netdojo/datapath/ciliumapi/model"
	"github.com/netdojo/netdojo/datapath/metrics"
	"github.com/netdojo/netdojo/datapath/monitor"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// Names of the sockets in Config.CiliumDir, where cilium-dbg and hubble look for
// them (Cilium's pkg/defaults).
const (
	ciliumSocket  = "cilium.sock"
	monitorSocket = "monitor1_2.sock"
	shellSocket   = "shell.sock"
	hubbleSocket  = "hubble.sock"
)

// flowSockets are where the flow log is served.
func (c Config) flowSockets() []string {
	var out []string
	if c.FlowSocket != "" {
		out = append(out, c.FlowSocket)
	}
	if c.CiliumDir != "" {
		out = append(out, filepath.Join(c.CiliumDir, hubbleSocket))
	}
	return out
}

// runtimeConfig is what of an agent's settings Cilium's tools read from its state folder
// (agent-runtime-config.json, a DaemonConfig of Cilium's pkg/option).
type runtimeConfig struct {
	MonitorAggregation               string
	EnableICMPRules                  bool
	EnableHealthChecking             bool
	EnableEndpointHealthChecking     bool
	EncryptNode                      bool
	NodeEncryptionOptOutLabelsString string
	EnableK8sNetworkPolicy           bool
	EnableIPv4, EnableIPv6           bool
}

// makeCiliumDir makes the folder that Cilium's tools look in.
func (c Config) makeCiliumDir() error {
	if c.CiliumDir == "" {
		return nil
	}
	if err := os.MkdirAll(c.CiliumDir, 0o755); err != nil {
		return fmt.Errorf("make the folder of Cilium's sockets: %w", err)
	}
	text, err := json.MarshalIndent(runtimeConfig{
		MonitorAggregation: "medium", // a flow for a connection, not for each packet
		EnableICMPRules:    true, EnableK8sNetworkPolicy: true,
		EnableIPv4: true, EnableIPv6: c.Addresses.V6.Node.IsValid(),
	}, "", " ")
	if err != nil {
		return fmt.Errorf("write the agent's settings: %w", err)
	}
	state := filepath.Join(c.CiliumDir, "state")
	if err := os.MkdirAll(state, 0o755); err != nil {
		return fmt.Errorf("make the folder of the agent's settings: %w", err)
	}
	if err := os.WriteFile(filepath.Join(state, "agent-runtime-config.json"), text, 0o644); err != nil {
		return fmt.Errorf("write the agent's settings: %w", err)
	}
	return nil
}

// startCilium serves what cilium-dbg and Prometheus ask.
func (a *Agent) startCilium(ctx context.Context) (err error) {
	counts := metrics.Config{Address: a.cfg.MetricsAddress, Logger: a.log}
	if a.cfg.CiliumDir != "" {
		counts.Shell = filepath.Join(a.cfg.CiliumDir, shellSocket)
	}
	if a.counts, err = a.metrics.Serve(ctx, counts); err != nil || a.cfg.CiliumDir == "" {
		return err
	}
	if a.monitor, err = monitor.Start(ctx, monitor.Config{
		Socket: filepath.Join(a.cfg.CiliumDir, monitorSocket), Events: a.flows, Node: a.cfg.Addresses.V4.Node.String(), Logger: a.log,
	}); err != nil {
		return err
	}
	a.cilium, err = ciliumapi.Start(ctx, ciliumapi.Config{
		Socket: filepath.Join(a.cfg.CiliumDir, ciliumSocket), Engine: model.Engine{Policy: a.engine}, Version: a.ciliumVersion(),
		Status: a.ciliumStatus, Services: a.ciliumServices, Nodes: a.ciliumNodes, Logger: a.log,
	})
	return err
}

func (a *Agent) closeCilium() error {
	var errs []error
	if a.cilium != nil {
		errs = append(errs, a.cilium.Close())
	}
	if a.monitor != nil {
		errs = append(errs, a.monitor.Close())
	}
	if a.counts != nil {
		errs = append(errs, a.counts.Close())
	}
	return errors.Join(errs...)
}

// ciliumVersion has the parts that Cilium's tools take apart: version, revision,
// date, Go's version, system.
func (a *Agent) ciliumVersion() string {
	return fmt.Sprintf("%s netdojo - go version %s %s/%s", cmp.Or(a.cfg.Version, "unknown"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// apiAnswerTimeout bounds the question whether the API server is there.
const apiAnswerTimeout = 5 * time.Second

// ciliumStatus is what `cilium-dbg status` prints. What this datapath has no
// counterpart of is left out or Disabled; it says nothing of BPF.
func (a *Agent) ciliumStatus(ctx context.Context) *models.StatusResponse {
	ok, off := models.StatusStateOk, models.StatusStateDisabled
	stats := a.flows.Stats()
	s := &models.StatusResponse{
		Kvstore:    &models.Status{State: off},
		Kubernetes: a.kubernetesStatus(ctx),
		KubeProxyReplacement: &models.KubeProxyReplacement{
			Mode: models.KubeProxyReplacementModeTrue, Devices: []string{a.cfg.WorldIface}, DirectRoutingDevice: a.cfg.WorldIface,
			DeviceList: []*models.KubeProxyReplacementDeviceListItems0{{Name: a.cfg.WorldIface, IP: []string{a.cfg.Addresses.V4.Node.String()}}},
			Features:   kubeProxyFeatures(),
		},
		HostFirewall: &models.HostFirewall{Mode: models.HostFirewallModeDisabled},
		Srv6:         &models.Srv6{},
		CniChaining:  &models.CNIChainingStatus{Mode: models.CNIChainingStatusModeNone},
		Cilium:       &models.Status{State: ok, Msg: fmt.Sprintf("%[1]s (v%[1]s-netdojo)", a.cfg.Version)},
		// The flow log is the ring that monitors read; what it holds are events, not pages.
		NodeMonitor: &models.MonitorStatus{
			Cpus: int64(a.tableConfig().Queues), Npages: int64(stats.Max), Pagesize: int64(unsafe.Sizeof(verdict.Event{})),
		},
		Ipam:                   a.ipamStatus(),
		IPv4BigTCP:             &models.IPV4BigTCP{},
		IPv6BigTCP:             &models.IPV6BigTCP{},
		BandwidthManager:       &models.BandwidthManager{},
		Routing:                &models.Routing{InterHostRoutingMode: models.RoutingInterHostRoutingModeNative, IntraHostRoutingMode: models.RoutingIntraHostRoutingModeLegacy},
		DatapathMode:           models.DatapathModeVeth,
		ConfiguredDatapathMode: models.ConfiguredDatapathModeVeth,
		Masquerading:           &models.Masquerading{EnabledProtocols: &models.MasqueradingEnabledProtocols{}},
		Proxy:                  a.proxyStatus(),
		IdentityRange: &models.IdentityRange{
			MinIdentity: policy.FirstPodIdentity, MaxIdentity: policy.LastPodIdentity,
		},
		Hubble: &models.HubbleStatus{State: ok, Observer: &models.HubbleStatusObserver{
			CurrentFlows: int64(stats.Kept), MaxFlows: int64(stats.Max), SeenFlows: int64(stats.Seen),
			Uptime: strfmt.Duration(time.Since(stats.Started)),
		}},
		Encryption: &models.EncryptionStatus{Mode: models.EncryptionStatusModeDisabled},
	}
	if s.Kubernetes.State != ok {
		s.Cilium = &models.Status{State: models.StatusStateFailure, Msg: "Kubernetes service is not ready: " + s.Kubernetes.Msg}
	}
	return s
}

func kubeProxyFeatures() *models.KubeProxyReplacementFeatures {
	return &models.KubeProxyReplacementFeatures{
		NodePort: &models.KubeProxyReplacementFeaturesNodePort{
			Enabled: true, Mode: models.KubeProxyReplacementFeaturesNodePortModeSNAT, PortMin: 30000, PortMax: 32767,
			Algorithm: models.KubeProxyReplacementFeaturesNodePortAlgorithmRandom, Acceleration: models.KubeProxyReplacementFeaturesNodePortAccelerationNone,
		},
		SessionAffinity: &models.KubeProxyReplacementFeaturesSessionAffinity{Enabled: true},
		ExternalIPs:     &models.KubeProxyReplacementFeaturesExternalIPs{Enabled: true},
		HostPort:        &models.KubeProxyReplacementFeaturesHostPort{Enabled: true},
		SocketLB:        &models.KubeProxyReplacementFeaturesSocketLB{},
		SocketLBTracing: &models.KubeProxyReplacementFeaturesSocketLBTracing{},
		Nat46X64:        &models.KubeProxyReplacementFeaturesNat46X64{},
	}
}

// kubernetesStatus asks the API server for its version.
func (a *Agent) kubernetesStatus(ctx context.Context) *models.K8sStatus {
	ctx, cancel := context.WithTimeout(ctx, apiAnswerTimeout)
	defer cancel()
	s := &models.K8sStatus{K8sAPIVersions: []string{
		"cilium/v2::CiliumCIDRGroup", "cilium/v2::CiliumClusterwideNetworkPolicy", "cilium/v2::CiliumNetworkPolicy",
		"core/v1::Namespace", "core/v1::Node", "core/v1::Pods", "core/v1::Service", "discovery/v1::EndpointSlice",
		"networking.k8s.io/v1::NetworkPolicy", "policy.networking.k8s.io/v1alpha2::ClusterNetworkPolicy",
	}}
	client := a.api.kubernetes()
	if client == nil {
		s.State, s.Msg = models.StatusStateFailure, "the API server has not answered yet"
		return s
	}
	// Discovery's own call knows no context.
	answer, err := client.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		s.State, s.Msg = models.StatusStateFailure, err.Error()
		return s
	}
	var v version.Info
	if err := json.Unmarshal(answer, &v); err != nil {
		s.State, s.Msg = models.StatusStateFailure, fmt.Sprintf("read the API server's version: %v", err)
		return s
	}
	s.State, s.Msg = models.StatusStateOk, fmt.Sprintf("%s.%s (%s) [%s]", v.Major, v.Minor, v.GitVersion, v.Platform)
	return s
}

// ipamStatus counts the addresses that pods have, of those that they could have:
// all but the range's first and last.
func (a *Agent) ipamStatus() *models.IPAMStatus {
	s := &models.IPAMStatus{IPv4: []string{}, IPv6: []string{}, Allocations: models.AllocationMap{}}
	for _, ep := range a.engine.Endpoints() {
		if ep.ID == 0 {
			continue
		}
		pair := model.AddressPair(ep.Addrs)
		s.IPv4 = append(s.IPv4, pair.IPv4)
		s.Allocations[pair.IPv4] = ep.Namespace + "/" + ep.Pod
		if pair.IPv6 != "" {
			s.IPv6 = append(s.IPv6, pair.IPv6)
			s.Allocations[pair.IPv6] = ep.Namespace + "/" + ep.Pod
		}
	}
	pods := a.cfg.podCIDR()
	size := 1<<(32-pods.V4.Bits()) - 2
	s.Status = fmt.Sprintf("IPv4: %d/%d allocated from %s", len(s.IPv4), size, pods.V4)
	if pods.V6.IsValid() {
		s.Status += fmt.Sprintf(", IPv6: %d/%d allocated from %s", len(s.IPv6), size, pods.V6)
	}
	return s
}

// proxyStatus describes the proxies, which are netdojo's own.
func (a *Agent) proxyStatus() *models.ProxyStatus {
	ports := []string{}
	for _, p := range a.proxies {
		for _, addr := range []netip.AddrPort{p.dns.Addr(), p.http.Addr(), p.sni.Addr()} {
			ports = append(ports, fmt.Sprint(addr.Port()))
		}
	}
	return &models.ProxyStatus{
		IP: a.cfg.Addresses.V4.Node.String(), PortRange: strings.Join(ports, ","), EnvoyDeploymentMode: "none",
		TotalRedirects: int64(model.Engine{Policy: a.engine}.Redirects()),
	}
}

// ciliumServices lists what `cilium-dbg service list` prints.
func (a *Agent) ciliumServices() []*models.Service {
	out := []*models.Service{}
	for _, f := range a.api.frontends() {
		proto := protoName(f.Proto)
		where := func(local bool) string {
			if local {
				return models.ServiceSpecFlagsTrafficPolicyLocal
			}
			return models.ServiceSpecFlagsTrafficPolicyCluster
		}
		spec := &models.ServiceSpec{
			ID: f.ID,
			FrontendAddress: &models.FrontendAddress{
				IP: f.Addr.Addr().String(), Port: f.Addr.Port(), Protocol: proto, Scope: models.FrontendAddressScopeExternal,
			},
			Flags: &models.ServiceSpecFlags{
				Name: f.Name, Namespace: f.Namespace, Type: f.Type,
				TrafficPolicy: where(f.ExternalLocal), ExtTrafficPolicy: where(f.ExternalLocal), IntTrafficPolicy: where(f.InternalLocal),
			},
			BackendAddresses: []*models.BackendAddress{},
		}
		for _, b := range f.Backends {
			ip := b.Addr().String()
			spec.BackendAddresses = append(spec.BackendAddresses, &models.BackendAddress{
				IP: &ip, Port: b.Port(), Protocol: strings.ToUpper(proto), State: models.BackendAddressStateActive, Preferred: true,
			})
		}
		out = append(out, &models.Service{Spec: spec, Status: &models.ServiceStatus{Realized: spec}})
	}
	return out
}

func protoName(proto uint8) string {
	switch proto {
	case 6:
		return models.FrontendAddressProtocolTCP
	case 17:
		return models.FrontendAddressProtocolUDP
	case 132:
		return "sctp" // Cilium's models have no name for it
	}
	return models.FrontendAddressProtocolAny
}

// ciliumNodes is this node; others' agents answer for themselves.
func (a *Agent) ciliumNodes() *models.ClusterNodeStatus {
	six := &models.NodeAddressingElement{}
	v4, v6 := a.cfg.Addresses.V4, a.cfg.Addresses.V6
	if v6.Node.IsValid() {
		six = &models.NodeAddressingElement{Enabled: true, IP: v6.Node.String(), AllocRange: v6.Pods.String()}
	}
	return &models.ClusterNodeStatus{Self: a.cfg.NodeName, NodesAdded: []*models.NodeElement{{
		Name: a.cfg.NodeName, Source: "local", SecondaryAddresses: []*models.NodeAddressingElement{},
		PrimaryAddress: &models.NodeAddressing{
			IPv4: &models.NodeAddressingElement{Enabled: true, IP: v4.Node.String(), AllocRange: v4.Pods.String()},
			IPv6: six,
		},
		HealthEndpointAddress: &models.NodeAddressing{IPv4: &models.NodeAddressingElement{}, IPv6: &models.NodeAddressingElement{}},
	}}}
}
