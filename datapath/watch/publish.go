package watch

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/cilium/api/v1/models"
	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netdojo/netdojo/datapath/ciliumapi/model"
	"github.com/netdojo/netdojo/datapath/policy"
)

// publish keeps CiliumEndpoint and CiliumIdentity objects in step with the
// engine until the watches end. What it wrote goes with the pods: an endpoint
// is owned by its pod.
func (w *Watcher) publish() {
	if w.WaitForSync(w.ctx) != nil {
		return
	}
	p := publisher{w: w, endpoints: map[string]string{}, identities: map[string]bool{}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := w.engine.EndpointsChanged()
		ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
		err := p.sync(ctx)
		cancel()
		// Gather what comes together: a pod's start is a handful of changes.
		pause := 100 * time.Millisecond
		if err != nil {
			if w.ctx.Err() != nil {
				return
			}
			w.logger.Warn("publish endpoints", "error", err)
			pause = 2 * time.Second
			changed = nil
		}
		timer.Reset(pause)
		select {
		case <-w.ctx.Done():
			return
		case <-timer.C:
		}
		if changed == nil {
			continue
		}
		select {
		case <-w.ctx.Done():
			return
		case <-changed:
		}
	}
}

// publisher knows what it wrote.
type publisher struct {
	w          *Watcher
	endpoints  map[string]string // pod uid → object written, as JSON; "" when it is to be removed
	identities map[string]bool
	stale      map[string]bool // identities of an earlier run
}

func (p *publisher) sync(ctx context.Context) error {
	var errs []error
	if p.stale == nil {
		list, err := p.w.cilium.CiliumIdentities().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		p.stale = map[string]bool{}
		for i := range list.Items {
			p.stale[list.Items[i].Name] = true
		}
	}
	ids := map[string]bool{}
	seen := map[string]bool{}
	for _, ep := range p.w.engine.Endpoints() {
		if ep.ID == 0 {
			continue
		}
		seen[ep.UID] = true
		id := strconv.FormatUint(uint64(ep.Identity), 10)
		ids[id] = true
		if !p.identities[id] {
			if err := p.identity(ctx, id, ep); err != nil {
				errs = append(errs, err)
				continue
			}
			p.identities[id] = true
		}
		if err := p.endpoint(ctx, ep); err != nil {
			errs = append(errs, err)
		}
	}
	for uid := range p.endpoints {
		if !seen[uid] {
			delete(p.endpoints, uid) // the garbage collector takes it with its pod
		}
	}
	others, err := p.others(ctx, ids)
	if err != nil {
		return errors.Join(errors.Join(errs...), err)
	}
	for _, written := range []map[string]bool{p.identities, p.stale} {
		for id := range written {
			if ids[id] {
				continue
			}
			if others[id] { // it goes with theirs
				delete(written, id)
				continue
			}
			if err := p.w.cilium.CiliumIdentities().Delete(ctx, id, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				errs = append(errs, err)
				continue
			}
			delete(written, id)
		}
	}
	return errors.Join(errs...)
}

// others are the identities of other nodes' endpoints, as far as some of this node's may
// go that are not in use.
func (p *publisher) others(ctx context.Context, used map[string]bool) (map[string]bool, error) {
	idle := func(written map[string]bool) bool {
		for id := range written {
			if !used[id] {
				return true
			}
		}
		return false
	}
	if !p.w.cfg.SharedIdentities || !idle(p.identities) && !idle(p.stale) {
		return nil, nil
	}
	list, err := p.w.cilium.CiliumEndpoints(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for i := range list.Items {
		ep := &list.Items[i]
		pod := p.w.pod(ep.Namespace, ep.Name, "")
		if id := ep.Status.Identity; id != nil && pod != nil && pod.Spec.NodeName != p.w.cfg.NodeName {
			out[strconv.FormatInt(id.ID, 10)] = true
		}
	}
	return out, nil
}

func (p *publisher) identity(ctx context.Context, id string, ep policy.EndpointInfo) error {
	lbls := map[string]string{}
	k8s := map[string]string{}
	for _, l := range ep.Labels {
		k, v, _ := strings.Cut(l, "=")
		lbls[k] = v
		if k, ok := strings.CutPrefix(k, "k8s:"); ok {
			k8s[k] = v
		}
	}
	// Labels of the object are what a selector of kubectl can name.
	maps.DeleteFunc(k8s, func(k, _ string) bool { return strings.Contains(k, "io.cilium.k8s.namespace.labels") })
	client := p.w.cilium.CiliumIdentities()
	obj := &ciliumv2.CiliumIdentity{
		ObjectMeta: metav1.ObjectMeta{Name: id, Labels: k8s}, SecurityLabels: lbls,
	}
	_, err := client.Create(ctx, obj, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	old, err := client.Get(ctx, id, metav1.GetOptions{})
	if err != nil {
		return err
	}
	old.Labels, old.SecurityLabels = k8s, lbls
	_, err = client.Update(ctx, old, metav1.UpdateOptions{})
	return err
}

func (p *publisher) endpoint(ctx context.Context, ep policy.EndpointInfo) error {
	pair := model.AddressPair(ep.Addrs)
	status := ciliumv2.EndpointStatus{
		ID:    int64(ep.ID),
		State: string(models.EndpointStateReady),
		ExternalIdentifiers: &models.EndpointIdentifiers{
			K8sNamespace: ep.Namespace, K8sPodName: ep.Pod, PodName: ep.Namespace + "/" + ep.Pod,
		},
		Identity: &ciliumv2.EndpointIdentity{ID: int64(ep.Identity), Labels: ep.Labels},
		Networking: &ciliumv2.EndpointNetworking{
			Addressing: ciliumv2.AddressPairList{{IPV4: pair.IPv4, IPV6: pair.IPv6}},
		},
		Policy: &ciliumv2.EndpointPolicy{
			Ingress: &ciliumv2.EndpointPolicyDirection{Enforcing: ep.IngressEnforced, State: enforcement(ep.IngressEnforced)},
			Egress:  &ciliumv2.EndpointPolicyDirection{Enforcing: ep.EgressEnforced, State: enforcement(ep.EgressEnforced)},
		},
	}
	for _, np := range ep.NamedPorts {
		status.NamedPorts = append(status.NamedPorts, &models.Port{Name: np.Name, Port: np.Port, Protocol: np.Protocol})
	}
	raw, err := json.Marshal(status)
	if err != nil {
		return err
	}
	if p.endpoints[ep.UID] == string(raw) {
		return nil
	}
	controller := true
	want := &ciliumv2.CiliumEndpoint{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: ep.Namespace, Name: ep.Pod,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "v1", Kind: "Pod", Name: ep.Pod, UID: types.UID(ep.UID), Controller: &controller,
			}},
		},
		Status: status,
	}
	client := p.w.cilium.CiliumEndpoints(ep.Namespace)
	_, err = client.Create(ctx, want, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		var patch []byte
		patch, err = json.Marshal(map[string]any{
			"metadata": map[string]any{"ownerReferences": want.OwnerReferences}, "status": status,
		})
		if err != nil {
			return err
		}
		_, err = client.Patch(ctx, ep.Pod, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	if apierrors.IsNotFound(err) {
		err = nil // the namespace is going
	}
	if err == nil {
		p.endpoints[ep.UID] = string(raw)
	}
	return err
}

func enforcement(on bool) ciliumv2.EndpointPolicyState {
	if on {
		return ciliumv2.EndpointPolicyState("enforcing")
	}
	return ciliumv2.EndpointPolicyState("non-enforcing")
}
