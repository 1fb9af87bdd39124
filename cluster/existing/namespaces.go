package existing

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/netdojo/netdojo/cluster"
)

// ownerLabel is on the namespaces that netdojo made, with the name that it has for
// the cluster.
const ownerLabel = "netdojo.dev/cluster"

// Settle implements cluster.Guest.
func (h *handle) Settle(ctx context.Context, lab string) (string, error) {
	name := "netdojo-" + lab
	namespaces := h.Client.CoreV1().Namespaces()
	made, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{ownerLabel: h.record.Name},
	}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		made, err = namespaces.Get(ctx, name, metav1.GetOptions{})
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("make the namespace %s: %w", name, err)
	case made.Labels[ownerLabel] != h.record.Name:
		return "", &cluster.Problem{
			What: fmt.Sprintf("the namespace %s of cluster %s is somebody else's: it has no label %s=%s", name, h.record.Name, ownerLabel, h.record.Name),
			Fix:  "remove it, if nobody needs it: kubectl delete namespace " + name,
		}
	case made.DeletionTimestamp != nil:
		if err := h.gone(ctx, name); err != nil {
			return "", err
		}
		return h.Settle(ctx, lab)
	}
	return name, nil
}

// goneTimeout bounds the wait for the end of a namespace, whose pods may take the
// time that they have to end.
const (
	goneTimeout = 90 * time.Second
	gonePause   = 200 * time.Millisecond
)

// removeNamespaces removes those that netdojo made, and waits until they are gone.
func (h *handle) removeNamespaces(ctx context.Context, detail func(string)) error {
	namespaces := h.Client.CoreV1().Namespaces()
	list, err := namespaces.List(ctx, metav1.ListOptions{LabelSelector: ownerLabel + "=" + h.record.Name})
	if err != nil {
		return fmt.Errorf("list netdojo's namespaces: %w", err)
	}
	for _, ns := range list.Items {
		if err := namespaces.Delete(ctx, ns.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete the namespace %s: %w", ns.Name, err)
		}
	}
	var errs []error
	for _, ns := range list.Items {
		detail("waiting for the end of the namespace " + ns.Name)
		errs = append(errs, h.gone(ctx, ns.Name))
	}
	return errors.Join(errs...)
}

func (h *handle) gone(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	holds := ""
	err := wait.PollUntilContextCancel(ctx, gonePause, true, func(ctx context.Context) (bool, error) {
		ns, err := h.Client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if err == nil && len(ns.Status.Conditions) > 0 {
			holds = ns.Status.Conditions[len(ns.Status.Conditions)-1].Message
		}
		return apierrors.IsNotFound(err), nil
	})
	if err == nil {
		return nil
	}
	if holds != "" {
		err = errors.New(holds)
	}
	return &cluster.Problem{
		What: "the namespace " + name + " does not end", Err: err,
		Fix: "see what holds it: kubectl describe namespace " + name,
	}
}
