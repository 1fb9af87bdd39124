package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
	"k8s.io/component-base/configz"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/config"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
)

// controllers are the ones that labs need. Two are missing on purpose. The node
// lifecycle controller: all nodes end with this process, and after a laptop's
// sleep it would evict everything. The attach-detach controller: it and the
// kubelet share variables of the CSI volume plugin, and the one that starts last
// takes the node's name from the other; the kubelet attaches volumes itself.
var controllers = []string{
	names.ServiceAccountTokenController,
	names.EndpointsController,
	names.EndpointSliceController,
	names.EndpointSliceMirroringController,
	names.ReplicationControllerController,
	names.PodGarbageCollectorController,
	names.ResourceQuotaController,
	names.NamespaceController,
	names.ServiceAccountController,
	names.GarbageCollectorController,
	names.DaemonSetController,
	names.JobController,
	names.DeploymentController,
	names.ReplicaSetController,
	names.HorizontalPodAutoscalerController,
	names.DisruptionController,
	names.StatefulSetController,
	names.CronJobController,
	names.CertificateSigningRequestSigningController,
	names.CertificateSigningRequestApprovingController,
	names.TaintEvictionController,
	names.PersistentVolumeBinderController,
	names.PersistentVolumeClaimProtectionController,
	names.PersistentVolumeProtectionController,
	names.ClusterRoleAggregationController,
	names.TTLAfterFinishedController,
	names.RootCACertificatePublisherController,
}

// runControllers runs the controller manager until ctx ends. ready is called
// when it has found the API healthy and starts its controllers, perhaps twice.
func (c *ControlPlane) runControllers(ctx context.Context, ready func()) error {
	o, err := options.NewKubeControllerManagerOptions()
	if err != nil {
		return fmt.Errorf("make options: %w", err)
	}
	o.Generic.Controllers = controllers
	o.Generic.LeaderElection.LeaderElect = false
	o.Generic.Debugging.EnableProfiling = false
	o.SecureServing.BindPort = 0
	o.KubeCloudShared.UseServiceAccountCredentials = false
	o.KubeCloudShared.AllocateNodeCIDRs = false
	o.KubeCloudShared.ClusterCIDR = strings.Join(ranges(c.cfg.PodCIDR), ",")
	o.SAController.ServiceAccountKeyFile = c.pki.key(keyServiceAccount)
	o.SAController.RootCAFile = c.pki.cert(certCA)
	o.CSRSigningController.ClusterSigningCertFile = c.pki.cert(certCA)
	o.CSRSigningController.ClusterSigningKeyFile = c.pki.key(certCA)
	// Half a second is where a batch of endpoint changes is worth the wait on a
	// big cluster; here a Service has to follow its pods at once.
	o.EndpointSliceController.EndpointUpdatesBatchPeriod.Duration = 0
	o.EndpointController.EndpointUpdatesBatchPeriod.Duration = 0

	disabled := app.ControllersDisabledByDefault()
	if err := o.Validate(app.KnownControllers(), disabled, app.ControllerAliases()); err != nil {
		return fmt.Errorf("validate options: %w", err)
	}
	rc := c.restConfig(certControllerManager)
	rc.Wrap(func(next http.RoundTripper) http.RoundTripper { return &healthz{next: next, healthy: ready} })
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	cfg := &config.Config{
		Client:                    client,
		Kubeconfig:                rc,
		EventBroadcaster:          broadcaster,
		EventRecorder:             broadcaster.NewRecorder(clientscheme.Scheme, corev1.EventSource{Component: "kube-controller-manager"}),
		ControllerShutdownTimeout: o.ControllerShutdownTimeout,
		ComponentGlobalsRegistry:  o.ComponentGlobalsRegistry,
	}
	if err := o.ApplyTo(cfg, app.KnownControllers(), disabled, app.ControllerAliases()); err != nil {
		return fmt.Errorf("apply options: %w", err)
	}
	configz.Delete(app.ConfigzName)
	return app.Run(ctx, cfg.Complete())
}
