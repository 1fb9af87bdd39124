package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/apis/core"
	admissionapi "k8s.io/pod-security-admission/admission/api/v1"
	podsecurity "k8s.io/pod-security-admission/api"
)

// levelPlugin is the name of the admission plugin that keeps what PodSecurity
// leaves to namespaces.
const levelPlugin = "PodSecurityLevel"

// limitPods has the API refuse pods beyond the cluster's pod security level, by
// Kubernetes' own admission. What Kubernetes lets a namespace's author decide is
// decided here: a manifest that brings a namespace labelled privileged, or puts
// its pods into kube-system, which is exempt, would take back all of it.
//
// Services with external addresses are denied too (CVE-2020-8554): whoever may
// make a Service could take the traffic of all pods to any address.
func (c *ControlPlane) limitPods(o *options.ServerRunOptions) error {
	level := c.cfg.PodSecurity
	if level == "" || level == podsecurity.LevelPrivileged {
		return nil
	}
	rules := admissionapi.PodSecurityConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionapi.SchemeGroupVersion.String(), Kind: "PodSecurityConfiguration"},
		Defaults:   admissionapi.PodSecurityDefaults{Enforce: string(level), Audit: string(level), Warn: string(level)},
		Exemptions: admissionapi.PodSecurityExemptions{Namespaces: []string{metav1.NamespaceSystem}},
	}
	text, err := json.Marshal(rules)
	if err != nil {
		return fmt.Errorf("write the pod security level: %w", err)
	}
	config := map[string]any{
		"apiVersion": apiserverv1.SchemeGroupVersion.String(), "kind": "AdmissionConfiguration",
		"plugins": []any{map[string]any{"name": "PodSecurity", "configuration": json.RawMessage(text)}},
	}
	if text, err = json.Marshal(config); err != nil {
		return fmt.Errorf("write the pod security level: %w", err)
	}
	file := filepath.Join(c.cfg.Dir, "admission.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("write the pod security level: %w", err)
	}
	a := o.Admission.GenericAdmission
	a.ConfigFile = file
	a.EnablePlugins = append(slices.Clone(a.EnablePlugins), "DenyServiceExternalIPs", levelPlugin)
	a.Plugins.Register(levelPlugin, func(io.Reader) (admission.Interface, error) {
		return &levelKeeper{Handler: admission.NewHandler(admission.Create, admission.Update), level: level}, nil
	})
	a.RecommendedPluginOrder = append(slices.Clone(a.RecommendedPluginOrder), levelPlugin)
	return nil
}

// levelKeeper is the plugin levelPlugin.
type levelKeeper struct {
	*admission.Handler
	level podsecurity.Level
}

var _ admission.ValidationInterface = (*levelKeeper)(nil)

// Validate implements admission.ValidationInterface.
func (k *levelKeeper) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetResource().GroupResource() == core.Resource("namespaces") {
		if ns, ok := a.GetObject().(*core.Namespace); ok && ns.Name != metav1.NamespaceSystem {
			return k.namespace(a, ns)
		}
		return nil
	}
	if a.GetNamespace() == metav1.NamespaceSystem && runsPods(a) && !mayRunSystemPods(a.GetUserInfo().GetName()) {
		return admission.NewForbidden(a, fmt.Errorf("pods in %s are netdojo's alone in a cluster of `netdojo up --pod-security %s`", metav1.NamespaceSystem, k.level))
	}
	return nil
}

// namespace refuses a label that allows more than the cluster does.
func (k *levelKeeper) namespace(a admission.Attributes, ns *core.Namespace) error {
	label, ok := ns.Labels[podsecurity.EnforceLevelLabel]
	if !ok {
		return nil
	}
	level, err := podsecurity.ParseLevel(label)
	if err != nil {
		return nil // PodSecurity refuses it, and says what there is
	}
	if podsecurity.CompareLevels(level, k.level) < 0 {
		return admission.NewForbidden(a, fmt.Errorf("label %s=%s allows more than the cluster does, which was made by `netdojo up --pod-security %s`",
			podsecurity.EnforceLevelLabel, label, k.level))
	}
	if v := ns.Labels[podsecurity.EnforceVersionLabel]; v != "" && v != podsecurity.VersionLatest {
		return admission.NewForbidden(a, errors.New("label "+podsecurity.EnforceVersionLabel+" has to be latest, for older versions allow more"))
	}
	return nil
}

// podResources are what pods come from.
var podResources = []string{
	"pods", "pods/ephemeralcontainers", "podtemplates", "replicationcontrollers",
	"daemonsets.apps", "deployments.apps", "replicasets.apps", "statefulsets.apps",
	"jobs.batch", "cronjobs.batch",
}

func runsPods(a admission.Attributes) bool {
	name := a.GetResource().Resource
	if a.GetSubresource() != "" {
		name += "/" + a.GetSubresource()
	}
	if group := a.GetResource().Group; group != "" {
		name += "." + group
	}
	return slices.Contains(podResources, name)
}

// mayRunSystemPods tells Kubernetes' own parts and netdojo's daemon from users.
func mayRunSystemPods(user string) bool {
	for _, prefix := range []string{"system:serviceaccount:" + metav1.NamespaceSystem + ":", "system:node:"} {
		if strings.HasPrefix(user, prefix) {
			return true
		}
	}
	return slices.Contains([]string{daemonUser, "system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"}, user)
}
