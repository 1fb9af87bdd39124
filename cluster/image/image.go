// Package image finds the images that pods name: in a local store, among the
// built-in stand-ins, or at a registry, in this order. It loads archives, and
// lays an image out as folders that a container's root is built of. It knows
// nothing of Kubernetes.
package image

import (
	"errors"
	"fmt"
	"path/filepath"
)

// ErrNotFound is an image that is neither in the store nor has a stand-in.
var ErrNotFound = errors.New("no such image")

// Info is what a list of images shows.
type Info struct {
	ID      string   `json:"id"`               // sha256:… of the configuration
	Digest  string   `json:"digest,omitempty"` // sha256:… of the manifest
	Tags    []string `json:"tags,omitempty"`   // full names: docker.io/library/nginx:1.27
	Size    int64    `json:"size"`             // bytes in the store
	StandIn string   `json:"standIn,omitempty"`
}

// Config is what an image says about its command.
type Config struct {
	Entrypoint []string
	Cmd        []string
	Env        []string // KEY=VALUE
	User       string   // name or uid[:group]
	WorkingDir string
	StopSignal string // SIGTERM when empty
}

// Image is an image that can be run.
type Image struct {
	Info
	Config Config
	// Ref is the full name by which it was asked for; by identifier, its first.
	Ref string
	// Digests are names with a manifest's digest: docker.io/library/nginx@sha256:….
	Digests []string

	standIn *StandIn
	entry   entry // where the store has it
}

// StandIn returns what stands in for the image, nil when it is the real one.
func (i *Image) StandIn() *StandIn { return i.standIn }

// StatusRef is what Kubernetes shows as the image's identifier. It tells a
// stand-in from the real image.
func (i *Image) StatusRef() string {
	if i.standIn != nil {
		return fmt.Sprintf("netdojo-stand-in/%s@%s", i.standIn.Name, i.ID)
	}
	if len(i.Digests) > 0 {
		return i.Digests[0]
	}
	return i.ID
}

// NotFoundError is an image that could not be had anywhere.
type NotFoundError struct {
	Ref string
	Err error // why the registry did not give it; nil when it was not asked
}

func (e *NotFoundError) Error() string {
	msg := fmt.Sprintf("image %q is not in the local store and has no built-in stand-in", e.Ref)
	if e.Err != nil {
		msg += fmt.Sprintf(", and its registry did not give it: %v", e.Err)
	}
	return msg
}

// Cure says how to get the image in.
func (e *NotFoundError) Cure() string {
	return "load it with `netdojo image load FILE` (made by `docker save` or as an OCI archive), or use an image with a stand-in, such as " +
		"docker.io/cilium/json-mock, curlimages/curl, nginx or busybox; `netdojo image ls --stand-ins` names them all"
}

// Is makes errors.Is(err, ErrNotFound) hold.
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

func (e *NotFoundError) Unwrap() error { return e.Err }

// StoreIn is the store of a state folder. Its name differs from that of stores in
// which pods could write: what is in those cannot be believed.
func StoreIn(stateDir string) string { return filepath.Join(stateDir, "image-store") }
