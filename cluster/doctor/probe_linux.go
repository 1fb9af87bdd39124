package doctor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/ruleset"
)

// ProbeName is argv[0] of the child that examines the kernel. A program that
// calls All must look for it first and call Probe.
const ProbeName = "netdojo-doctor-probe"

// findings are what the probe tells its parent; "" is a feature that works.
type findings struct {
	Namespaces string `json:"namespaces"`
	Overlay    string `json:"overlay"`
	NFTables   string `json:"nftables"`
	// Modules are those that would bring what NFTables misses.
	Modules []string `json:"modules,omitempty"`
}

// Probe is the child's main. Its argument is a folder to try mounts in. It
// returns the exit code.
func Probe(args []string) int {
	if len(args) != 1 {
		fmt.Fprintf(os.Stderr, "usage: %s FOLDER\n", ProbeName)
		return 2
	}
	var f findings
	// An AppArmor profile may grant the namespaces and then every capability in
	// them be refused: mounting is what tells.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		f.Namespaces = fmt.Sprintf("make the mounts private: %v", err)
	} else {
		f.Overlay = text(overlay(args[0]))
		f.NFTables, f.Modules = nftables()
	}
	if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	return 0
}

func nftables() (missing string, modules []string) {
	features, err := ruleset.Probe(false)
	if err != nil {
		return err.Error(), nil
	}
	return text(features.Missing()), features.Modules()
}

// overlay mounts one and writes a file through it.
func overlay(dir string) error {
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	merged := filepath.Join(dir, "merged")
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work,userxattr", dir)
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := os.WriteFile(filepath.Join(merged, "probe"), []byte("x"), 0o644); err != nil {
		return err
	}
	return unix.Unmount(merged, 0)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
