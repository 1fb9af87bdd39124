package controlplane

import (
	"context"
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
)

// runScheduler schedules pods until ctx ends. It is put together without the
// options of its command, which would install signal handlers and a server.
func (c *ControlPlane) runScheduler(ctx context.Context, ready func()) error {
	rc := c.restConfig(certScheduler)
	client, err := kubernetes.NewForConfig(rest.AddUserAgent(rc, "scheduler"))
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	jsonRC := rest.CopyConfig(rc)
	jsonRC.ContentConfig = rest.ContentConfig{}
	dyn, err := dynamic.NewForConfig(jsonRC)
	if err != nil {
		return fmt.Errorf("make dynamic client: %w", err)
	}
	cfg, err := latest.Default()
	if err != nil {
		return fmt.Errorf("make configuration: %w", err)
	}
	broadcaster := events.NewEventBroadcasterAdapterWithContext(ctx, client)
	informers := scheduler.NewInformerFactory(client, 0)
	dynInformers := dynamicinformer.NewDynamicSharedInformerFactory(dyn, 0)
	s, err := scheduler.New(ctx, client, informers, dynInformers,
		func(name string) events.EventRecorderLogger { return broadcaster.NewRecorder(name) },
		scheduler.WithComponentConfigVersion(cfg.APIVersion),
		scheduler.WithKubeConfig(rc),
		scheduler.WithProfiles(cfg.Profiles...),
		scheduler.WithPercentageOfNodesToScore(cfg.PercentageOfNodesToScore),
		scheduler.WithPodMaxBackoffSeconds(cfg.PodMaxBackoffSeconds),
		scheduler.WithPodInitialBackoffSeconds(cfg.PodInitialBackoffSeconds),
		scheduler.WithParallelism(1),
	)
	if err != nil {
		return fmt.Errorf("assemble: %w", err)
	}
	broadcaster.StartRecordingToSink(ctx.Done())
	defer broadcaster.Shutdown()
	informers.Start(ctx.Done())
	dynInformers.Start(ctx.Done())
	defer informers.Shutdown()
	defer dynInformers.Shutdown()
	informers.WaitForCacheSync(ctx.Done())
	dynInformers.WaitForCacheSync(ctx.Done())
	if err := s.WaitForHandlersSync(ctx); err != nil {
		return fmt.Errorf("wait for caches: %w", err)
	}
	ready()
	s.Run(ctx)
	return ctx.Err()
}
