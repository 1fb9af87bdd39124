// Package storage gives claims a volume: a folder on the node's disk, as kind's and
// minikube's default class does. Courses make claims without naming a class.
package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	// Class is the default StorageClass, by kind's name for its own.
	Class = "standard"
	// Driver is the class's provisioner.
	Driver = "netdojo.dev/folder"

	// What the scheduler and the binder of volumes write and read.
	selectedNode  = "volume.kubernetes.io/selected-node"
	provisionedBy = "pv.kubernetes.io/provisioned-by"
)

// Config is what a Provisioner needs.
type Config struct {
	Client kubernetes.Interface
	Dir    string // where volumes lie; made when the first is
	Logger *slog.Logger
}

// Provisioner makes and removes volumes until Close.
type Provisioner struct {
	cfg    Config
	cancel context.CancelFunc
	wg     sync.WaitGroup
	queue  workqueue.TypedRateLimitingInterface[string]

	claims  cache.Indexer
	volumes cache.Indexer
}

// Start brings the class and begins to follow claims and volumes. It does not wait for
// them; the context bounds only the start.
func Start(ctx context.Context, cfg Config) (*Provisioner, error) {
	if err := bringClass(ctx, cfg.Client); err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	factory := informers.NewSharedInformerFactory(cfg.Client, 0)
	p := &Provisioner{cfg: cfg, cancel: cancel, queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())}
	claims, volumes := factory.Core().V1().PersistentVolumeClaims().Informer(), factory.Core().V1().PersistentVolumes().Informer()
	p.claims, p.volumes = claims.GetIndexer(), volumes.GetIndexer()
	for _, one := range []cache.SharedIndexInformer{claims, volumes} {
		if _, err := one.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    p.look,
			UpdateFunc: func(_, o any) { p.look(o) },
		}); err != nil {
			cancel()
			return nil, fmt.Errorf("follow claims: %w", err)
		}
	}
	factory.Start(run.Done())
	p.wg.Go(func() {
		if !cache.WaitForCacheSync(run.Done(), claims.HasSynced, volumes.HasSynced) {
			return
		}
		for p.next(run) {
		}
	})
	p.wg.Go(func() {
		<-run.Done()
		p.queue.ShutDown()
		factory.Shutdown()
	})
	return p, nil
}

// Close stops. Volumes stay: their claims come back with the cluster.
func (p *Provisioner) Close() error {
	p.cancel()
	p.wg.Wait()
	return nil
}

func bringClass(ctx context.Context, client kubernetes.Interface) error {
	wait, remove := storagev1.VolumeBindingWaitForFirstConsumer, corev1.PersistentVolumeReclaimDelete
	_, err := client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: Class, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner: Driver, VolumeBindingMode: &wait, ReclaimPolicy: &remove,
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the default StorageClass: %w", err)
	}
	return nil
}

// look queues what may be to do. A claim has its namespace before its name, a volume
// none.
func (p *Provisioner) look(o any) {
	if key, err := cache.MetaNamespaceKeyFunc(o); err == nil {
		p.queue.Add(key)
	}
}

// next works on one object; false when the queue is shut down.
func (p *Provisioner) next(ctx context.Context) bool {
	key, down := p.queue.Get()
	if down {
		return false
	}
	defer p.queue.Done(key)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := p.settle(ctx, key); err != nil && !errors.Is(err, context.Canceled) {
		p.cfg.Logger.Warn("a volume is not as its claim wants it", "of", key, "error", err)
		p.queue.AddRateLimited(key)
		return true
	}
	p.queue.Forget(key)
	return true
}

func (p *Provisioner) settle(ctx context.Context, key string) error {
	if o, ok, err := p.claims.GetByKey(key); err == nil && ok {
		return p.provision(ctx, o.(*corev1.PersistentVolumeClaim))
	}
	if o, ok, err := p.volumes.GetByKey(key); err == nil && ok {
		return p.reclaim(ctx, o.(*corev1.PersistentVolume))
	}
	return nil
}

// provision makes the volume of a claim of the class, once a pod that uses it has its
// node.
func (p *Provisioner) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.Spec.StorageClassName == nil || *claim.Spec.StorageClassName != Class || claim.Spec.VolumeName != "" ||
		claim.Annotations[selectedNode] == "" || claim.DeletionTimestamp != nil {
		return nil
	}
	if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		return errors.New("a folder is no block device: claim volumeMode Filesystem")
	}
	name := "pvc-" + string(claim.UID)
	dir := filepath.Join(p.cfg.Dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the volume's folder: %w", err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // whoever the pod's user is
		return fmt.Errorf("open the volume's folder: %w", err)
	}
	directory := corev1.HostPathDirectory
	_, err := p.cfg.Client.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: Driver}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes: claim.Spec.AccessModes,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: dir, Type: &directory},
			},
			ClaimRef: &corev1.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			StorageClassName: Class, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
		},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the volume: %w", err)
	}
	return nil
}

// ours are the names that provision gives. The folder is found by the name alone: what
// path a volume says is its author's word.
var ours = regexp.MustCompile(`^pvc-[0-9a-f-]{36}$`)

// reclaim removes a volume whose claim is gone, where it is to be deleted then.
func (p *Provisioner) reclaim(ctx context.Context, pv *corev1.PersistentVolume) error {
	if pv.Annotations[provisionedBy] != Driver || !ours.MatchString(pv.Name) || pv.Status.Phase != corev1.VolumeReleased ||
		pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(p.cfg.Dir, pv.Name)); err != nil {
		return fmt.Errorf("remove the volume's folder: %w", err)
	}
	if err := p.cfg.Client.CoreV1().PersistentVolumes().Delete(ctx, pv.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the volume: %w", err)
	}
	return nil
}
