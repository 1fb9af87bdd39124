package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// system is what checks ask of a machine.
type system struct {
	stat      func(path string) (fs.FileInfo, error)
	look      func(program string) (path string, err error)
	read      func(file string) ([]byte, error)
	sysctl    func(name string) string // see readSysctl
	free      func(dir string) (bytes uint64, err error)
	netfilter func() error // opens the socket of netfilter's messages
	user      func() (name string, uid int)
	probe     func(context.Context, Config) (findings, error)
}

// thisSystem asks the machine that netdojo runs on.
var thisSystem = &system{
	stat: os.Stat, look: exec.LookPath, read: os.ReadFile, sysctl: readSysctl, free: freeSpace,
	netfilter: openNetfilter, user: currentUser, probe: runProbe,
}

func platform() []check {
	return []check{
		{"curl", "curl is installed: the stand-in images use the machine's own", curl},
		{"netfilter", "The kernel takes netfilter's messages", netfilter},
		{"subordinate-ids", "Other users than root can exist in containers", subordinateIDs},
	}
}

// packages names the package that brings a program, by the package manager that
// the machine has.
type packages struct{ apt, dnf, apk, pacman, zypper string }

func (p packages) install(s *system) string {
	for _, m := range []struct{ program, command, pkg string }{
		{"apt-get", "apt-get install", p.apt},
		{"dnf", "dnf install", p.dnf},
		{"apk", "apk add", p.apk},
		{"pacman", "pacman -S", p.pacman},
		{"zypper", "zypper install", p.zypper},
	} {
		if _, err := s.look(m.program); err == nil {
			return "as root: " + m.command + " " + m.pkg
		}
	}
	return "install the package " + p.apt + " (Debian, Ubuntu), " + p.dnf + " (Fedora) or " + p.apk + " (Alpine)"
}

func curl(_ context.Context, cfg Config) error {
	s := cfg.system()
	// The node shows containers the machine's /usr, so only a curl in there helps.
	for _, path := range []string{"/usr/bin/curl", "/bin/curl"} {
		if _, err := s.stat(path); err == nil {
			return nil
		}
	}
	cure := packages{"curl", "curl", "curl", "curl", "curl"}.install(s)
	if path, err := s.look("curl"); err == nil {
		return failed(cure, "curl is only at %s, which containers do not see", path)
	}
	return failed(cure, "there is no /usr/bin/curl")
}

// netfilter asks for the socket that nftables and its queues are spoken to by.
// Whether the kernel has all of them, only namespaces can tell.
func netfilter(_ context.Context, cfg Config) error {
	if err := cfg.system().netfilter(); err != nil {
		return failed(cureFor([]string{"nfnetlink", "nf_tables"}), "the kernel cannot be asked for nftables: %v", err)
	}
	return nil
}

func openNetfilter() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func currentUser() (name string, uid int) {
	uid = os.Getuid()
	if u, err := user.Current(); err == nil {
		return u.Username, uid
	}
	return strconv.Itoa(uid), uid
}

// subordinateIDs looks for what an ordinary user's namespaces need to hold more
// than one user. Root gives itself the range.
func subordinateIDs(_ context.Context, cfg Config) error {
	s := cfg.system()
	name, uid := s.user()
	if uid == 0 {
		return nil
	}
	const without = "; containers with runAsUser, fsGroup or a USER fail to start"
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		if content, err := s.read(file); err != nil || !hasRange(content, name, uid) {
			return warning("as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "+name,
				"%s has no range for %s%s", file, name, without)
		}
	}
	for _, program := range []string{"newuidmap", "newgidmap"} {
		if _, err := s.look(program); err != nil {
			return warning(packages{"uidmap", "shadow-utils", "shadow-uidmap", "shadow", "shadow"}.install(s),
				"%s is not installed%s", program, without)
		}
	}
	return nil
}

// hasRange looks into a file of subuid(5)'s form: NAME-OR-UID:FIRST:COUNT.
func hasRange(content []byte, name string, uid int) bool {
	for line := range strings.Lines(string(content)) {
		parts := strings.Split(strings.TrimSpace(line), ":")
		if len(parts) != 3 || parts[0] != name && parts[0] != strconv.Itoa(uid) {
			continue
		}
		if count, err := strconv.Atoi(parts[2]); err == nil && count > 0 {
			return true
		}
	}
	return false
}

// freeSpace is how many bytes an ordinary user may still write below a folder.
func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
