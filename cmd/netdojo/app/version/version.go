// Package version is `netdojo version`.
package version

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

const devel = "devel"

// Version and Commit are this program's; a release's build sets them with -X. Else
// what the go command says of the tree is used.
var (
	Version = devel
	Commit  string
)

// Schema names the form of the JSON output.
const Schema = "netdojo.dev/version/v1"

// Info is what is known of this build. Kubernetes and Cilium are the releases
// whose code the embedded cluster is made of.
type Info struct {
	Schema     string `json:"schema"`
	Version    string `json:"version"`
	Commit     string `json:"commit,omitempty"`
	Modified   bool   `json:"modified,omitempty"` // built from a tree with changes
	Go         string `json:"go"`
	Platform   string `json:"platform"`
	Kubernetes string `json:"kubernetes,omitempty"`
	Cilium     string `json:"cilium,omitempty"`
}

// Options are what the command line says.
type Options struct {
	Env    *env.Env
	Output string // plain or json
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(*Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print netdojo's version and those of its parts",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if o.Output != "plain" && o.Output != "json" {
				return exit.Usagef("--output is plain or json, not %q", o.Output)
			}
			return run(o)
		},
	}
	cmd.Flags().StringVarP(&o.Output, "output", "o", "plain", "plain or json")
	return cmd
}

// Run prints the version.
func Run(o *Options) error {
	info := Get()
	if o.Output == "json" {
		enc := json.NewEncoder(o.Env.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(info)
	}
	fmt.Fprintf(o.Env.Out, "netdojo %s", info.Version)
	if info.Commit != "" {
		fmt.Fprintf(o.Env.Out, " (%.12s", info.Commit)
		if info.Modified {
			fmt.Fprint(o.Env.Out, ", with changes")
		}
		fmt.Fprint(o.Env.Out, ")")
	}
	fmt.Fprintf(o.Env.Out, ", %s, %s\n", info.Go, info.Platform)
	if info.Kubernetes != "" {
		fmt.Fprintf(o.Env.Out, "Kubernetes %s, Cilium %s\n", info.Kubernetes, info.Cilium)
	}
	return nil
}

// Get reads what the build recorded of itself.
func Get() Info {
	info := Info{
		Schema: Schema, Version: Version, Commit: Commit, Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	if v := build.Main.Version; info.Version == devel && v != "" && v != "(devel)" {
		info.Version = v
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			info.Commit = s.Value
		case "vcs.modified":
			info.Modified = s.Value == "true"
		}
	}
	for _, m := range build.Deps {
		used := m
		if m.Replace != nil {
			used = m.Replace
		}
		switch m.Path {
		case "k8s.io/client-go":
			// The libraries are numbered v0.X.Y where Kubernetes is v1.X.Y.
			info.Kubernetes = strings.Replace(used.Version, "v0.", "v1.", 1)
		case "github.com/cilium/cilium":
			info.Cilium = used.Version
		}
	}
	return info
}
