package manifests

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func parsed(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = u.UnmarshalJSON(raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestReady(t *testing.T) {
	tests := []struct {
		name, text string
		ready      bool
		state      string
	}{
		{"deployment, all there", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, generation: 2}\nspec: {replicas: 2}\nstatus: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2}", true, ""},
		{"deployment, not seen", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, generation: 2}\nstatus: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1}", false, "has not seen"},
		{"deployment, being replaced", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: 1}\nstatus: {replicas: 2, updatedReplicas: 1, availableReplicas: 2}", false, "1 old replicas"},
		{"deployment, none up to date", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nstatus: {replicas: 1, availableReplicas: 1}", false, "0 of 1 replicas are up to date"},
		{"deployment of none", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: 0}\nstatus: {}", true, ""},
		{"replica set", "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: x}\nstatus: {availableReplicas: 0}", false, "0 of 1"},
		{"daemon set", "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: x}\nstatus: {desiredNumberScheduled: 2, updatedNumberScheduled: 1, numberAvailable: 2}", false, "1 of 2 pods"},
		{"pod", "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nstatus: {conditions: [{type: Ready, status: 'True'}]}", true, ""},
		{"pod that is done", "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nstatus: {phase: Succeeded}", true, ""},
		{"pod not ready", "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nstatus: {conditions: [{type: Ready, status: 'False', reason: ContainersNotReady}]}", false, "ContainersNotReady"},
		{"pod being deleted", "apiVersion: v1\nkind: Pod\nmetadata: {name: x, deletionTimestamp: '2026-01-01T00:00:00Z'}\nstatus: {conditions: [{type: Ready, status: 'True'}]}", false, "being deleted"},
		{"job", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nstatus: {}", false, "Complete is not set"},
		{"namespace", "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\nstatus: {phase: Terminating}", false, "Terminating"},
		{"CRD", "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x}\nstatus: {conditions: [{type: Established, status: 'True'}]}", true, ""},
		{"anything else", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}", true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ready, state := Ready(parsed(t, tt.text))
			if ready != tt.ready || !ready && !strings.Contains(state, tt.state) {
				t.Errorf("got %v, %q; want %v, %q", ready, state, tt.ready, tt.state)
			}
		})
	}
	if ready, state := Ready(nil); ready || state == "" {
		t.Error("what does not exist is ready")
	}
}

func TestDiagnosePod(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: default}\nstatus: "
	waiting := func(reason string) string {
		return pod + "{containerStatuses: [{image: 'a:1', state: {waiting: {reason: " + reason + ", message: 'the reason'}}}]}"
	}
	tests := []struct {
		name, text, reason, advice string
		hopeless, found            bool
	}{
		{"image", waiting("ImagePullBackOff"), "ImagePullBackOff: the reason", "docker save a:1", true, true},
		{"first pull failed", waiting("ErrImagePull"), "ErrImagePull", "docker save a:1", true, true},
		{"message with a cure", strings.Replace(waiting("ErrImagePull"), "the reason", "no such image. Cure: load it", 1), "no such image.", "load it", true, true},
		{"crash", waiting("CrashLoopBackOff"), "CrashLoopBackOff", "logs --previous x", true, true},
		{"configuration", waiting("CreateContainerConfigError"), "CreateContainerConfigError", "describe", true, true},
		{"starting", waiting("ContainerCreating"), "", "", false, true},
		{"not scheduled", pod + "{conditions: [{type: PodScheduled, status: 'False', message: 'no node'}]}", "not scheduled", "describe node", false, true},
		{"ready", pod + "{conditions: [{type: Ready, status: 'True'}]}", "", "", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, found := diagnosePod(parsed(t, tt.text))
			if found != tt.found || d.Hopeless != tt.hopeless || !strings.Contains(d.Reason, tt.reason) || !strings.Contains(d.Advice, tt.advice) {
				t.Errorf("got %+v, %v", d, found)
			}
		})
	}
}
