package controlplane

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/apis/core"
	podsecurity "k8s.io/pod-security-admission/api"
)

// TestLevelKeeper: what a manifest may not take back in a cluster of baseline.
func TestLevelKeeper(t *testing.T) {
	ns := func(labels ...string) *core.Namespace {
		n := &core.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{}}}
		for i := 0; i < len(labels); i += 2 {
			n.Labels["pod-security.kubernetes.io/"+labels[i]] = labels[i+1]
		}
		return n
	}
	system := &core.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", Labels: ns("enforce", "privileged").Labels}}
	const users = "kubernetes-admin"
	for title, tc := range map[string]struct {
		resource, sub, namespace, user string
		object                         runtime.Object
		denied                         bool
	}{
		"namespace":                         {"namespaces", "", "", users, ns(), false},
		"namespace of the level":            {"namespaces", "", "", users, ns("enforce", "baseline"), false},
		"namespace above":                   {"namespaces", "", "", users, ns("enforce", "restricted", "enforce-version", "latest"), false},
		"namespace below":                   {"namespaces", "", "", users, ns("enforce", "privileged"), true},
		"namespace of an older version":     {"namespaces", "", "", users, ns("enforce", "baseline", "enforce-version", "v1.0"), true},
		"namespace that warns of more":      {"namespaces", "", "", users, ns("warn", "privileged"), false},
		"kube-system itself":                {"namespaces", "", "", users, system, false},
		"pod":                               {"pods", "", "default", users, &core.Pod{}, false},
		"pod in kube-system":                {"pods", "", "kube-system", users, &core.Pod{}, true},
		"pod in kube-system, by an account": {"pods", "", "kube-system", "system:serviceaccount:default:x", &core.Pod{}, true},
		"pod in kube-system, by Kubernetes": {"pods", "", "kube-system", "system:serviceaccount:kube-system:daemon-set-controller", &core.Pod{}, false},
		"mirror pod":                        {"pods", "", "kube-system", "system:node:netdojo", &core.Pod{}, false},
		"pod's status in kube-system":       {"pods", "status", "kube-system", users, &core.Pod{}, false},
		"ephemeral container":               {"pods", "ephemeralcontainers", "kube-system", users, &core.Pod{}, true},
		"DaemonSet in kube-system":          {"daemonsets.apps", "", "kube-system", users, &core.Pod{}, true},
		"Job in kube-system":                {"jobs.batch", "", "kube-system", users, &core.Pod{}, true},
		"DaemonSet of netdojo's":            {"daemonsets.apps", "", "kube-system", daemonUser, &core.Pod{}, false},
		"configuration of cluster DNS":      {"configmaps", "", "kube-system", users, &core.ConfigMap{}, false},
	} {
		k := levelKeeper{admission.NewHandler(admission.Create), podsecurity.LevelBaseline}
		group := schema.ParseGroupResource(tc.resource)
		err := k.Validate(t.Context(), admission.NewAttributesRecord(tc.object, nil, schema.GroupVersionKind{}, tc.namespace, "x",
			group.WithVersion("v1"), tc.sub, admission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: tc.user}), nil)
		if (err != nil) != tc.denied {
			t.Errorf("%s: %v", title, err)
		}
	}
}

// TestLimitPods: which options the API server is given.
func TestLimitPods(t *testing.T) {
	for level, strict := range map[podsecurity.Level]bool{"": false, podsecurity.LevelPrivileged: false, podsecurity.LevelBaseline: true, podsecurity.LevelRestricted: true} {
		c := &ControlPlane{cfg: Config{Dir: t.TempDir(), PodSecurity: level}}
		o := options.NewServerRunOptions()
		if err := c.limitPods(o); err != nil {
			t.Fatal(err)
		}
		a := o.Admission.GenericAdmission
		if slices.Contains(a.EnablePlugins, "DenyServiceExternalIPs") != strict || slices.Contains(a.EnablePlugins, levelPlugin) != strict || (a.ConfigFile != "") != strict {
			t.Errorf("%s: plugins %v, file %q", level, a.EnablePlugins, a.ConfigFile)
		}
		if !strict {
			continue
		}
		text, err := os.ReadFile(a.ConfigFile)
		if err != nil || !json.Valid(text) || !strings.Contains(string(text), `"enforce":"`+string(level)+`"`) {
			t.Errorf("%s: %s, %v", level, text, err)
		}
	}
}
