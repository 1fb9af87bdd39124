//go:build linux

package cri

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/netdojo/netdojo/cluster/image"
)

// ImageStatus describes an image; one that is not here is a nil image. A
// stand-in is here always, and says so.
func (s *service) ImageStatus(_ context.Context, req *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	img, err := s.images.Resolve(req.GetImage().GetImage())
	if errors.Is(err, image.ErrNotFound) {
		return &runtimeapi.ImageStatusResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	resp := &runtimeapi.ImageStatusResponse{Image: criImage(img)}
	if req.Verbose {
		info := map[string]any{"config": img.Config}
		if in := img.StandIn(); in != nil {
			info["standIn"] = map[string]string{"name": in.Name, "for": img.Ref, "summary": in.Summary}
		}
		resp.Info = infoJSON(info)
	}
	return resp, nil
}

func criImage(img *image.Image) *runtimeapi.Image {
	out := &runtimeapi.Image{
		Id: img.ID, RepoTags: img.Tags, RepoDigests: img.Digests, Size: uint64(img.Size),
		Spec: &runtimeapi.ImageSpec{Image: img.Ref},
	}
	if in := img.StandIn(); in != nil {
		out.Spec.Annotations = map[string]string{standInAnnotation: img.Ref}
	}
	// The kubelet needs the user to enforce runAsNonRoot.
	name, _, _ := strings.Cut(img.Config.User, ":")
	if uid, err := strconv.ParseInt(name, 10, 64); err == nil {
		out.Uid = &runtimeapi.Int64Value{Value: uid}
	} else {
		out.Username = name
	}
	return out
}

// ListImages lists the images of the store and the stand-ins in use.
func (s *service) ListImages(_ context.Context, req *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	list, err := s.listImages(req.Filter)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ListImagesResponse{Images: list}, nil
}

// StreamImages is ListImages in parts.
func (s *service) StreamImages(req *runtimeapi.StreamImagesRequest, stream grpc.ServerStreamingServer[runtimeapi.StreamImagesResponse]) error {
	list, err := s.listImages(req.Filter)
	if err != nil {
		return toStatus(err)
	}
	for part := range slices.Chunk(list, listPart) {
		if err := stream.Send(&runtimeapi.StreamImagesResponse{Images: part}); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) listImages(f *runtimeapi.ImageFilter) ([]*runtimeapi.Image, error) {
	if ref := f.GetImage().GetImage(); ref != "" {
		img, err := s.images.Resolve(ref)
		if errors.Is(err, image.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return []*runtimeapi.Image{criImage(img)}, nil
	}
	all, err := s.images.Images()
	if err != nil {
		return nil, err
	}
	var out []*runtimeapi.Image
	for _, img := range all {
		out = append(out, criImage(img))
	}
	return out, nil
}

// PullImage gets an image: from the store, as a stand-in, from its registry.
func (s *service) PullImage(ctx context.Context, req *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	a := req.GetAuth()
	img, err := s.images.Pull(ctx, req.GetImage().GetImage(), image.Auth{
		Username: a.GetUsername(), Password: a.GetPassword(), Auth: a.GetAuth(),
		IdentityToken: a.GetIdentityToken(), RegistryToken: a.GetRegistryToken(),
	})
	if err != nil {
		return nil, err
	}
	return &runtimeapi.PullImageResponse{ImageRef: img.ID}, nil
}

// RemoveImage removes an image under all its names.
func (s *service) RemoveImage(_ context.Context, req *runtimeapi.RemoveImageRequest) (*runtimeapi.RemoveImageResponse, error) {
	if err := s.images.Remove(req.GetImage().GetImage()); err != nil {
		return nil, err
	}
	return &runtimeapi.RemoveImageResponse{}, nil
}

// ImageFsInfo tells how much room images and containers take.
func (s *service) ImageFsInfo(ctx context.Context, _ *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	images, err := s.imagesDisk.get(func() (*runtimeapi.FilesystemUsage, error) { return s.diskUse(ctx, s.images.Dir()) })
	if err != nil {
		return nil, err
	}
	containers, err := s.diskUse(ctx, filepath.Join(s.cfg.StateDir, "containers"))
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ImageFsInfoResponse{
		ImageFilesystems:     []*runtimeapi.FilesystemUsage{images},
		ContainerFilesystems: []*runtimeapi.FilesystemUsage{containers},
	}, nil
}

// diskCacheTime is how old an answer about the store's size may be: the kubelet
// asks often, and unpacked images are many files.
const diskCacheTime = time.Minute

// diskCache remembers the last answer.
type diskCache struct {
	mu   sync.Mutex // guards both; held while measuring
	at   time.Time
	last *runtimeapi.FilesystemUsage
}

func (c *diskCache) get(measure func() (*runtimeapi.FilesystemUsage, error)) (*runtimeapi.FilesystemUsage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && time.Since(c.at) < diskCacheTime {
		return c.last, nil
	}
	use, err := measure()
	if err != nil {
		return nil, err
	}
	c.last, c.at = use, time.Now()
	return use, nil
}

// diskUse sums up a folder's blocks and files.
func (s *service) diskUse(ctx context.Context, dir string) (*runtimeapi.FilesystemUsage, error) {
	var bytes, inodes uint64
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return nil // removed meanwhile
		}
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil {
			bytes += uint64(st.Blocks) * 512
			inodes++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &runtimeapi.FilesystemUsage{
		Timestamp: now(), FsId: &runtimeapi.FilesystemIdentifier{Mountpoint: dir},
		UsedBytes: value(bytes), InodesUsed: value(inodes),
	}, nil
}

func value(v uint64) *runtimeapi.UInt64Value { return &runtimeapi.UInt64Value{Value: v} }
