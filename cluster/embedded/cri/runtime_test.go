//go:build linux

package cri

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestEvents(t *testing.T) {
	n := startNode(t)
	stream, err := n.GetContainerEvents(t.Context(), &runtimeapi.GetEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil { // subscribed from here on
		t.Fatal(err)
	}
	podID, pod := n.pod("web", nil)
	id := n.run(podID, pod, "main", []string{"sh", "-c", "exit 4"}, nil)
	n.ended(id)
	if _, err := n.RemoveContainer(t.Context(), &runtimeapi.RemoveContainerRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: podID}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: podID}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		id    string
		kind  runtimeapi.ContainerEventType
		check func(*runtimeapi.ContainerEventResponse) bool
	}{
		{podID, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT, nil},
		{podID, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT, func(e *runtimeapi.ContainerEventResponse) bool {
			return e.PodSandboxStatus.State == runtimeapi.PodSandboxState_SANDBOX_READY && e.PodSandboxStatus.Network.Ip != ""
		}},
		{id, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT, nil},
		{id, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT, func(e *runtimeapi.ContainerEventResponse) bool {
			return e.ContainersStatuses[0].State == runtimeapi.ContainerState_CONTAINER_RUNNING
		}},
		{id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT, func(e *runtimeapi.ContainerEventResponse) bool {
			return e.ContainersStatuses[0].ExitCode == 4
		}},
		{id, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT, func(e *runtimeapi.ContainerEventResponse) bool {
			return len(e.ContainersStatuses) == 0
		}},
		{podID, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT, func(e *runtimeapi.ContainerEventResponse) bool {
			return e.PodSandboxStatus.State == runtimeapi.PodSandboxState_SANDBOX_NOTREADY
		}},
		{podID, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT, nil},
	} {
		e, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if e.ContainerId != want.id || e.ContainerEventType != want.kind || e.PodSandboxStatus.Metadata.Uid != "uid-web" || want.check != nil && !want.check(e) {
			t.Errorf("event %d: %v, want %s of %s", i, e, want.kind, want.id)
		}
	}
}

func TestRepeatedAndLateCalls(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("web", nil)
	id := n.run(podID, pod, "main", []string{"sleep", "1000"}, nil)
	created, err := n.create(podID, pod, "never", []string{"sleep", "1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: id}); err == nil {
		t.Error("a running container can be started")
	}
	for range 2 {
		if _, err := n.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id}); err != nil {
			t.Error(err)
		}
		if _, err := n.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: podID}); err != nil {
			t.Error(err)
		}
	}
	if st := n.state(id); st.ExitCode != 137 {
		t.Errorf("a killed container: %v", st)
	}
	if _, err := n.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: created}); err == nil {
		t.Error("a container can be started in a sandbox that was stopped")
	}
	if _, err := n.create(podID, pod, "late", []string{"sleep", "1"}, nil); err == nil {
		t.Error("a container can be created in a sandbox that was stopped")
	}
	for range 2 {
		if _, err := n.RemoveContainer(t.Context(), &runtimeapi.RemoveContainerRequest{ContainerId: id}); err != nil {
			t.Error(err)
		}
		if _, err := n.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: podID}); err != nil {
			t.Error(err)
		}
	}
	_, err = n.ContainerStatus(t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: created})
	if status.Code(err) != codes.NotFound {
		t.Errorf("a container of a removed sandbox: %v", err)
	}
	_, err = n.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: podID})
	if status.Code(err) != codes.NotFound {
		t.Errorf("a removed sandbox: %v", err)
	}
}

func TestFailedAttachLeavesNothing(t *testing.T) {
	n := startNode(t)
	n.net.mu.Lock()
	n.net.fail = errors.New("no address left")
	n.net.mu.Unlock()
	_, err := n.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{Name: "x", Namespace: "y", Uid: "z"}}})
	if err == nil || !strings.Contains(err.Error(), "no address left") {
		t.Errorf("run: %v", err)
	}
	list, err := n.ListPodSandbox(t.Context(), &runtimeapi.ListPodSandboxRequest{})
	if err != nil || len(list.Items) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
	entries, err := os.ReadDir(filepath.Join(n.dir, "state", "sandboxes"))
	if err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestLists(t *testing.T) {
	n := startNode(t)
	a, podA := n.pod("a", nil)
	b, _ := n.pod("b", nil)
	id := n.run(a, podA, "main", []string{"sleep", "1000"}, nil)
	if _, err := n.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: b}); err != nil {
		t.Fatal(err)
	}
	ready := &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_READY}
	for title, tc := range map[string]struct {
		filter *runtimeapi.PodSandboxFilter
		want   int
	}{
		"all":          {nil, 2},
		"ready":        {&runtimeapi.PodSandboxFilter{State: ready}, 1},
		"by id":        {&runtimeapi.PodSandboxFilter{Id: b}, 1},
		"by label":     {&runtimeapi.PodSandboxFilter{LabelSelector: map[string]string{"app": "a"}}, 1},
		"contradicted": {&runtimeapi.PodSandboxFilter{State: ready, Id: b}, 0},
	} {
		resp, err := n.ListPodSandbox(t.Context(), &runtimeapi.ListPodSandboxRequest{Filter: tc.filter})
		if err != nil || len(resp.Items) != tc.want {
			t.Errorf("sandboxes, %s: %v, %v", title, resp, err)
		}
	}
	exited := &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_EXITED}
	for title, tc := range map[string]struct {
		filter *runtimeapi.ContainerFilter
		want   int
	}{
		"all":        {nil, 1},
		"of pod":     {&runtimeapi.ContainerFilter{PodSandboxId: a}, 1},
		"of another": {&runtimeapi.ContainerFilter{PodSandboxId: b}, 0},
		"exited":     {&runtimeapi.ContainerFilter{State: exited}, 0},
		"by label":   {&runtimeapi.ContainerFilter{LabelSelector: map[string]string{"c": "main"}}, 1},
	} {
		resp, err := n.ListContainers(t.Context(), &runtimeapi.ListContainersRequest{Filter: tc.filter})
		if err != nil || len(resp.Containers) != tc.want || tc.want == 1 && resp.Containers[0].Id != id {
			t.Errorf("containers, %s: %v, %v", title, resp, err)
		}
	}
}

func TestStats(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("web", nil)
	id := n.run(podID, pod, "main", []string{"sh", "-c", "head -c 1000000 /dev/zero > /file; while :; do :; done"}, nil)
	n.eventually("work to be measured", func() bool {
		resp, err := n.ContainerStats(t.Context(), &runtimeapi.ContainerStatsRequest{ContainerId: id})
		if err != nil {
			t.Fatal(err)
		}
		s := resp.Stats
		return s.Cpu.UsageCoreNanoSeconds.Value > uint64(50*time.Millisecond) && s.Memory.RssBytes.Value > 100_000 && s.WritableLayer.UsedBytes.Value > 1_000_000
	})
	pods, err := n.ListPodSandboxStats(t.Context(), &runtimeapi.ListPodSandboxStatsRequest{})
	if err != nil || len(pods.Stats) != 1 {
		t.Fatalf("%v, %v", pods, err)
	}
	lin := pods.Stats[0].Linux
	if lin.Process.ProcessCount.Value != 1 || len(lin.Containers) != 1 || lin.Cpu.UsageCoreNanoSeconds.Value == 0 {
		t.Errorf("pod: %v", lin)
	}
	fs, err := n.images.ImageFsInfo(t.Context(), &runtimeapi.ImageFsInfoRequest{})
	if err != nil || len(fs.ImageFilesystems) != 1 || fs.ImageFilesystems[0].InodesUsed.Value == 0 {
		t.Errorf("image file system: %v, %v", fs, err)
	}
}

func TestReopenLog(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("web", nil)
	id := n.run(podID, pod, "main", []string{"sh", "-c", "while :; do echo tick; sleep 0.01; done"}, nil)
	path := n.state(id).LogPath
	n.eventually("output", func() bool { return strings.Contains(n.logs(id), "tick") })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.ReopenContainerLog(t.Context(), &runtimeapi.ReopenContainerLogRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	n.eventually("output in the new log", func() bool { return strings.Contains(n.logs(id), "tick") })
}

func TestStopSignal(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("web", nil)
	script := []string{"sh", "-c", "trap 'exit 21' QUIT; trap 'exit 22' TERM; trap 'exit 23' USR1; echo ready; while :; do sleep 0.02; done"}
	for name, tc := range map[string]struct {
		image  string
		signal runtimeapi.Signal
		code   int32
	}{
		"default": {"busybox", runtimeapi.Signal_RUNTIME_DEFAULT, 22},
		"image":   {"nginx", runtimeapi.Signal_RUNTIME_DEFAULT, 21},
		"pod":     {"nginx", runtimeapi.Signal_SIGUSR1, 23},
	} {
		id := n.run(podID, pod, name, script, func(c *runtimeapi.ContainerConfig) { c.Image.Image, c.StopSignal = tc.image, tc.signal })
		n.eventually("traps", func() bool { return strings.Contains(n.logs(id), "ready") })
		if _, err := n.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: 10}); err != nil {
			t.Fatal(err)
		}
		if st := n.state(id); st.ExitCode != tc.code {
			t.Errorf("%s: ended with %d, want %d", name, st.ExitCode, tc.code)
		}
	}
}

func TestImageService(t *testing.T) {
	n := startNode(t)
	spec := func(ref string) *runtimeapi.ImageSpec { return &runtimeapi.ImageSpec{Image: ref} }
	st, err := n.images.ImageStatus(t.Context(), &runtimeapi.ImageStatusRequest{Image: spec("example.invalid/team/none:1")})
	if err != nil || st.Image != nil {
		t.Errorf("an image that is not here: %v, %v", st, err)
	}
	_, err = n.images.PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: spec("example.invalid/team/none:1")})
	if status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "example.invalid/team/none:1") || !strings.Contains(err.Error(), "netdojo image load FILE") {
		t.Errorf("pulling it: %v", err)
	}
	pulled, err := n.images.PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: spec("quay.io/cilium/json-mock:v1.3.8")})
	if err != nil {
		t.Fatal(err)
	}
	st, err = n.images.ImageStatus(t.Context(), &runtimeapi.ImageStatusRequest{Image: spec(pulled.ImageRef), Verbose: true})
	if err != nil || st.Image.GetId() != pulled.ImageRef || st.Image.RepoTags[0] != "quay.io/cilium/json-mock:v1.3.8" {
		t.Fatalf("status by reference: %v, %v", st, err)
	}
	var info struct {
		StandIn struct{ Name, For string } `json:"standIn"`
	}
	if err := json.Unmarshal([]byte(st.Info["info"]), &info); err != nil || info.StandIn.Name != "json-mock" || info.StandIn.For != "quay.io/cilium/json-mock:v1.3.8" {
		t.Errorf("info %q: %v", st.Info["info"], err)
	}
}

// TestRealImage runs an image from an archive from its own root.
func TestRealImage(t *testing.T) {
	n := startNode(t)
	archive := dockerArchive(t, "example.com/team/web:1", withLibraries(t, "bin/web", readFile(t, "/proc/self/exe")), []string{"/bin/web", "httpmock", "-as", "http-echo", "-listen", "127.0.0.1:8080", "-text", "from a real root"})
	if _, err := n.store.Load(t.Context(), bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	podID, pod := n.pod("web", nil)
	id := n.run(podID, pod, "main", nil, func(c *runtimeapi.ContainerConfig) { c.Image.Image = "example.com/team/web:1" })
	if st := n.state(id); !strings.HasPrefix(st.ImageRef, "example.com/team/web@sha256:") {
		t.Errorf("image reference %q", st.ImageRef)
	}
	if len(n.standIns) != 0 {
		t.Errorf("a real image was announced as a stand-in: %v", n.standIns)
	}
	client := n.run(podID, pod, "client", []string{"sleep", "1000"}, nil)
	n.eventually("the server to answer in the shared network", func() bool {
		out, _, _ := n.execSync(client, "curl", "-s", "http://127.0.0.1:8080/")
		return out == "from a real root\n"
	})
	_, err := n.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh"}})
	if err == nil || !strings.Contains(err.Error(), "executable file not found") {
		t.Errorf("the host's shell is in a real image: %v", err)
	}
}

// withLibraries is a program as files of an image: with its loader and shared
// libraries, which only a build with the race detector has.
func withLibraries(t *testing.T, name string, data []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{name: data}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		path, err := io.ReadAll(p.Open())
		if err != nil {
			t.Fatal(err)
		}
		loader := strings.TrimRight(string(path), "\x00")
		files[strings.TrimPrefix(loader, "/")] = readFile(t, loader)
		real, err := filepath.EvalSymlinks(loader)
		if err != nil {
			t.Fatal(err)
		}
		for _, lib := range libs {
			files["lib/"+lib] = readFile(t, filepath.Join(filepath.Dir(real), lib))
		}
	}
	return files
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// dockerArchive is an image of these files as docker save writes it.
func dockerArchive(t *testing.T, tag string, files map[string][]byte, cmd []string) []byte {
	t.Helper()
	write := func(files map[string][]byte) []byte {
		var buf bytes.Buffer
		tw := tar.NewWriter(&buf)
		for _, n := range slices.Sorted(maps.Keys(files)) {
			if err := tw.WriteHeader(&tar.Header{Name: n, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(files[n]))}); err != nil {
				t.Fatal(err)
			}
			if _, err := tw.Write(files[n]); err != nil {
				t.Fatal(err)
			}
		}
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	encode := func(v any) []byte {
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	layer := write(files)
	return write(map[string][]byte{
		"layer.tar":     layer,
		"config.json":   encode(map[string]any{"os": "linux", "config": map[string]any{"Entrypoint": cmd}, "rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + sha256Hex(layer)}}}),
		"manifest.json": encode([]map[string]any{{"Config": "config.json", "RepoTags": []string{tag}, "Layers": []string{"layer.tar"}}}),
	})
}
