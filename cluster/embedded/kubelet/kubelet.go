// Package kubelet runs the real kubelet in this process, on a node without
// cgroups of its own. It knows its API server and its container runtime by
// address only.
package kubelet

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	noop "go.opentelemetry.io/otel/trace/noop"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	kubeletutil "k8s.io/kubernetes/pkg/kubelet/util"
	"k8s.io/kubernetes/pkg/util/oom"
	"k8s.io/kubernetes/pkg/volume/util/hostutil"
	"k8s.io/kubernetes/pkg/volume/util/subpath"
	"k8s.io/mount-utils"

	"github.com/netdojo/netdojo/internal/ipfamily"
)

// Port is where the API server reaches the kubelet.
const Port = 10250

// LogDir is where container logs are kept. The kubelet puts links to them into
// /var/log/containers, which is fixed in its code: both are the node's own.
const LogDir = "/var/log/pods"

// Config says how the kubelet is run.
type Config struct {
	NodeName string
	// NodeAddr has the node's InternalIPs; the kubelet serves on that of IPv4.
	NodeAddr   ipfamily.Pair[netip.Addr]
	RootDir    string // volumes, plugins, checkpoints
	CRISocket  string // path of the runtime's unix socket; it has to be served already
	REST       *rest.Config
	ClusterDNS netip.Addr
	Domain     string // cluster domain; cluster.local when empty
	ResolvConf string // what pods with dnsPolicy Default get; /etc/resolv.conf when empty

	ServingCert, ServingKey string // files
	ClientCA                string // file: whose clients are known by certificate

	Labels map[string]string // further labels of the node
	Logger *slog.Logger
	// Trace is told when the kubelet starts and when the node is ready. It may be nil.
	Trace func(component, phase string)
}

// Kubelet is a running kubelet.
type Kubelet struct {
	ready chan struct{}
	done  chan struct{}
	err   error // set before done is closed
}

// Start builds the kubelet and runs it until ctx ends. It returns when the
// kubelet is running; Ready tells when the API holds a Ready node. The feature
// gates KubeletInUserNamespace and EventedPLEG have to be set before.
func Start(ctx context.Context, cfg Config) (*Kubelet, error) {
	if cfg.Trace == nil {
		cfg.Trace = func(string, string) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Trace("kubelet", "start")
	srv, err := cfg.server()
	if err != nil {
		return nil, fmt.Errorf("configure kubelet: %w", err)
	}
	deps, err := cfg.dependencies(ctx, srv)
	if err != nil {
		return nil, fmt.Errorf("build kubelet: %w", err)
	}
	k := &Kubelet{ready: make(chan struct{}), done: make(chan struct{})}
	var relist *relister
	known := make(nodeKnown)
	deps.PodConfig = podSource(ctx, deps, cfg.NodeName, known)
	deps.Options = append(deps.Options, func(kl *kubelet.Kubelet) {
		go known.watch(ctx, kl)
		sync := func(namespace, name string) {
			if pod, ok := kl.GetPodByName(namespace, name); ok {
				kl.HandlePodSyncs(ctx, []*corev1.Pod{pod})
			}
		}
		relist = newRelister(deps.RemoteRuntimeService, kl.RequestPodRelist, sync, cfg.Logger)
	})
	started := time.Now()
	if err := kubeletapp.RunKubelet(ctx, srv, deps); err != nil {
		return nil, fmt.Errorf("run kubelet: %w", err)
	}
	go func() {
		defer close(k.done)
		var relisting sync.WaitGroup
		defer relisting.Wait()
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		relisting.Go(func() { relist.run(ctx) })
		if err := awaitReady(ctx, deps.KubeClient, cfg.NodeName, started); err != nil {
			if ctx.Err() == nil {
				k.err = err
			}
			return
		}
		cfg.Trace("kubelet", "ready")
		close(k.ready)
		<-ctx.Done()
	}()
	return k, nil
}

// Ready is closed when the API holds a Ready status that this kubelet wrote.
func (k *Kubelet) Ready() <-chan struct{} { return k.ready }

// Done is closed when ctx has ended or the node could not be watched. The
// kubelet's own goroutines heed ctx too; what it cannot go on without ends the
// process.
func (k *Kubelet) Done() <-chan struct{} { return k.done }

// Err is why Done is closed; nil when ctx ended.
func (k *Kubelet) Err() error {
	select {
	case <-k.done:
		return k.err
	default:
		return nil
	}
}

// maxPods lets the whole catalogue be on one node, some 200 pods: those of labs that are
// done stay, so that one can go back to them. A node has 254 addresses for pods, of which
// some are still those of pods that end.
const maxPods = 240

// server is the kubelet's configuration: kubeadm's, less what needs cgroups.
func (c *Config) server() (*options.KubeletServer, error) {
	kc, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, err
	}
	kc.Address = c.NodeAddr.V4.String()
	kc.Port = Port
	kc.ReadOnlyPort = 0
	kc.HealthzPort = 0
	kc.Authentication.Anonymous.Enabled = false
	kc.Authentication.Webhook.Enabled = true
	kc.Authentication.X509.ClientCAFile = c.ClientCA
	kc.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook
	kc.TLSCertFile = c.ServingCert
	kc.TLSPrivateKeyFile = c.ServingKey
	kc.ContainerRuntimeEndpoint = "unix://" + c.CRISocket
	kc.ImageServiceEndpoint = kc.ContainerRuntimeEndpoint
	kc.ClusterDNS = []string{c.ClusterDNS.String()}
	kc.ClusterDomain = orDefault(c.Domain, "cluster.local")
	kc.ResolverConfig = orDefault(c.ResolvConf, "/etc/resolv.conf")
	kc.PodLogsDir = LogDir
	kc.MaxPods = maxPods
	kc.MaxOpenFiles = openFiles()

	kc.CgroupsPerQOS = false
	kc.CgroupRoot = ""
	kc.KubeletCgroups = ""
	kc.SystemCgroups = ""
	kc.EnforceNodeAllocatable = nil
	kc.FailSwapOn = false
	kc.FailCgroupV1 = false
	kc.MakeIPTablesUtilChains = false
	kc.ProtectKernelDefaults = false
	kc.EnableControllerAttachDetach = false
	// No pod is evicted for want of disk or memory, which are the user's; one that
	// writes beyond its own limit of ephemeral storage is.
	kc.EvictionHard = map[string]string{}
	kc.LocalStorageCapacityIsolation = true

	// A disk that is nearly full is no reason to throw away images that a learner
	// without a registry cannot get again.
	kc.ImageGCHighThresholdPercent = 100
	kc.ImageGCLowThresholdPercent = 99

	kc.SerializeImagePulls = false
	kc.RegistryPullQPS = 0
	kc.SyncFrequency.Duration = 30 * time.Second
	kc.NodeStatusUpdateFrequency.Duration = 10 * time.Second
	kc.NodeStatusReportFrequency.Duration = 5 * time.Minute
	kc.VolumeStatsAggPeriod.Duration = 5 * time.Minute
	kc.EnableProfilingHandler = false

	f := options.NewKubeletFlags()
	f.RootDirectory = c.RootDir
	f.CertDirectory = filepath.Join(c.RootDir, "pki")
	f.HostnameOverride = c.NodeName
	f.NodeIP = c.NodeAddr.V4.String()
	if c.NodeAddr.V6.IsValid() {
		f.NodeIP += "," + c.NodeAddr.V6.String()
	}
	f.NodeLabels = c.Labels
	f.MinimumGCAge.Duration = 0
	// Two, so that there always is a previous container to read logs of.
	f.MaxPerPodContainerCount = 2
	srv := &options.KubeletServer{KubeletFlags: *f, KubeletConfiguration: *kc}
	return srv, options.ValidateKubeletServer(srv)
}

// dependencies are the kubelet's real ones, but for those that own cgroups.
func (c *Config) dependencies(ctx context.Context, srv *options.KubeletServer) (*kubelet.Dependencies, error) {
	if err := os.MkdirAll(c.RootDir, 0o750); err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(c.REST)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	tlsOptions, err := kubeletapp.InitializeTLS(ctx, &srv.KubeletFlags, &srv.KubeletConfiguration)
	if err != nil {
		return nil, fmt.Errorf("load serving certificate: %w", err)
	}
	plugins, err := kubeletapp.ProbeVolumePlugins(ctx, utilfeature.DefaultFeatureGate)
	if err != nil {
		return nil, fmt.Errorf("collect volume plugins: %w", err)
	}
	auth, reloadCA, err := kubeletapp.BuildAuth(types.NodeName(c.NodeName), client, srv.KubeletConfiguration)
	if err != nil {
		return nil, fmt.Errorf("build authorization: %w", err)
	}
	reloadCA(ctx.Done())
	stats, err := newMachine(c.RootDir)
	if err != nil {
		return nil, fmt.Errorf("read the machine's capacity: %w", err)
	}
	mounter := mount.NewWithoutSystemd("")
	deps := &kubelet.Dependencies{
		Auth:                      auth,
		CAdvisorInterface:         stats,
		ContainerManager:          newContainerManager(stats),
		KubeClient:                client,
		HeartbeatClient:           client,
		EventClient:               client.CoreV1(),
		OnHeartbeatFailure:        func() {},
		TracerProvider:            noop.NewTracerProvider(),
		HostUtil:                  hostutil.NewHostUtil(),
		Mounter:                   mounter,
		Subpather:                 subpath.New(mounter),
		OOMAdjuster:               oom.NewFakeOOMAdjuster(),
		OSInterface:               kubecontainer.RealOS{},
		VolumePlugins:             plugins,
		DynamicPluginProber:       noDynamicPlugins{},
		TLSOptions:                tlsOptions,
		PodStartupLatencyTracker:  kubeletutil.NewPodStartupLatencyTracker(),
		NodeStartupLatencyTracker: kubeletutil.NewNodeStartupLatencyTracker(),
	}
	if err := kubelet.PreInitRuntimeService(ctx, &srv.KubeletConfiguration, deps); err != nil {
		return nil, fmt.Errorf("connect to the container runtime: %w", err)
	}
	return deps, nil
}

// openFiles is the limit that this process may give itself.
func openFiles() int64 {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 1024
	}
	return int64(r.Max)
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
