package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Auth is how a registry is told who asks. The zero value is ~/.docker/config
// or nobody.
type Auth struct {
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	Auth          string `json:"auth,omitempty"` // base64 of username:password
	IdentityToken string `json:"identityToken,omitempty"`
	RegistryToken string `json:"registryToken,omitempty"`
}

// Pull finds an image as Resolve does, and asks its registry when it is
// neither in the store nor has a stand-in. A failure is a *NotFoundError.
func (s *Store) Pull(ctx context.Context, ref string, auth Auth) (*Image, error) {
	img, err := s.Resolve(ref)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return img, err
	}
	if _, ok := isID(ref); ok {
		return nil, err
	}
	if s.o.Dir != "" {
		img, err = s.fetch(ctx, ref, auth)
	} else {
		img, err = s.fetched(ctx, ref, auth)
	}
	if err != nil {
		return nil, &NotFoundError{Ref: ref, Err: err}
	}
	return img, nil
}

// fetched has the image brought into a layout that this store only reads.
func (s *Store) fetched(ctx context.Context, ref string, auth Auth) (*Image, error) {
	if s.o.Fetch == nil {
		return nil, errors.New("this store pulls no images")
	}
	if err := s.o.Fetch(ctx, ref, auth); err != nil {
		return nil, err
	}
	return s.Resolve(ref)
}

func (s *Store) fetch(ctx context.Context, ref string, auth Auth) (*Image, error) {
	parsed, err := name.ParseReference(ref, name.WeakValidation)
	if err != nil {
		return nil, err
	}
	full, err := Normalize(ref)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opts := []remote.Option{remote.WithContext(ctx), remote.WithPlatform(platform()), remote.WithJobs(2)}
	if auth == (Auth{}) {
		opts = append(opts, remote.WithAuthFromKeychain(authn.DefaultKeychain))
	} else {
		opts = append(opts, remote.WithAuth(authn.FromConfig(authn.AuthConfig(auth))))
	}
	quiet := s.o.Transport
	if quiet == nil {
		quiet = remote.DefaultTransport
	}
	watched := newWatchdog(quiet, s.o.PullTimeout, cancel)
	defer watched.stop()
	opts = append(opts, remote.WithTransport(watched))
	img, err := remote.Image(parsed, opts...)
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	// The registry's manifest says how large the configuration is that is read at
	// once: it is looked at before.
	m, err := img.Manifest()
	if err == nil {
		err = checkManifest(m, s.o.MaxSize)
	}
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	stored, err := s.add(ctx, img, full)
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	return stored, nil
}

// causeOf says why ctx ended where the error only says that it did.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
