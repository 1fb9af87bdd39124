package controlplane

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"github.com/netdojo/netdojo/cluster/embedded/metricsapi"
	"github.com/netdojo/netdojo/manifests/builtin/crds"
)

// unusedHooks are start hooks for what is switched off.
var unusedHooks = []string{"priority-and-fairness-config-producer"}

// enabledPlugins are on beside the API's defaults, as kubeadm has it.
var enabledPlugins = []string{"NodeRestriction"}

// disabledPlugins are off although on by default: a new node would carry a
// taint until the node lifecycle controller takes it away, which does not run.
var disabledPlugins = []string{"TaintNodesByCondition"}

// apiOptions are kube-apiserver's options, as kubeadm sets them but for what a
// cluster of one node in one process does better.
func (c *ControlPlane) apiOptions(l net.Listener, etcdEndpoint string) *options.ServerRunOptions {
	p := c.pki
	o := options.NewServerRunOptions()
	o.SecureServing.Listener = l
	o.SecureServing.BindPort = APIPort
	o.SecureServing.BindAddress = net.IP(c.cfg.NodeAddr.AsSlice())
	o.SecureServing.ServerCert.CertDirectory = ""
	o.SecureServing.ServerCert.CertKey.CertFile = p.cert(certAPIServer)
	o.SecureServing.ServerCert.CertKey.KeyFile = p.key(certAPIServer)

	o.GenericServerRunOptions.AdvertiseAddress = net.IP(c.cfg.NodeAddr.AsSlice())
	o.GenericServerRunOptions.ExternalHost = c.cfg.NodeAddr.String()
	// Fair queueing among tenants: a cluster of one user has none.
	o.Features.EnablePriorityAndFairness = false
	o.Features.EnableProfiling = false

	o.Etcd.StorageConfig.Transport.ServerList = []string{etcdEndpoint}
	o.Etcd.StorageConfig.CompactionInterval = 5 * time.Minute
	o.Etcd.EnableWatchCache = true

	o.Authentication.ClientCert.ClientCA = p.cert(certCA)
	o.Authentication.RequestHeader.ClientCAFile = p.cert(certFrontProxyCA)
	o.Authentication.RequestHeader.AllowedNames = []string{"front-proxy-client"}
	o.Authentication.RequestHeader.UsernameHeaders = []string{"X-Remote-User"}
	o.Authentication.RequestHeader.GroupHeaders = []string{"X-Remote-Group"}
	o.Authentication.RequestHeader.ExtraHeaderPrefixes = []string{"X-Remote-Extra-"}
	o.Authentication.BootstrapToken.Enable = false
	o.Authentication.ServiceAccounts.KeyFiles = []string{p.key(keyServiceAccount)}
	o.Authentication.ServiceAccounts.Issuers = []string{ServiceAccountIssuer}
	o.Authentication.ServiceAccounts.Lookup = true
	o.ServiceAccountSigningKeyFile = p.key(keyServiceAccount)
	o.Authorization.Modes = []string{"Node", "RBAC"}

	o.Admission.GenericAdmission.EnablePlugins = enabledPlugins
	o.Admission.GenericAdmission.DisablePlugins = disabledPlugins

	o.ProxyClientCertFile = p.cert(certFrontProxy)
	o.ProxyClientKeyFile = p.key(certFrontProxy)
	o.AllowPrivileged = true
	o.ServiceClusterIPRanges = strings.Join(ranges(c.cfg.ServiceCIDR), ",")
	o.EndpointReconcilerType = "lease"
	o.KubeletConfig.TLSClientConfig.CertFile = p.cert(certKubeletClient)
	o.KubeletConfig.TLSClientConfig.KeyFile = p.key(certKubeletClient)
	o.KubeletConfig.TLSClientConfig.CAFile = p.cert(certCA)
	o.KubeletConfig.PreferredAddressTypes = []string{"InternalIP"}
	return o
}

// runAPIServer serves until ctx ends. seeded says whether the store already
// has what the slow start hooks make.
func (c *ControlPlane) runAPIServer(ctx context.Context, l net.Listener, etcdEndpoint string, seeded <-chan seedResult) error {
	c.cfg.Trace("apiserver-config", PhaseStart)
	o := c.apiOptions(l, etcdEndpoint)
	if err := c.limitPods(o); err != nil {
		return err
	}
	if err := o.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return fmt.Errorf("set feature gates: %w", err)
	}
	completed, err := o.Complete(ctx)
	if err != nil {
		return fmt.Errorf("complete options: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return fmt.Errorf("validate options: %w", utilerrors.NewAggregate(errs))
	}
	config, err := app.NewConfig(completed)
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	c.cfg.Trace("apiserver-config", PhaseReady)
	var res seedResult
	select {
	case res = <-seeded:
	case <-ctx.Done():
		return ctx.Err()
	}
	disableHooks(config, unusedHooks)
	dropOpenAPIV2(config)
	if res.known {
		disableHooks(config, slowHooks)
	}
	c.cfg.Trace("apiserver-chain", PhaseStart)
	cc, err := config.Complete()
	if err != nil {
		return fmt.Errorf("complete configuration: %w", err)
	}
	chain, err := app.CreateServerChain(cc)
	if err != nil {
		return fmt.Errorf("assemble: %w", err)
	}
	if err := c.serveUsage(chain.GenericAPIServer); err != nil {
		return fmt.Errorf("assemble: %w", err)
	}
	prepared, err := chain.PrepareRun()
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	c.cfg.Trace("apiserver-chain", PhaseReady)
	return prepared.Run(ctx)
}

// serveUsage adds metrics.k8s.io. The aggregator serves it beside its own group: of the
// servers in the chain it alone can be reached, and it has the discovery of all.
func (c *ControlPlane) serveUsage(server *genericapiserver.GenericAPIServer) error {
	if c.cfg.Usage == nil {
		return nil
	}
	client, err := kubernetes.NewForConfig(c.restConfig(certDaemon))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	return server.InstallAPIGroup(metricsapi.Group(metricsapi.NewMeter(c.cfg.Usage), client))
}

// seedResult says whether the store has everything that slowHooks make.
type seedResult struct {
	known bool
}

// dropOpenAPIV2 keeps the servers from building the old description of the API.
// Clients of the last years read version 3, which stays; version 2 would cost a
// fifth of a second of every start and 20 MB ever after. The server of custom
// resources keeps its small one: it describes none of them without.
func dropOpenAPIV2(config *app.Config) {
	config.KubeAPIs.ControlPlane.Generic.OpenAPIConfig = nil
	config.Aggregator.GenericConfig.OpenAPIConfig = nil
}

func disableHooks(config *app.Config, names []string) {
	config.KubeAPIs.ControlPlane.Generic.DisabledPostStartHooks.Insert(names...)
	config.ApiExtensions.GenericConfig.DisabledPostStartHooks.Insert(names...)
	config.Aggregator.GenericConfig.DisabledPostStartHooks.Insert(names...)
}

// readyProbe is how often the API is asked whether it is ready.
const readyProbe = 10 * time.Millisecond

// waitAPI returns when every check of /readyz passes but those that wait for
// objects which seed has laid, and when the seeded kinds are served: the first
// request for one makes its storage, and is told to come back in a second.
func (c *ControlPlane) waitAPI(ctx context.Context) error {
	cfg := c.restConfig(certAdmin)
	cfg.WrapTransport = nil
	transport, err := rest.TransportFor(cfg)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	if err := awaitOK(ctx, client, cfg.Host+"/readyz?"+excludeSlowHooks()); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, path := range crds.Paths() {
		group.Go(func() error { return awaitOK(ctx, client, cfg.Host+path+"?limit=1") })
	}
	return group.Wait()
}

// awaitOK asks url until it answers 200.
func awaitOK(ctx context.Context, client *http.Client, url string) error {
	tick := time.NewTicker(readyProbe)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("%s answers %s", req.URL.Path, resp.Status)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		}
	}
}
