package existing

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/netdojo/netdojo/cluster"
)

// Where kubeadm, and with it kind, has the configuration of cluster DNS.
const (
	dnsName = "coredns"
	dnsFile = "Corefile"
)

// change is the part of cluster DNS's configuration that netdojo replaced.
type change struct {
	Was string `json:"was"`
	Now string `json:"now"`
}

// forwarding is how CoreDNS says whom it asks about names outside the cluster: a
// line, which may open a block.
var forwarding = regexp.MustCompile(`(?m)^[ \t]*forward[ \t]+\.[^\n{]*(\{[^}]*\})?[ \t]*$`)

// redirect is what has to be replaced in a Corefile for it to ask server about all
// names outside the cluster.
func redirect(corefile string, server netip.Addr) (change, error) {
	found := forwarding.FindAllString(corefile, -1)
	if len(found) != 1 {
		return change{}, fmt.Errorf("it forwards names outside the cluster in %d places, and netdojo changes one", len(found))
	}
	indent := found[0][:len(found[0])-len(strings.TrimLeft(found[0], " \t"))]
	return change{Was: found[0], Now: indent + "forward . " + server.String() + " # netdojo"}, nil
}

// askWorld has cluster DNS ask the world for what is not the cluster's, and notes
// what it changes before it does.
func (h *handle) askWorld(ctx context.Context, p *Provider, world netip.Addr) error {
	fail := func(err error) error {
		return &cluster.Problem{What: "have cluster DNS ask the simulated world", Err: err, Fix: "use --world internet, which changes nothing"}
	}
	maps := h.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	config, err := maps.Get(ctx, dnsName, metav1.GetOptions{})
	if err != nil {
		return fail(err)
	}
	c, err := redirect(config.Data[dnsFile], world)
	if err != nil {
		return fail(err)
	}
	h.DNS = &c
	if err := p.write(h.record); err != nil {
		return err
	}
	config.Data[dnsFile] = strings.Replace(config.Data[dnsFile], c.Was, c.Now, 1)
	if _, err := maps.Update(ctx, config, metav1.UpdateOptions{}); err != nil {
		return fail(err)
	}
	if err := h.restartDNS(ctx); err != nil {
		return fail(err)
	}
	return nil
}

// giveDNSBack puts back what askWorld changed, unless somebody changed it since.
func (h *handle) giveDNSBack(ctx context.Context, detail func(string)) error {
	if h.DNS == nil {
		return nil
	}
	detail("giving cluster DNS its configuration back")
	maps := h.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	config, err := maps.Get(ctx, dnsName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("give cluster DNS its configuration back: %w", err)
	}
	if !strings.Contains(config.Data[dnsFile], h.DNS.Now) {
		return nil
	}
	config.Data[dnsFile] = strings.Replace(config.Data[dnsFile], h.DNS.Now, h.DNS.Was, 1)
	if _, err := maps.Update(ctx, config, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("give cluster DNS its configuration back: %w", err)
	}
	return h.restartDNS(ctx)
}

// restartDNS does what `kubectl rollout restart` does: CoreDNS would see its new
// configuration a minute later, and keeps old answers.
func (h *handle) restartDNS(ctx context.Context) error {
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339Nano))
	deployments := h.Client.AppsV1().Deployments(metav1.NamespaceSystem)
	if _, err := deployments.Patch(ctx, dnsName, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("restart cluster DNS: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, readyPause, true, func(ctx context.Context) (bool, error) {
		d, err := deployments.Get(ctx, dnsName, metav1.GetOptions{})
		if err != nil {
			return false, nil
		}
		want := int32(1)
		if d.Spec.Replicas != nil {
			want = *d.Spec.Replicas
		}
		// Those before are gone as well, so that none of them answers.
		s := d.Status
		return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == want && s.ReadyReplicas == want && s.Replicas == want, nil
	})
	if err != nil {
		return fmt.Errorf("wait for cluster DNS after its restart: %w", err)
	}
	return nil
}
