package storage

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

const uid = "0b0d6f0e-7d0c-4f0a-9f6e-3d1f2a3b4c5d"

func claim(change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	class := Class
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data", UID: types.UID(uid), Annotations: map[string]string{selectedNode: "node"}},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	if change != nil {
		change(c)
	}
	return c
}

func TestProvision(t *testing.T) {
	other := "other"
	block := corev1.PersistentVolumeBlock
	for name, tc := range map[string]struct {
		claim  *corev1.PersistentVolumeClaim
		volume bool
		fails  bool
	}{
		"of the class":          {claim(nil), true, false},
		"of another class":      {claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = &other }), false, false},
		"without a class":       {claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = nil }), false, false},
		"before it has a node":  {claim(func(c *corev1.PersistentVolumeClaim) { c.Annotations = nil }), false, false},
		"that is bound already": {claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "v" }), false, false},
		"of a block device":     {claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = &block }), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Provisioner{cfg: Config{Client: fake.NewClientset(), Dir: filepath.Join(t.TempDir(), "volumes")}}
			for range 2 { // the second finds it made
				if err := p.provision(t.Context(), tc.claim); (err != nil) != tc.fails {
					t.Fatal(err)
				}
			}
			list, err := p.cfg.Client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
			if err != nil || (len(list.Items) == 1) != tc.volume {
				t.Fatalf("%d volumes, %v", len(list.Items), err)
			}
			if !tc.volume {
				return
			}
			pv := list.Items[0]
			if info, err := os.Stat(pv.Spec.HostPath.Path); err != nil || info.Mode().Perm() != 0o777 {
				t.Errorf("its folder: %v, %v", info, err)
			}
			if size := pv.Spec.Capacity[corev1.ResourceStorage]; size.String() != "1Gi" || pv.Spec.ClaimRef.UID != tc.claim.UID {
				t.Errorf("volume %+v", pv.Spec)
			}
		})
	}
}

// TestReclaim: only a released volume of ours goes, with the folder of its name,
// whatever path it says.
func TestReclaim(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*corev1.PersistentVolume)
		goes   bool
	}{
		"released": {func(*corev1.PersistentVolume) {}, true},
		"bound":    {func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeBound }, false},
		"kept": {func(v *corev1.PersistentVolume) {
			v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
		}, false},
		"others'": {func(v *corev1.PersistentVolume) { v.Annotations = nil }, false},
		"forged":  {func(v *corev1.PersistentVolume) { v.Name = ".." }, false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir, elsewhere := filepath.Join(root, "volumes"), filepath.Join(root, "elsewhere")
			for _, d := range []string{filepath.Join(dir, "pvc-"+uid), elsewhere} {
				if err := os.MkdirAll(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			pv := &corev1.PersistentVolume{
				ObjectMeta: metav1.ObjectMeta{Name: "pvc-" + uid, Annotations: map[string]string{provisionedBy: Driver}},
				Spec: corev1.PersistentVolumeSpec{
					PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
					PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: elsewhere}},
				},
				Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeReleased},
			}
			tc.change(pv)
			p := &Provisioner{cfg: Config{Client: fake.NewClientset(pv), Dir: dir}}
			if err := p.reclaim(t.Context(), pv); err != nil {
				t.Fatal(err)
			}
			_, err := p.cfg.Client.CoreV1().PersistentVolumes().Get(t.Context(), pv.Name, metav1.GetOptions{})
			if _, left := os.Stat(filepath.Join(dir, "pvc-"+uid)); (err != nil) != tc.goes || (left != nil) != tc.goes {
				t.Errorf("the volume: %v; its folder: %v", err, left)
			}
			if _, err := os.Stat(elsewhere); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFollows: the class is the default, and claims are served.
func TestFollows(t *testing.T) {
	client := fake.NewClientset(claim(nil))
	made, err := client.CoreV1().PersistentVolumes().Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(t.Context(), Config{Client: client, Dir: filepath.Join(t.TempDir(), "volumes"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	class, err := client.StorageV1().StorageClasses().Get(t.Context(), Class, metav1.GetOptions{})
	if err != nil || class.Annotations["storageclass.kubernetes.io/is-default-class"] != "true" {
		t.Errorf("class %+v, %v", class, err)
	}
	select {
	case e := <-made.ResultChan():
		if pv, ok := e.Object.(*corev1.PersistentVolume); !ok || pv.Name != "pvc-"+uid {
			t.Errorf("made: %+v", e)
		}
	case <-time.After(time.Minute):
		t.Error("no volume")
	}
}
