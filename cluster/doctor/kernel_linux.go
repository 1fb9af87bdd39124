package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	namespacesID  = "user-namespaces"
	overlayID     = "overlayfs"
	namespacesReq = "A process of yours can have user, mount, PID and network namespaces"
	overlayReq    = "overlayfs works in them, on the state folder's file system"
)

// examineKernel asks the kernel by doing, in a child in namespaces of its own.
func examineKernel(ctx context.Context, cfg Config) []Result {
	namespaces := Result{ID: namespacesID, Requirement: namespacesReq, State: OK}
	overlay := Result{ID: overlayID, Requirement: overlayReq, State: Unknown, Cause: "not examined: there are no namespaces to do it in"}
	nft := Result{ID: nftablesID, Requirement: nftablesReq, State: Unknown, Cause: overlay.Cause}

	s := cfg.system()
	_, uid := s.user()
	seen, err := s.probe(ctx, cfg)
	if err != nil {
		cause, cure := whyNoNamespaces(err, uid, s.sysctl)
		namespaces.State, namespaces.Cause, namespaces.Cure = Failed, cause, cure
		return []Result{namespaces, overlay, nft}
	}
	if seen.Namespaces != "" {
		cause, cure := whyNoNamespaces(errors.New(seen.Namespaces), uid, s.sysctl)
		namespaces.State, namespaces.Cause, namespaces.Cure = Failed, cause, cure
		return []Result{namespaces, overlay, nft}
	}
	overlay.State, overlay.Cause = OK, ""
	if seen.Overlay != "" {
		overlay.State, overlay.Cause = Failed, seen.Overlay
		overlay.Cure = "set NETDOJO_STATE_DIR to a folder on a local disk (ext4, xfs, btrfs or tmpfs), on Linux 5.11 or later; as root: modprobe overlay"
	}
	nft.State, nft.Cause = OK, ""
	if seen.NFTables != "" {
		nft.State, nft.Cause = Failed, seen.NFTables
		nft.Cure = cureFor(seen.Modules)
	}
	return []Result{namespaces, overlay, nft}
}

// cureFor says how to get modules of the kernel.
func cureFor(modules []string) string {
	if len(modules) == 0 {
		return "use a kernel with nftables, conntrack and network namespaces, such as a distribution's own"
	}
	return "as root: modprobe -a " + strings.Join(modules, " ") + " (and name them in /etc/modules-load.d/); where the kernel lacks them, use another kernel"
}

// runProbe runs this very program again, in new namespaces, as root in them.
func runProbe(ctx context.Context, cfg Config) (findings, error) {
	var seen findings
	dir, err := os.MkdirTemp(cfg.StateDir, ".doctor-*")
	if err != nil {
		// The state folder has a finding of its own.
		if dir, err = os.MkdirTemp("", "netdojo-doctor-*"); err != nil {
			return seen, err
		}
	}
	defer removeProbe(dir)

	exe, err := os.Executable()
	if err != nil {
		return seen, fmt.Errorf("find the running program: %w", err)
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Args = []string{ProbeName, dir}
	cmd.Env = []string{}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(errOut.String()); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return seen, err
	}
	if err := json.Unmarshal(out.Bytes(), &seen); err != nil {
		return seen, fmt.Errorf("read what the probe says: %w", err)
	}
	return seen, nil
}

// removeProbe removes the probe's folder. The kernel leaves overlayfs' work
// folder without any permissions.
func removeProbe(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(dir)
}

// exhausted is the first limit on namespaces that allows none; "" when all do.
func exhausted(sysctl func(string) string) string {
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts"} {
		if name := "max_" + kind + "_namespaces"; sysctl("user/"+name) == "0" {
			return name
		}
	}
	return ""
}

// whyNoNamespaces names the switch that forbids them.
func whyNoNamespaces(err error, uid int, sysctl func(string) string) (cause, cure string) {
	switch {
	case sysctl("user/max_user_namespaces") == "0":
		return "user.max_user_namespaces is 0: " + err.Error(),
			"as root: sysctl -w user.max_user_namespaces=15000 (and put it into /etc/sysctl.d/)"
	case uid != 0 && sysctl("kernel/unprivileged_userns_clone") == "0":
		return "kernel.unprivileged_userns_clone is 0: " + err.Error(),
			"as root: sysctl -w kernel.unprivileged_userns_clone=1 (and put it into /etc/sysctl.d/)"
	case uid != 0 && sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "AppArmor keeps ordinary users from having namespaces (kernel.apparmor_restrict_unprivileged_userns is 1): " + err.Error(),
			"as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (and put it into /etc/sysctl.d/), or run netdojo as root"
	case errors.Is(err, syscall.ENOSPC) && exhausted(sysctl) != "":
		name := exhausted(sysctl)
		return fmt.Sprintf("user.%s is 0: %v", name, err),
			fmt.Sprintf("as root: sysctl -w user.%s=15000 (and put it into /etc/sysctl.d/)", name)
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return "the kernel does not permit it: " + err.Error(),
			"in a container, allow namespaces (for example --security-opt seccomp=unconfined); else run netdojo as root"
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOSYS):
		return "the kernel knows no such namespaces: " + err.Error(),
			"use a kernel with CONFIG_USER_NS, CONFIG_PID_NS and CONFIG_NET_NS"
	}
	return err.Error(), ""
}
