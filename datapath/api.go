//go:build linux

package datapath

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/datapath/service"
	"github.com/netdojo/netdojo/datapath/watch"
)

// apiParts are the parts of an agent that follow the API server. They start
// when it answers, which may be long after the agent's own start.
type apiParts struct {
	ready  chan struct{} // closed when watch and service hold what there was
	failed chan struct{} // closed when err is set

	mu      sync.Mutex // guards all below
	err     error
	watch   *watch.Watcher
	service []*service.Proxy // one for each IP family
	client  kubernetes.Interface
}

func (p *apiParts) init() {
	p.ready, p.failed = make(chan struct{}), make(chan struct{})
}

// run starts the parts and returns when they are in step, or when ctx ends.
func (p *apiParts) run(ctx context.Context, a *Agent) {
	err := p.start(ctx, a)
	if err == nil || ctx.Err() != nil {
		return
	}
	a.log.Error("the datapath does not follow the API server", "error", err)
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	close(p.failed)
}

func (p *apiParts) start(ctx context.Context, a *Agent) error {
	rc := rest.CopyConfig(a.cfg.REST)
	rc.QPS, rc.Burst = -1, -1 // the API server has its own fairness
	// Cilium's kinds know JSON only; who can do better asks for it.
	rc.ContentType, rc.AcceptContentTypes = runtime.ContentTypeJSON, ""
	protobuf := rest.CopyConfig(rc)
	protobuf.ContentType = runtime.ContentTypeProtobuf
	protobuf.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(protobuf)
	if err != nil {
		return fmt.Errorf("open client: %w", err)
	}
	answers := client.Discovery().RESTClient()
	if err := poll(ctx, answers, "/api/v1/namespaces?limit=1"); err != nil {
		return err
	}
	p.mu.Lock()
	p.client = client
	p.mu.Unlock()
	pods := a.cfg.clusterPods()
	for i, node := range a.nodeAddrs() {
		one, err := service.Start(ctx, service.Config{
			Client: client, NodeName: a.cfg.NodeName, NodeAddr: node, ClusterCIDR: pods[i], Logger: a.log,
		})
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.service = append(p.service, one)
		p.mu.Unlock()
	}
	for _, resource := range []string{"ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies", "ciliumcidrgroups"} {
		if err := poll(ctx, answers, "/apis/cilium.io/v2/"+resource+"?limit=1"); err != nil {
			return err
		}
	}
	cfg := watch.Config{
		REST: rc, Engine: a.engine, NodeName: a.cfg.NodeName, Logger: a.log,
		PublishEndpoints: a.routes == nil || a.cfg.SharedIdentities, SharedIdentities: a.cfg.SharedIdentities,
	}
	if a.routes != nil {
		cfg.Routes = a.routes
	}
	w, err := watch.Start(ctx, cfg)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.watch = w
	p.mu.Unlock()
	if err := w.WaitForSync(ctx); err != nil {
		return err
	}
	for _, one := range p.proxies() {
		select {
		case <-one.Synced():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if a.routes != nil {
		if err := a.routes.Sweep(); err != nil {
			a.log.Warn("routes to nodes that are gone stay", "error", err)
		}
	}
	close(p.ready)
	return nil
}

// poll asks until the API server gives the list at path. Client-go's watches
// would back off by seconds from a server that starts.
func poll(ctx context.Context, client rest.Interface, path string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var status int
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		client.Get().RequestURI(path).Do(try).StatusCode(&status)
		cancel()
		if status == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// watcher returns the watcher when all parts are in step.
func (p *apiParts) watcher(ctx context.Context) (*watch.Watcher, error) {
	select {
	case <-p.ready:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.watch, nil
	case <-p.failed:
		p.mu.Lock()
		defer p.mu.Unlock()
		return nil, p.err
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the API server's objects: %w", ctx.Err())
	}
}

func (p *apiParts) serviceName(addr netip.Addr, port uint16, proto uint8) (namespace, name string, ok bool) {
	for _, one := range p.proxies() {
		if namespace, name, ok = one.Service(addr, port, proto); ok {
			break
		}
	}
	return namespace, name, ok
}

// proxies are those of Services that run; none before the API server answers.
func (p *apiParts) proxies() []*service.Proxy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.service
}

// services lists what Services there are; none before the API server answers.
func (p *apiParts) services() []service.Entry {
	var out []service.Entry
	for _, one := range p.proxies() {
		out = append(out, one.Entries()...)
	}
	return out
}

// kubernetes is the client of the API server; nil before it answers.
func (p *apiParts) kubernetes() kubernetes.Interface {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client
}

// frontends lists where Services answer; none before the API server does.
func (p *apiParts) frontends() []service.Frontend {
	var out []service.Frontend
	for _, one := range p.proxies() {
		out = append(out, one.Frontends()...)
	}
	return out
}

// close stops the parts; run has returned.
func (p *apiParts) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	if p.watch != nil {
		p.watch.Close()
	}
	for _, one := range p.service {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}
