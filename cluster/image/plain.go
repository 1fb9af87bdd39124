package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// plain is an image whose layers are stored as they are, not zipped: zipping a
// large archive takes longer than all else about loading it. Its configuration,
// and so its identifier, is the original's.
type plain struct {
	config   []byte
	manifest []byte
	layers   map[v1.Hash]plainLayer
}

// storePlain gives an image from a Docker archive that form.
// Unzipping takes from the budget.
func storePlain(img v1.Image, unzipped *budget) (v1.Image, error) {
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	p := &plain{config: config, layers: map[v1.Hash]plainLayer{}}
	configHash, configSize, err := v1.SHA256(bytes.NewReader(config))
	if err != nil {
		return nil, err
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Digest: configHash, Size: configSize}}
	for i, l := range layers {
		diff, err := l.DiffID()
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		r, err := l.Uncompressed()
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		size, err := io.Copy(io.Discard, unzipped.reader(r))
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		p.layers[diff] = plainLayer{layer: l, diff: diff, size: size}
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: diff, Size: size})
	}
	if p.manifest, err = json.Marshal(m); err != nil {
		return nil, err
	}
	return partial.CompressedToImage(p)
}

// RawConfigFile implements partial.CompressedImageCore.
func (p *plain) RawConfigFile() ([]byte, error) { return p.config, nil }

// MediaType implements partial.CompressedImageCore.
func (p *plain) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// RawManifest implements partial.CompressedImageCore.
func (p *plain) RawManifest() ([]byte, error) { return p.manifest, nil }

// LayerByDigest implements partial.CompressedImageCore.
func (p *plain) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	l, ok := p.layers[h]
	if !ok {
		return nil, fmt.Errorf("no layer %s", h)
	}
	return l, nil
}

// plainLayer is a layer that is stored as a bare tar.
type plainLayer struct {
	layer interface{ Uncompressed() (io.ReadCloser, error) }
	diff  v1.Hash
	size  int64
}

// Digest implements partial.CompressedLayer: of a bare tar it is the one that
// the image's configuration names.
func (l plainLayer) Digest() (v1.Hash, error) { return l.diff, nil }

// Size implements partial.CompressedLayer.
func (l plainLayer) Size() (int64, error) { return l.size, nil }

// MediaType implements partial.CompressedLayer.
func (l plainLayer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

// Compressed implements partial.CompressedLayer. Reading fails at the end when
// the archive's layer is not the one that the configuration names.
func (l plainLayer) Compressed() (io.ReadCloser, error) {
	r, err := l.layer.Uncompressed()
	if err != nil {
		return nil, err
	}
	return &checked{ReadCloser: r, sum: sha256.New(), want: l.diff}, nil
}

// checked is a reader that knows the digest of what it reads.
type checked struct {
	io.ReadCloser
	sum  hash.Hash
	want v1.Hash
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.sum.Write(p[:n]) // never fails
	if errors.Is(err, io.EOF) && hex.EncodeToString(c.sum.Sum(nil)) != c.want.Hex {
		return n, fmt.Errorf("the archive is damaged: a layer is not %s", c.want)
	}
	return n, err
}
