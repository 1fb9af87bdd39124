package image

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// reference is an image's name taken apart.
type reference struct {
	repo   string // docker.io/library/nginx
	tag    string // latest when neither tag nor digest was given
	digest string // sha256:…
}

func (r reference) String() string {
	if r.digest != "" {
		return r.repo + "@" + r.digest
	}
	return r.repo + ":" + r.tag
}

// Normalize gives an image's full name: nginx is docker.io/library/nginx:latest.
func Normalize(ref string) (string, error) {
	r, err := parse(ref)
	if err != nil {
		return "", err
	}
	return r.String(), nil
}

func parse(ref string) (reference, error) {
	parsed, err := name.ParseReference(ref, name.WeakValidation)
	if err != nil {
		return reference{}, fmt.Errorf("read image name %q: %w", ref, err)
	}
	out := reference{repo: dockerName(parsed.Context().Name())}
	switch p := parsed.(type) {
	case name.Tag:
		out.tag = p.TagStr()
	case name.Digest:
		out.digest = p.DigestStr()
	}
	return out, nil
}

// dockerName writes Docker Hub's name as Kubernetes does.
func dockerName(s string) string {
	if rest, ok := strings.CutPrefix(s, "index.docker.io/"); ok {
		return "docker.io/" + rest
	}
	return s
}

// isID tells an identifier (64 hex digits, with or without sha256:) from a name.
func isID(ref string) (string, bool) {
	hex := strings.TrimPrefix(ref, "sha256:")
	if len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", false
	}
	return "sha256:" + hex, true
}
