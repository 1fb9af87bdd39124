package oncluster

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

var plan = Plan{Namespace: "marks", Name: "netdojo-grade-x", Image: "worker:1", TimeLimit: 3 * time.Minute, Size: 30, Jobs: 4}

// The Job begins a submission anew whose pod or node fails, and no other with it.
func TestJob(t *testing.T) {
	s := plan.job().Spec
	switch {
	case *s.CompletionMode != batchv1.IndexedCompletion || *s.Completions != 30 || *s.Parallelism != 4:
		t.Errorf("it is no Job of a pod for each submission: %+v", s)
	case s.BackoffLimitPerIndex == nil || *s.BackoffLimitPerIndex < 1 || s.MaxFailedIndexes != nil:
		t.Error("a submission is not begun anew, or its failure ends others")
	case s.PodFailurePolicy != nil || *s.PodReplacementPolicy != batchv1.TerminatingOrFailed:
		t.Error("a pod on a node that died is not replaced")
	case s.TTLSecondsAfterFinished == nil || s.Template.Spec.ActiveDeadlineSeconds == nil:
		t.Error("it stays when the grader is killed")
	case *s.Template.Spec.ActiveDeadlineSeconds < 360:
		t.Error("a pod has less time than a submission")
	}
	for _, taint := range []string{corev1.TaintNodeUnreachable, corev1.TaintNodeNotReady} {
		if !slices.ContainsFunc(s.Template.Spec.Tolerations, func(x corev1.Toleration) bool {
			return x.Key == taint && x.Effect == corev1.TaintEffectNoExecute && x.TolerationSeconds != nil && *x.TolerationSeconds <= 30
		}) {
			t.Errorf("a pod stays on a node with %s for the default five minutes", taint)
		}
	}
}

// A worker's pod holds nothing but its image and an empty folder: what it judges comes by
// its standard input.
func TestPodHoldsNothing(t *testing.T) {
	for _, privileged := range []bool{false, true} {
		p := plan
		p.Privileged = privileged
		for _, spec := range []corev1.PodSpec{p.job().Spec.Template.Spec, p.examination().Spec} {
			if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
				t.Error("it has a token for the API")
			}
			if len(spec.Volumes) != 1 || spec.Volumes[0].EmptyDir == nil || spec.HostNetwork || spec.HostPID || spec.HostIPC {
				t.Errorf("it has %+v", spec)
			}
			c := spec.Containers[0]
			if len(spec.Containers) != 1 || len(c.Env)+len(c.EnvFrom) != 0 || *spec.EnableServiceLinks || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("its container is %+v", c)
			}
			if own := spec.HostUsers != nil && !*spec.HostUsers; own == privileged {
				t.Errorf("privileged %v: users of its own %v", privileged, own)
			}
			if is := c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged; is != privileged {
				t.Errorf("privileged is %v, and was asked to be %v", is, privileged)
			}
			if !privileged && (c.SecurityContext.Capabilities != nil || *c.SecurityContext.ProcMount != corev1.UnmaskedProcMount) {
				t.Errorf("its security is %+v", c.SecurityContext)
			}
		}
	}
	wall := plan.wall().Spec
	if len(wall.PolicyTypes) != 2 || len(wall.Ingress)+len(wall.Egress) != 0 || !reflect.DeepEqual(wall.PodSelector.MatchLabels, plan.job().Spec.Template.Labels) {
		t.Errorf("its wall is %+v", wall)
	}
}

// The Role of docs/grading.md is what is done.
func TestRole(t *testing.T) {
	page, err := os.ReadFile("../../../docs/grading.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "kind: Role\n")
	text, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/grading.md has no Role")
	}
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict([]byte("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n"+text), &role); err != nil {
		t.Fatal(err)
	}
	var told, done []string
	for _, r := range role.Rules {
		for _, resource := range r.Resources {
			for _, verb := range r.Verbs {
				told = append(told, r.APIGroups[0]+" "+resource+" "+verb)
			}
		}
	}
	for _, d := range deeds {
		resource := d.Resource
		if d.Subresource != "" {
			resource += "/" + d.Subresource
		}
		done = append(done, d.Group+" "+resource+" "+d.Verb)
	}
	slices.Sort(told)
	slices.Sort(done)
	if !slices.Equal(told, done) {
		a, _ := json.Marshal(told)
		b, _ := json.Marshal(done)
		t.Errorf("the Role allows\n%s\nand done is\n%s", a, b)
	}
}
