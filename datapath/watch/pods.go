package watch

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// watchPods starts the watch of all pods: those of this node for their labels,
// the others as peers. A pod on the host network is its node, and no endpoint.
func (w *Watcher) watchPods() cache.Store {
	store, synced := w.watch(source{
		client: w.core.RESTClient(), resource: "pods", object: &corev1.Pod{}, slim: slimPod,
		set: func(o any) {
			p := o.(*corev1.Pod)
			w.setPod(p)
			w.signal.raise()
		},
		remove: func(o any) {
			p := o.(*corev1.Pod)
			if p.Spec.NodeName != w.cfg.NodeName {
				w.engine.RemovePod(w.ctx, string(p.UID))
			}
			// A pod of this node lives until its sandbox goes: RemovePod by the agent.
		},
	})
	w.synced = append(w.synced, synced)
	return store
}

func (w *Watcher) setPod(p *corev1.Pod) {
	w.podMu.Lock()
	defer w.podMu.Unlock()
	if p.Spec.HostNetwork || p.Spec.NodeName == "" {
		return
	}
	if p.Spec.NodeName == w.cfg.NodeName {
		w.failed("update pod", w.engine.UpdatePod(w.ctx, p))
		return
	}
	addrs := Addrs(p)
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	if len(addrs) == 0 || ended {
		w.engine.RemovePod(w.ctx, string(p.UID))
		return
	}
	w.failed("set peer", w.engine.SetPeer(w.ctx, p, addrs...))
}

// Addrs are a pod's addresses by its status.
func Addrs(p *corev1.Pod) []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range p.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// slimPod keeps of a pod what the engine and the agent read.
func slimPod(o any) {
	p := o.(*corev1.Pod)
	m := onlyName(p.ObjectMeta)
	m.Labels, m.DeletionTimestamp, m.OwnerReferences = p.Labels, p.DeletionTimestamp, p.OwnerReferences
	slim := corev1.Pod{ObjectMeta: m, Spec: corev1.PodSpec{
		NodeName: p.Spec.NodeName, HostNetwork: p.Spec.HostNetwork, ServiceAccountName: p.Spec.ServiceAccountName,
	}, Status: corev1.PodStatus{PodIP: p.Status.PodIP, PodIPs: p.Status.PodIPs, Phase: p.Status.Phase}}
	for _, c := range p.Spec.Containers {
		if len(c.Ports) > 0 {
			slim.Spec.Containers = append(slim.Spec.Containers, corev1.Container{Name: c.Name, Ports: c.Ports})
		}
	}
	*p = slim
}

// Pod waits until the watcher has seen this very pod and its namespace, and
// returns it (labels, ports, service account and node; nothing more). An empty
// uid takes any pod of the name.
func (w *Watcher) Pod(ctx context.Context, namespace, name, uid string) (*corev1.Pod, error) {
	for {
		changed := w.signal.wait()
		if p := w.pod(namespace, name, uid); p != nil && w.engine.HasNamespace(namespace) {
			return p, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for pod %s/%s: %w", namespace, name, ctx.Err())
		case <-w.ctx.Done():
			return nil, fmt.Errorf("wait for pod %s/%s: the watches ended", namespace, name)
		case <-changed:
		}
	}
}

// Has says whether the watcher knows this very pod now.
func (w *Watcher) Has(namespace, name, uid string) bool { return w.pod(namespace, name, uid) != nil }

func (w *Watcher) pod(namespace, name, uid string) *corev1.Pod {
	o, found, err := w.pods.GetByKey(namespace + "/" + name)
	if err != nil || !found {
		return nil
	}
	p := o.(*corev1.Pod)
	if uid != "" && string(p.UID) != uid {
		return nil
	}
	return p
}

// SetPod waits for a pod as Pod does and makes it known to the engine at addrs.
// No change of its labels can fall between the two, as it could between Pod and
// Engine.SetPod.
func (w *Watcher) SetPod(ctx context.Context, namespace, name, uid string, addrs ...netip.Addr) (endpointID uint32, err error) {
	p, err := w.Pod(ctx, namespace, name, uid)
	if err != nil {
		return 0, err
	}
	w.podMu.Lock()
	defer w.podMu.Unlock()
	if now := w.pod(namespace, name, uid); now != nil {
		p = now
	}
	return w.engine.SetPod(ctx, p, addrs...)
}
