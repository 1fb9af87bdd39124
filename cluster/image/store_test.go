package image

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func openStore(t *testing.T, shared ...string) *Store {
	t.Helper()
	s, err := Open(Options{Dir: t.TempDir(), Shared: shared, Helper: "/bin/true", PullTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"nginx":                      "docker.io/library/nginx:latest",
		"nginx:1.27":                 "docker.io/library/nginx:1.27",
		"cilium/json-mock:1.0":       "docker.io/cilium/json-mock:1.0",
		"quay.io/cilium/alpine-curl": "quay.io/cilium/alpine-curl:latest",
		"localhost:5000/x/y:z":       "localhost:5000/x/y:z",
		"quay.io/a/b:v1@sha256:" + strings.Repeat("a", 64): "quay.io/a/b@sha256:" + strings.Repeat("a", 64),
	} {
		if got, err := Normalize(in); err != nil || got != want {
			t.Errorf("Normalize(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	if _, err := Normalize("Not A Name"); err == nil {
		t.Error("a bad name passes")
	}
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestLoad(t *testing.T) {
	layer := tarOf(t, file{name: "hello", text: "world"})
	config := map[string]any{"Cmd": []string{"/hello"}, "User": "1000:100", "Env": []string{"A=b"}, "WorkingDir": "/w", "StopSignal": "SIGQUIT", "Entrypoint": []string{"e"}}
	docker := dockerArchive(t, []string{"example.com/app:1", "app:latest"}, config, layer)
	for title, tc := range map[string]struct {
		archive []byte
		names   []string
	}{
		"docker":        {docker, []string{"example.com/app:1", "docker.io/library/app:latest"}},
		"docker, gzip":  {gzipped(t, docker), []string{"example.com/app:1", "docker.io/library/app:latest"}},
		"oci":           {ociArchive(t, "example.com/app:1", config, layer), []string{"example.com/app:1"}},
		"oci, gzip":     {gzipped(t, ociArchive(t, "app", config, layer)), []string{"docker.io/library/app:latest"}},
		"oci, no name":  {ociArchive(t, "", config, layer), nil},
		"docker, twice": {docker, []string{"example.com/app:1", "docker.io/library/app:latest"}},
	} {
		t.Run(title, func(t *testing.T) {
			s := openStore(t)
			for range 2 { // loading again changes nothing
				if _, err := s.Load(t.Context(), bytes.NewReader(tc.archive)); err != nil {
					t.Fatal(err)
				}
			}
			infos, err := s.List()
			if err != nil || len(infos) != 1 {
				t.Fatalf("list: %v, %v", infos, err)
			}
			slices.Sort(tc.names)
			slices.Sort(infos[0].Tags)
			if !slices.Equal(infos[0].Tags, tc.names) || infos[0].Size == 0 {
				t.Errorf("list: %+v, want tags %v", infos[0], tc.names)
			}
			for _, ref := range append(tc.names, infos[0].ID, strings.TrimPrefix(infos[0].ID, "sha256:")) {
				img, err := s.Resolve(ref)
				if err != nil {
					t.Fatalf("resolve %s: %v", ref, err)
				}
				c := img.Config
				if img.ID != infos[0].ID || c.User != "1000:100" || c.StopSignal != "SIGQUIT" || c.WorkingDir != "/w" ||
					!slices.Equal(c.Cmd, []string{"/hello"}) || !slices.Equal(c.Entrypoint, []string{"e"}) || !slices.Equal(c.Env, []string{"A=b"}) {
					t.Errorf("resolve %s: %+v", ref, img)
				}
			}
			for _, n := range tc.names {
				r, err := parse(n)
				if err != nil {
					t.Fatal(err)
				}
				if img, err := s.Resolve(r.repo + "@" + infos[0].Digest); err != nil || img.ID != infos[0].ID {
					t.Errorf("by digest: %v, %v", img, err)
				}
			}
			if err := s.Remove(infos[0].ID); err != nil {
				t.Fatal(err)
			}
			if infos, err := s.List(); err != nil || len(infos) != 0 {
				t.Errorf("after removal: %v, %v", infos, err)
			}
			if blobs, err := os.ReadDir(filepath.Join(s.Dir(), "blobs", "sha256")); err != nil || len(blobs) != 0 {
				t.Errorf("blobs after removal: %v, %v", blobs, err)
			}
			if err := s.Remove("example.com/app:1"); err != nil {
				t.Errorf("removing what is gone: %v", err)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	for title, data := range map[string][]byte{
		"empty":         {},
		"text":          []byte("hello"),
		"another tar":   tarOf(t, file{name: "x", text: "y"}),
		"truncated":     dockerArchive(t, []string{"a:1"}, nil, tarOf(t, file{name: "x"}))[:700],
		"path outside":  tarOf(t, file{name: "oci-layout", text: "{}"}, file{name: "index.json", text: `{"schemaVersion":2,"manifests":[]}`}, file{name: "../evil", text: "x"}),
		"wrong layer":   bytes.ReplaceAll(dockerArchive(t, []string{"example.com/app:1"}, nil, tarOf(t, file{name: "x", text: "good"})), []byte("good"), []byte("evil")),
		"broken layers": tarOf(t, file{name: "manifest.json", text: `[{"Config":"no","RepoTags":["a:1"],"Layers":["no"]}]`}),
	} {
		s := openStore(t)
		if infos, err := s.Load(t.Context(), bytes.NewReader(data)); err == nil {
			t.Errorf("%s: loaded as %v", title, infos)
		}
		if infos, err := s.List(); err != nil || len(infos) != 0 {
			t.Errorf("%s: left %v, %v", title, infos, err)
		}
		if blobs, err := os.ReadDir(filepath.Join(s.Dir(), "blobs", "sha256")); len(blobs) != 0 {
			t.Errorf("%s: left blobs %v, %v", title, blobs, err)
		}
	}
	_, err := openStore(t).Load(t.Context(), strings.NewReader("hello"))
	if !errors.Is(err, ErrNotAnArchive) {
		t.Errorf("text: %v", err)
	}
}

func TestSharedStore(t *testing.T) {
	host := openStore(t)
	node := openStore(t, host.Dir(), filepath.Join(t.TempDir(), "not there"))
	if _, err := node.Resolve("example.com/app:1"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("before: %v", err)
	}
	archive := dockerArchive(t, []string{"example.com/app:1"}, nil, tarOf(t, file{name: "x"}))
	if _, err := host.Load(t.Context(), bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Resolve("example.com/app:1"); err != nil {
		t.Errorf("after: %v", err)
	}
}

func TestStandIns(t *testing.T) {
	s := openStore(t)
	for ref, want := range map[string]string{
		"quay.io/cilium/json-mock:v1.4.1@sha256:" + strings.Repeat("6", 64): "json-mock",
		"docker.io/cilium/starwars":                                         "deathstar",
		"nginx:1.27":                                                        "nginx",
		"curlimages/curl:8.5.0":                                             "curl",
		"byrnedo/alpine-curl:0.1.8":                                         "alpine-curl",
		"quay.io/cilium/alpine-curl:v1.5.0":                                 "cilium-alpine-curl",
		"nicolaka/netshoot":                                                 "client",
		"busybox":                                                           "busybox",
		"alpine:3":                                                          "busybox",
		"debian":                                                            "shell",
		"registry.k8s.io/pause:3.10":                                        "pause",
		"registry.k8s.io/e2e-test-images/agnhost:2.4":                       "agnhost",
		"hashicorp/http-echo":                                               "http-echo",
	} {
		img, err := s.Resolve(ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if img.StandIn() == nil || img.StandIn().Name != want || !strings.HasPrefix(img.StatusRef(), "netdojo-stand-in/"+want+"@sha256:") {
			t.Errorf("%s: %+v, want stand-in %s", ref, img, want)
		}
		again, err := s.Resolve(img.ID)
		if err != nil || again.ID != img.ID || again.StandIn() != img.StandIn() {
			t.Errorf("%s by identifier: %v, %v", ref, again, err)
		}
	}
	_, err := s.Resolve("registry.k8s.io/coredns/coredns:v1.12.0")
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("CoreDNS without its program: %v", err)
	}
	if n := len(mustList(t, s)); n != 13 {
		t.Errorf("%d stand-ins are listed as used", n)
	}
	// What the store has goes before a stand-in.
	archive := dockerArchive(t, []string{"busybox:latest"}, nil, tarOf(t, file{name: "x"}))
	if _, err := s.Load(t.Context(), bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	if img, err := s.Resolve("busybox"); err != nil || img.StandIn() != nil {
		t.Errorf("a loaded image: %+v, %v", img, err)
	}
}

func mustList(t *testing.T, s *Store) []Info {
	t.Helper()
	infos, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

func TestStandInsAreWellFormed(t *testing.T) {
	names := map[string]bool{}
	for _, in := range StandIns() {
		if names[in.Name] || in.Summary == "" {
			t.Errorf("stand-in %q: its name is taken or it has no summary", in.Name)
		}
		names[in.Name] = true
		for _, repo := range in.Images {
			full, err := Normalize(repo)
			if err != nil || full != repo+":latest" {
				t.Errorf("%s: %q is no full name: %q, %v", in.Name, repo, full, err)
			}
			if found, err := StandInFor(repo); err != nil || found.Name != in.Name {
				t.Errorf("%s: %q finds %v, %v", in.Name, repo, found, err)
			}
		}
		if len(in.Config.Entrypoint)+len(in.Config.Cmd) == 0 {
			t.Errorf("%s has no command", in.Name)
		}
	}
}

// TestTrust: clients of stand-ins trust the store's further certificates beside the
// host's, wherever the host keeps them.
func TestTrust(t *testing.T) {
	host := t.TempDir()
	for name, text := range map[string]string{"usr/bin/sh": "", "etc/ssl/certs/ca-certificates.crt": "the host's", "etc/ssl/openssl.cnf": ""} {
		if err := writeInto(host, name, text); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(Options{Dir: t.TempDir(), HostRoot: host, Helper: "/bin/true", CA: func() []byte { return []byte("the world's") }})
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Resolve("busybox")
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.Root(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(root.Binds, func(b Bind) bool { return b.Destination == "/etc/ssl/certs/ca-certificates.crt" })
	if folder := slices.IndexFunc(root.Binds, func(b Bind) bool { return b.Destination == "/etc/ssl" }); at < 0 || folder > at {
		t.Fatalf("bound: %v", root.Binds)
	}
	if got, err := os.ReadFile(root.Binds[at].Source); err != nil || string(got) != "the host's\nthe world's" {
		t.Errorf("trusted: %q, %v", got, err)
	}
}

func TestMissingTool(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), HostRoot: t.TempDir(), Helper: "/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Resolve("curlimages/curl")
	var missing *MissingToolError
	if !errors.As(err, &missing) || missing.Tool.Command != "sh" || !strings.Contains(missing.Cure(), "package dash") {
		t.Errorf("no shell: %v", err)
	}
}

func TestPull(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	img, err := random.Image(2000, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	s := openStore(t)
	got, err := s.Pull(t.Context(), host+"/team/app:1", Auth{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != want.String() || got.Tags[0] != host+"/team/app:1" {
		t.Errorf("pulled %+v, want %s", got, want)
	}
	server.Close()
	if again, err := s.Pull(t.Context(), host+"/team/app:1", Auth{}); err != nil || again.ID != got.ID {
		t.Errorf("what is in the store is pulled again: %v, %v", again, err)
	}
	_, err = s.Pull(t.Context(), host+"/team/other:1", Auth{})
	var none *NotFoundError
	if !errors.As(err, &none) || !strings.Contains(err.Error(), host+"/team/other:1") || !strings.Contains(none.Cure(), "netdojo image load FILE") || !strings.Contains(none.Cure(), "`netdojo image ls --stand-ins` names them all") {
		t.Errorf("an image that is nowhere: %v", err)
	}
}

func TestPullGivesUp(t *testing.T) {
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer silent.Close()
	defer close(release)
	s := openStore(t)
	start := time.Now()
	_, err := s.Pull(t.Context(), strings.TrimPrefix(silent.URL, "http://")+"/team/app:1", Auth{})
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "nothing came for 1s") || time.Since(start) > 20*time.Second {
		t.Errorf("a silent registry: %v after %s", err, time.Since(start))
	}
}
