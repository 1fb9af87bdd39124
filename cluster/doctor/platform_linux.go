package doctor

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

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

func (p packages) install() string {
	for _, m := range []struct{ program, command, pkg string }{
		{"apt-get", "apt-get install", p.apt},
		{"dnf", "dnf install", p.dnf},
		{"apk", "apk add", p.apk},
		{"pacman", "pacman -S", p.pacman},
		{"zypper", "zypper install", p.zypper},
	} {
		if _, err := exec.LookPath(m.program); err == nil {
			return "as root: " + m.command + " " + m.pkg
		}
	}
	return "install the package " + p.apt + " (Debian, Ubuntu), " + p.dnf + " (Fedora) or " + p.apk + " (Alpine)"
}

func curl(context.Context, Config) error {
	// The node shows containers the machine's /usr, so only a curl in there helps.
	for _, path := range []string{"/usr/bin/curl", "/bin/curl"} {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	cure := packages{"curl", "curl", "curl", "curl", "curl"}.install()
	if path, err := exec.LookPath("curl"); err == nil {
		return failed(cure, "curl is only at %s, which containers do not see", path)
	}
	return failed(cure, "there is no /usr/bin/curl")
}

// netfilter asks for the socket that nftables and its queues are spoken to by.
// Whether the kernel has all of them, only namespaces can tell.
func netfilter(context.Context, Config) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return failed(cureFor([]string{"nfnetlink", "nf_tables"}), "the kernel cannot be asked for nftables: %v", err)
	}
	return unix.Close(fd)
}

// subordinateIDs looks for what an ordinary user's namespaces need to hold more
// than one user. Root gives itself the range.
func subordinateIDs(context.Context, Config) error {
	uid := os.Getuid()
	if uid == 0 {
		return nil
	}
	name := strconv.Itoa(uid)
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	const without = "; containers with runAsUser, fsGroup or a USER fail to start"
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		if !hasRange(file, name, uid) {
			return warning("as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "+name,
				"%s has no range for %s%s", file, name, without)
		}
	}
	for _, program := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(program); err != nil {
			return warning(packages{"uidmap", "shadow-utils", "shadow-uidmap", "shadow", "shadow"}.install(),
				"%s is not installed%s", program, without)
		}
	}
	return nil
}

// hasRange reads a file of subuid(5)'s form: NAME-OR-UID:FIRST:COUNT.
func hasRange(file, name string, uid int) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		parts := strings.Split(strings.TrimSpace(lines.Text()), ":")
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
