package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// ControlPlane is a running control plane.
type ControlPlane struct {
	cfg Config
	pki pki

	serving chan struct{} // closed when the API is ready
	bornDNS bool          // the seed laid cluster DNS; written before serving is closed
	done    chan struct{} // closed when everything has ended
	stop    context.CancelCauseFunc

	mu  sync.Mutex
	err error // guarded by mu: why it ended
}

// errClosed is the cause of an end that was asked for.
var errClosed = errors.New("control plane closed")

// Start makes certificates where they are missing and starts all components.
// It returns as soon as the API's sockets are open; APIReady tells when they
// are served. The control plane runs until ctx ends, Close is called, or a
// component fails; then all of it ends. On error nothing is left running.
func Start(ctx context.Context, cfg Config) (*ControlPlane, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := SetUpProcess(cfg.Logger); err != nil {
		return nil, err
	}
	cfg.Trace("pki", PhaseStart)
	p, err := ensurePKI(&cfg)
	if err != nil {
		return nil, err
	}
	cfg.Trace("pki", PhaseReady)
	inner, err := net.Listen("tcp", cfg.endpoint())
	if err != nil {
		return nil, fmt.Errorf("listen for the API: %w", err)
	}
	run, stop := context.WithCancelCause(ctx)
	c := &ControlPlane{cfg: cfg, pki: p, serving: make(chan struct{}), done: make(chan struct{}), stop: stop}
	go c.run(run, mergeListeners(append([]net.Listener{inner}, cfg.Listeners...)...))
	return c, nil
}

// APIReady is closed when the API serves everything that seed has laid.
func (c *ControlPlane) APIReady() <-chan struct{} { return c.serving }

// BornWithDNS tells, once the API is ready, whether this is a new cluster that
// has cluster DNS from its seed. In others it has to be applied.
func (c *ControlPlane) BornWithDNS() bool {
	<-c.serving
	return c.bornDNS
}

// Done is closed when every component has ended.
func (c *ControlPlane) Done() <-chan struct{} { return c.done }

// Err is why the control plane ended: nil while it runs and after Close, a
// *ComponentError when one of its components failed.
func (c *ControlPlane) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends all components, the store last, and waits for them or for ctx.
func (c *ControlPlane) Close(ctx context.Context) error {
	c.stop(errClosed)
	select {
	case <-c.done:
		return c.Err()
	case <-ctx.Done():
		return fmt.Errorf("close control plane: %w", ctx.Err())
	}
}

// run owns every component: it starts them side by side and, when ctx ends or
// one of them does, ends those that use the API, then the API, then the store.
func (c *ControlPlane) run(ctx context.Context, l net.Listener) {
	defer close(c.done)
	defer c.stop(errClosed)

	store, err := newEtcd(c.cfg.Dir)
	if err != nil {
		l.Close()
		c.fail(ctx, "etcd", err)
		return
	}
	defer func() {
		if err := store.close(); err != nil {
			c.cfg.Logger.Warn("close etcd", "error", err)
		}
	}()
	var clients, api, helpers sync.WaitGroup
	apiCtx, stopAPI := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopAPI(errClosed)

	seeded := make(chan seedResult, 1)
	helpers.Go(func() { c.runStore(ctx, store, seeded) })
	api.Go(func() {
		// Not before it returned, though it is not waited for: its server takes a listener
		// that is closed before it was told to end for a fault, and panics.
		defer l.Close()
		c.cfg.Trace("apiserver", PhaseStart)
		c.fail(ctx, "apiserver", orEnded(c.runAPIServer(apiCtx, l, store.endpoint(), seeded)))
	})
	helpers.Go(func() {
		if err := c.waitAPI(ctx); err != nil {
			c.fail(ctx, "apiserver", err)
			return
		}
		c.cfg.Trace("apiserver", PhaseReady)
		close(c.serving)
	})
	clients.Go(func() {
		c.cfg.Trace("scheduler", PhaseStart)
		ready := func() { c.cfg.Trace("scheduler", PhaseReady) }
		c.fail(ctx, "scheduler", orEnded(c.runScheduler(ctx, ready)))
	})
	clients.Go(func() {
		c.cfg.Trace("controllers", PhaseStart)
		ready := sync.OnceFunc(func() { c.cfg.Trace("controllers", PhaseReady) })
		c.fail(ctx, "controllers", orEnded(c.runControllers(ctx, ready)))
	})

	<-ctx.Done()
	wait(&clients, clientsGrace)
	stopAPI(errClosed)
	wait(&api, apiGrace)
	helpers.Wait()
}

// How long an ordered end waits. The API would wait a minute for watches that
// clients keep open.
var (
	clientsGrace = 5 * time.Second
	apiGrace     = 200 * time.Millisecond
)

// runStore starts the store, lays the seed and reports when the store fails.
func (c *ControlPlane) runStore(ctx context.Context, store *etcd, seeded chan<- seedResult) {
	c.cfg.Trace("etcd", PhaseStart)
	if err := store.start(ctx, c.cfg.Logger); err != nil {
		c.fail(ctx, "etcd", err)
		return
	}
	c.cfg.Trace("etcd", PhaseReady)
	c.cfg.Trace("seed", PhaseStart)
	known, err := c.seed(ctx, store)
	if err != nil {
		c.fail(ctx, "etcd", err)
		return
	}
	c.cfg.Trace("seed", PhaseReady)
	seeded <- seedResult{known: known}
	if err := store.wait(ctx); err != nil {
		c.fail(ctx, "etcd", err)
	}
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("it returned")
	}
	return err
}

// fail notes the first failure and stops the rest. An end that follows from
// the end of ctx is none.
func (c *ControlPlane) fail(ctx context.Context, component string, err error) {
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	if c.err == nil {
		c.err = &ComponentError{Component: component, Err: err}
	}
	c.mu.Unlock()
	c.cfg.Logger.Error("component ended", "component", component, "error", err)
	c.stop(err)
}

// wait gives components that do not heed their context up after a while: the
// process ends soon after.
func wait(wg *sync.WaitGroup, timeout time.Duration) {
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(timeout):
	}
}
