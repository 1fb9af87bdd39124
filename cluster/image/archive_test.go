package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"
)

// file is a member of a tar archive in a test.
type file struct {
	name, text, link string
	kind             byte // tar.TypeReg when zero
	mode             int64
	uid, gid         int
}

func tarOf(t *testing.T, files ...file) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Linkname: f.link, Mode: f.mode, Uid: f.uid, Gid: f.gid, Size: int64(len(f.text))}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func configJSON(t *testing.T, layers [][]byte, config map[string]any) []byte {
	t.Helper()
	var diffs []string
	for _, l := range layers {
		diffs = append(diffs, "sha256:"+digestOf(l))
	}
	p := platform()
	data, err := json.Marshal(map[string]any{
		"architecture": p.Architecture, "os": p.OS, "config": config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// dockerArchive is what docker save writes.
func dockerArchive(t *testing.T, tags []string, config map[string]any, layers ...[]byte) []byte {
	t.Helper()
	conf := configJSON(t, layers, config)
	files := []file{{name: "config.json", text: string(conf)}}
	var names []string
	for _, l := range layers {
		name := digestOf(l) + "/layer.tar"
		names = append(names, name)
		files = append(files, file{name: name, text: string(l)})
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": tags, "Layers": names}})
	if err != nil {
		t.Fatal(err)
	}
	return tarOf(t, append(files, file{name: "manifest.json", text: string(manifest)})...)
}

// ociArchive is an OCI image layout in a tar, the image below a nested index
// together with one of another platform.
func ociArchive(t *testing.T, name string, config map[string]any, layers ...[]byte) []byte {
	t.Helper()
	var files []file
	type descriptor map[string]any
	blob := func(data []byte, media string) descriptor {
		files = append(files, file{name: "blobs/sha256/" + digestOf(data), text: string(data)})
		return descriptor{"mediaType": media, "digest": "sha256:" + digestOf(data), "size": len(data)}
	}
	encode := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var layerList []descriptor
	for _, l := range layers {
		layerList = append(layerList, blob(l, "application/vnd.oci.image.layer.v1.tar"))
	}
	manifest := blob(encode(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": blob(configJSON(t, layers, config), "application/vnd.oci.image.config.v1+json"), "layers": layerList,
	}), "application/vnd.oci.image.manifest.v1+json")
	manifest["platform"] = map[string]string{"os": platform().OS, "architecture": platform().Architecture}
	other := descriptor{"mediaType": manifest["mediaType"], "digest": "sha256:" + digestOf([]byte("other")), "size": 5,
		"platform": map[string]string{"os": "plan9", "architecture": "mips"}}
	inner := blob(encode(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
		"manifests": []descriptor{other, manifest}}), "application/vnd.oci.image.index.v1+json")
	if name != "" {
		inner["annotations"] = map[string]string{annotationName: "latest", "io.containerd.image.name": name}
	}
	files = append(files,
		file{name: "oci-layout", text: `{"imageLayoutVersion":"1.0.0"}`},
		file{name: "index.json", text: string(encode(map[string]any{"schemaVersion": 2, "manifests": []descriptor{inner}}))})
	return tarOf(t, files...)
}
