// Package image is `netdojo image`: the local image store.
package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	images "github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/printable"
)

// Schema names the form of ls's JSON output: {schema, images: [image.Info]}.
const Schema = "netdojo.dev/images/v1"

// store is what a provider with an image store of its own offers.
type store interface {
	Images(context.Context) ([]images.Info, error)
	LoadImages(context.Context, io.Reader) ([]images.Info, error)
}

// LoadOptions are what the command line says.
type LoadOptions struct {
	Env  *env.Env
	File string // "-" is standard input
}

// ListOptions are what the command line says.
type ListOptions struct {
	Env      *env.Env
	Output   string // plain or json
	StandIns bool   // name every image that has a stand-in
}

// New makes the command. Load and list may be replaced in tests.
func New(e *env.Env, load func(context.Context, *LoadOptions) error, list func(context.Context, *ListOptions) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Load container images into the local store, and list it",
		Long: `Load container images into the local store, and list it. Embedded clusters look
there first, then among the built-in stand-ins, then ask a registry. A cluster
that runs sees a loaded image at once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLoad(e, load), newList(e, list))
	return cmd
}

func newLoad(e *env.Env, run func(context.Context, *LoadOptions) error) *cobra.Command {
	if run == nil {
		run = Load
	}
	return &cobra.Command{
		Use:   "load FILE",
		Short: "Load an archive: docker save, podman save, or an OCI layout in a tar",
		Example: `  netdojo image load app.tar
  docker save app:dev | netdojo image load -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd.Context(), &LoadOptions{Env: e, File: args[0]})
		},
	}
}

func newList(e *env.Env, run func(context.Context, *ListOptions) error) *cobra.Command {
	if run == nil {
		run = List
	}
	o := &ListOptions{Env: e}
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the local store and the built-in stand-ins",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Output != "plain" && o.Output != "json" {
				return exit.Usagef("--output is plain or json, not %q", o.Output)
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Output, "output", "o", "plain", "plain or json")
	cmd.Flags().BoolVar(&o.StandIns, "stand-ins", false, "name every image that a stand-in takes the place of")
	return cmd
}

// find gives the first provider that has a store.
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
	return nil, errors.New("no provider here has an image store")
}

// maxArchive bounds an archive as it is read.
const maxArchive = 32 << 30

// looksLikeArchive reads no more than the head: what is no tar, such as a stream of
// zeros, is not copied to a disk to find that out.
func looksLikeArchive(r *bufio.Reader) error {
	const block = 512 // of tar
	head, err := r.Peek(block)
	if len(head) > 2 && head[0] == 0x1f && head[1] == 0x8b {
		return nil // gzip
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err := tar.NewReader(bytes.NewReader(head)).Next(); err != nil {
		return images.ErrNotAnArchive
	}
	return nil
}

// Load loads an archive and names what it held.
func Load(ctx context.Context, o *LoadOptions) error {
	in := o.Env.In
	if o.File != "-" {
		f, err := hostfile.OpenNamed(ctx, o.File, hostfile.Limits{Size: maxArchive})
		if err != nil {
			return exit.With(exit.Usage, err)
		}
		defer f.Close()
		in = f
	} else if in = hostfile.Stream(ctx, "standard input", in, hostfile.Limits{Size: maxArchive}); o.Env.InTTY {
		return exit.WithCure(exit.Usagef("standard input is a terminal"), "pipe an archive into it: docker save IMAGE | netdojo image load -")
	}
	s, err := find(o.Env)
	if err != nil {
		return err
	}
	archive := bufio.NewReader(in)
	if err := looksLikeArchive(archive); err != nil {
		return exit.With(exit.Usage, fmt.Errorf("load %s: %w", o.File, err))
	}
	infos, err := s.LoadImages(ctx, archive)
	if err != nil {
		return fmt.Errorf("load %s: %w", o.File, err)
	}
	for _, i := range infos {
		fmt.Fprintf(o.Env.Out, "loaded %s\n", printable.Line(name(i)))
	}
	return nil
}

// List prints the store.
func List(ctx context.Context, o *ListOptions) error {
	s, err := find(o.Env)
	if err != nil {
		return err
	}
	infos, err := s.Images(ctx)
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	if o.Output == "json" {
		if infos == nil {
			infos = []images.Info{}
		}
		enc := json.NewEncoder(o.Env.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			Schema string        `json:"schema"`
			Images []images.Info `json:"images"`
		}{Schema, infos})
	}
	w := tabwriter.NewWriter(printable.NewWriter(o.Env.Out), 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tSIZE\tFROM")
	for _, i := range infos {
		if i.StandIn == "" {
			fmt.Fprintf(w, "%s\t%.1f MB\t%s\n", name(i), float64(i.Size)/1e6, "the store")
		}
	}
	for _, st := range images.StandIns() {
		if o.StandIns {
			for _, image := range st.Images {
				fmt.Fprintf(w, "%s\t-\tstand-in %s\n", image, st.Name)
			}
			continue
		}
		more := ""
		if n := len(st.Images) - 1; n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		fmt.Fprintf(w, "%s%s\t-\tstand-in %s: %s\n", st.Images[0], more, st.Name, st.Summary)
	}
	return w.Flush()
}

func name(i images.Info) string {
	if len(i.Tags) > 0 {
		return strings.Join(i.Tags, ", ")
	}
	return i.ID
}
