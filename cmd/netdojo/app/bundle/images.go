package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	images "github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
)

// store is what a provider with an image store of its own offers.
type store interface {
	Images(context.Context) ([]images.Info, error)
	LoadImages(context.Context, io.Reader) ([]images.Info, error)
	SaveImage(ctx context.Context, ref string, w io.Writer) error
}

// find gives the first provider that has a store, nil where none has.
func find(e *env.Env) (store, error) {
	for _, k := range e.Kinds {
		p, err := k.New(e)
		if err != nil {
			return nil, err
		}
		if s, ok := p.(store); ok {
			return s, nil
		}
	}
	return nil, nil
}

// load loads the images of a bundle that was unpacked.
func load(ctx context.Context, o *OpenOptions, m *Manifest) error {
	for _, f := range m.Files {
		if !strings.HasPrefix(f.Path, imagesDir+"/") {
			continue
		}
		s, err := find(o.Env)
		if err != nil {
			return err
		}
		if s == nil {
			return exit.WithCure(errors.New("no provider here has an image store"), "give the clusters their images by other means: they lie in %s", filepath.Join(o.Dir, imagesDir))
		}
		in, err := hostfile.Open(filepath.Join(o.Dir, filepath.FromSlash(f.Path)))
		if err != nil {
			return err
		}
		got, err := s.LoadImages(ctx, in)
		if err = errors.Join(err, in.Close()); err != nil {
			return exit.WithCure(fmt.Errorf("load %s: %w", f.Path, err), "the rest is in %s; load it with netdojo image load", o.Dir)
		}
		for _, i := range got {
			fmt.Fprintf(o.Env.Out, "loaded %s\n", printable.Line(strings.Join(i.Tags, ", ")))
		}
	}
	return nil
}

// images writes the images that the bundle gets into files of the folder work.
func (o *Options) images(ctx context.Context, m *Manifest, all []*labs.Lab, work string) ([]part, error) {
	if o.NoImages {
		return nil, nil
	}
	s, err := find(o.Env)
	if err != nil {
		return nil, err
	}
	if s == nil {
		if len(o.Images) > 0 {
			return nil, exit.WithCure(errors.New("no provider here has an image store"), "leave --image out")
		}
		return nil, nil
	}
	refs, err := o.wanted(ctx, s, all)
	if err != nil {
		return nil, err
	}
	var parts []part
	for i, ref := range refs {
		file := filepath.Join(work, fmt.Sprintf("%d.tar", i))
		out, err := hostfile.CreateNew(file, 0o600)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(s.SaveImage(ctx, ref, out), out.Close()); err != nil {
			return nil, fmt.Errorf("bundle image %s: %w", ref, err)
		}
		name := strings.Map(func(r rune) rune {
			if strings.ContainsRune("/:@", r) {
				return '_'
			}
			return r
		}, ref)
		parts = append(parts, onDisk(imagesDir+"/"+name+".tar", false, file))
	}
	m.Images = append(m.Images, refs...)
	return parts, nil
}

// wanted are the full names of the images that the bundle gets, sorted: those that were
// named, and those of the labs that are in the store. One of the labs that is not there
// and has no stand-in is an error.
func (o *Options) wanted(ctx context.Context, s store, all []*labs.Lab) ([]string, error) {
	infos, err := s.Images(ctx)
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for _, i := range infos {
		if i.StandIn == "" {
			for _, tag := range i.Tags {
				have[tag] = true
			}
		}
	}
	var refs, lacking []string
	for _, ref := range o.Images {
		full, err := images.Normalize(ref)
		if err != nil {
			return nil, exit.With(exit.Usage, err)
		}
		if !have[full] {
			lacking = append(lacking, ref)
		}
		refs = append(refs, full)
	}
	needed, err := labs.Images(all)
	if err != nil {
		return nil, err
	}
	for _, ref := range needed {
		full, err := images.Normalize(ref)
		if err == nil && have[full] {
			refs = append(refs, full)
			continue
		}
		if standIn, err := images.StandInFor(ref); err != nil || standIn == nil {
			lacking = append(lacking, ref)
		}
	}
	if len(lacking) > 0 {
		return nil, exit.WithCure(exit.Usagef("the local store lacks %s", strings.Join(lacking, ", ")),
			"load them: docker save IMAGE | netdojo image load -; or leave all images out with --no-images")
	}
	slices.Sort(refs)
	return slices.Compact(refs), nil
}
