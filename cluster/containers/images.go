package containers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
	"sigs.k8s.io/kind/pkg/exec"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/cluster/image"
)

// Load loads images into nodes that do not have them, into all at once.
func Load(ctx context.Context, to []nodes.Node, images map[string]v1.Image) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range to {
		group.Go(func() error {
			have, err := ImageNames(node)
			if err != nil {
				return err
			}
			missing := maps.Clone(images)
			maps.DeleteFunc(missing, func(name string, _ v1.Image) bool { return have[name] })
			if len(missing) == 0 {
				return ctx.Err()
			}
			r, w := io.Pipe()
			go func() { w.CloseWithError(image.Write(w, missing)) }()
			stop := context.AfterFunc(ctx, func() { r.CloseWithError(ctx.Err()) })
			defer stop()
			if err := nodeutils.LoadImageArchive(node, r); err != nil {
				if run := exec.RunErrorForError(err); run != nil && len(run.Output) > 0 {
					err = errors.New(lastLine(string(run.Output)))
				}
				return fmt.Errorf("load images into %s: %w", node, errors.Join(err, r.Close()))
			}
			return nil
		})
	}
	return group.Wait()
}

// ImageNames are the full names of a node's images.
func ImageNames(node nodes.Node) (map[string]bool, error) {
	lines, err := exec.OutputLines(node.Command("ctr", "--namespace=k8s.io", "images", "list", "--quiet"))
	if err != nil {
		return nil, fmt.Errorf("list the images of %s: %w", node, err)
	}
	have := map[string]bool{}
	for _, name := range lines {
		have[name] = true
	}
	return have, nil
}

// Store is where images come from that nodes are to hold.
type Store struct {
	Engine Engine
	Dir    string // the image store
	Helper string // netdojo-helper, the stand-ins' program
}

// EnsureImages has the nodes of a cluster hold the images that are named: those of the image
// store, and stand-ins, built from the node's own programs. An image that is
// neither is left to the nodes, which ask its registry.
func (s Store) EnsureImages(ctx context.Context, cluster string, refs []string, detail func(string)) error {
	store, err := image.Open(image.Options{Dir: s.Dir})
	if err != nil {
		return err
	}
	all, err := s.Engine.Kind(log.NoopLogger{}).ListInternalNodes(cluster)
	if err != nil || len(all) == 0 {
		return fmt.Errorf("list the nodes of %s: %w", cluster, err)
	}
	images := map[string]v1.Image{}
	var base image.Layer
	for _, ref := range refs {
		full, img, err := store.Image(ref)
		switch {
		case err == nil:
			images[full] = img
			continue
		case !errors.Is(err, image.ErrNotFound):
			return err
		}
		in, err := image.StandInFor(ref)
		if err != nil {
			return err
		}
		if in == nil || in.Program == image.CoreDNSProgram || in.Program == image.CiliumProgram {
			continue
		}
		if full, err = image.Normalize(ref); err != nil {
			return err
		}
		if strings.Contains(full, "@") {
			continue // an archive has images by tag only
		}
		if base == nil {
			detail("building stand-in images from the node's programs")
			if base, err = tools(all[0]); err != nil {
				return err
			}
		}
		own, err := in.StandInLayer(s.Helper)
		if err != nil {
			return err
		}
		if images[full], err = image.Build(in.Config, base, own); err != nil {
			return fmt.Errorf("build the stand-in for %s: %w", ref, err)
		}
	}
	if len(images) == 0 {
		return nil
	}
	detail("loading " + strings.Join(slices.Sorted(maps.Keys(images)), ", "))
	return Load(ctx, all, images)
}

// toolNames are the programs of a node that stand-ins have, where the node has
// them: a shell, what lab pages type, and what policies are tried with.
var toolNames = []string{
	"sh", "bash", "dash", "curl", "wget", "nc", "nc.openbsd", "ping", "ip", "ss", "host", "getent", "openssl",
	"cat", "ls", "cp", "mv", "rm", "ln", "mkdir", "rmdir", "touch", "chmod", "chown", "echo", "printf", "true", "false", "test",
	"sleep", "timeout", "date", "env", "id", "whoami", "uname", "hostname", "head", "tail", "wc", "sort", "uniq", "cut", "tr",
	"tee", "seq", "expr", "basename", "dirname", "readlink", "realpath", "stat", "dd", "df", "du", "sha256sum", "base64", "nproc",
	"grep", "sed", "awk", "mawk", "find", "xargs", "tar", "gzip", "diff", "ps", "kill", "pgrep", "free", "jq", "[",
}

// toolsScript lists, of the programs in its arguments, the files that they need:
// themselves, what they are links to, their libraries and the loader's; then
// what reaching a TLS server takes. tar reads the list.
const toolsScript = `
cd /
{
	for name in "$@"; do
		path=$(command -v -- "$name") || continue
		case $path in /*) ;; *) path=/usr/bin/$name; [ -e "$path" ] || continue ;; esac
		while :; do
			echo "$path"
			[ -L "$path" ] || break
			target=$(readlink "$path")
			case $target in /*) path=$target ;; *) path=$(dirname "$path")/$target ;; esac
		done
		ldd "$path" 2>/dev/null | grep -o '/[^ ]*' | while read -r lib; do
			echo "$lib"
			readlink -f "$lib"
		done
	done
	for path in /bin /sbin /lib /lib64 /lib32 /libx32; do
		[ -L "$path" ] && echo "$path"
	done
	find /etc/ssl/certs -maxdepth 1 -name ca-certificates.crt
	find /lib /usr/lib -name 'libnss_dns*' -o -name 'libnss_files*'
} | while read -r path; do
	# Through links of folders to the folder that has the file.
	[ -L "$path" ] && [ "$(dirname "$path")" = / ] && { echo "$path"; continue; }
	echo "$(readlink -f "$(dirname "$path")")/$(basename "$path")"
done | sort -u | sed 's|^/*||' | tar --create --file=- --no-recursion --hard-dereference --files-from=- --numeric-owner --owner=0 --group=0
`

// tools is the layer below all stand-ins: programs of the node, with what they
// need. A real node image has them as one built here does.
func tools(node nodes.Node) (image.Layer, error) {
	return toolsBy(node, node.String())
}

// Tools is such a layer of this machine's own programs, with further ones.
func Tools(further ...string) (image.Layer, error) {
	return toolsBy(&exec.LocalCmder{}, "this machine", further...)
}

func toolsBy(c exec.Cmder, whose string, further ...string) (image.Layer, error) {
	var out, said bytes.Buffer
	args := slices.Concat([]string{"-c", toolsScript, "sh"}, toolNames, further)
	if err := c.Command("sh", args...).SetStdout(&out).SetStderr(&said).Run(); err != nil {
		return nil, fmt.Errorf("take programs from %s: %w: %s", whose, err, lastLine(said.String()))
	}
	return image.TarBytes(out.Bytes()), nil
}
