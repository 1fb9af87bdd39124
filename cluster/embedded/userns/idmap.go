//go:build linux

package userns

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Root's clusters map this range: it lies above what systemd gives to
// containers (524288–1879048191) and what distributions give to users.
const (
	rootBase  = 0x70000000
	rangeSize = 65536
)

// idMap says which host ids a namespace's ids are.
type idMap struct {
	uids, gids []syscall.SysProcIDMap
	// external says that newuidmap and newgidmap have to write the maps, since
	// they hold ids that are not the caller's own.
	external bool
	// groups says that processes inside may set their groups.
	groups bool
}

// mapsRootBase says whether this process is a root that may give rootBase away:
// the host's own. Root inside a user namespace that lacks the range is treated
// as an ordinary user.
func mapsRootBase() bool {
	if os.Getuid() != 0 {
		return false
	}
	f, err := os.Open("/proc/self/uid_map")
	if err != nil {
		return false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var inside, outside, size uint64
		if _, err := fmt.Sscan(sc.Text(), &inside, &outside, &size); err == nil &&
			inside <= rootBase && inside+size >= rootBase+rangeSize {
			return true
		}
	}
	return false
}

// currentIDMap picks the maps for whoever runs this process.
func currentIDMap() idMap {
	uid, gid := os.Getuid(), os.Getgid()
	if mapsRootBase() {
		m := []syscall.SysProcIDMap{{ContainerID: 0, HostID: rootBase, Size: rangeSize}}
		return idMap{uids: m, gids: m, groups: true}
	}
	if n := furtherIDs(); n > 0 {
		m := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: n}}
		return idMap{uids: m, gids: m, groups: true}
	}
	own := idMap{
		uids: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
		gids: []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}},
	}
	name := strconv.Itoa(uid)
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	su, okU := subordinate("/etc/subuid", name, uid)
	sg, okG := subordinate("/etc/subgid", name, uid)
	if !okU || !okG || !onPath("newuidmap") || !onPath("newgidmap") {
		return own
	}
	own.uids = append(own.uids, syscall.SysProcIDMap{ContainerID: 1, HostID: su.start, Size: min(su.size, rangeSize-1)})
	own.gids = append(own.gids, syscall.SysProcIDMap{ContainerID: 1, HostID: sg.start, Size: min(sg.size, rangeSize-1)})
	own.external = true
	return own
}

// furtherIDs is how many ids from 0 on this process may give away: it is root of a user
// namespace that has a range of them, such as a pod's with users of its own. 0 where it
// is not, or may not.
func furtherIDs() int {
	if os.Getuid() != 0 || !mayMapIDs() {
		return 0
	}
	n := rangeSize
	for _, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0
		}
		n = min(n, idsFromZero(string(text)))
	}
	if n < rangeSize {
		return 0
	}
	return n
}

// idsFromZero is how many ids an id map has from 0 on.
func idsFromZero(idMap string) int {
	for line := range strings.Lines(idMap) {
		var inside, outside, size int
		if _, err := fmt.Sscan(line, &inside, &outside, &size); err == nil && inside == 0 {
			return size
		}
	}
	return 0
}

// mayMapIDs says whether this process has CAP_SETUID and CAP_SETGID.
func mayMapIDs() bool {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			const both = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
			return err == nil && caps&both == both
		}
	}
	return false
}

func onPath(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

type idRange struct{ start, size int }

// subordinate finds a user's first range in a file of subuid(5)'s format.
func subordinate(file, name string, uid int) (idRange, bool) {
	f, err := os.Open(file)
	if err != nil {
		return idRange{}, false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		parts := strings.Split(strings.TrimSpace(sc.Text()), ":")
		if len(parts) != 3 || (parts[0] != name && parts[0] != strconv.Itoa(uid)) {
			continue
		}
		start, err1 := strconv.Atoi(parts[1])
		size, err2 := strconv.Atoi(parts[2])
		if err1 == nil && err2 == nil && size > 0 {
			return idRange{start, size}, true
		}
	}
	return idRange{}, false
}

// write has newuidmap and newgidmap write the maps of a process.
func (m idMap) write(pid int) error {
	for _, w := range []struct {
		program string
		maps    []syscall.SysProcIDMap
	}{{"newuidmap", m.uids}, {"newgidmap", m.gids}} {
		args := []string{strconv.Itoa(pid)}
		for _, r := range w.maps {
			args = append(args, strconv.Itoa(r.ContainerID), strconv.Itoa(r.HostID), strconv.Itoa(r.Size))
		}
		if out, err := exec.Command(w.program, args...).CombinedOutput(); err != nil {
			return &Problem{
				What: fmt.Sprintf("%s: %s", w.program, strings.TrimSpace(string(out))),
				Fix:  "check your ranges in /etc/subuid and /etc/subgid, and that " + w.program + " is setuid root (package uidmap)",
				Err:  err,
			}
		}
	}
	return nil
}

// attr is how a child enters a new user namespace with this map. With an
// external map the child has to wait until write is done.
func (m idMap) attr() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, Pdeathsig: syscall.SIGKILL}
	if m.external {
		return a
	}
	a.UidMappings, a.GidMappings = m.uids, m.gids
	a.GidMappingsEnableSetgroups = m.groups
	a.Credential = &syscall.Credential{NoSetGroups: !m.groups}
	return a
}

// sameIDs gives a child a user namespace of its own in which all ids are those of
// this process's.
func sameIDs(a *syscall.SysProcAttr) error {
	for _, m := range []struct {
		file string
		maps *[]syscall.SysProcIDMap
	}{{"/proc/self/uid_map", &a.UidMappings}, {"/proc/self/gid_map", &a.GidMappings}} {
		f, err := os.Open(m.file)
		if err != nil {
			return fmt.Errorf("read the id map: %w", err)
		}
		defer f.Close()
		for sc := bufio.NewScanner(f); sc.Scan(); {
			var inside, outside, size int
			if _, err := fmt.Sscan(sc.Text(), &inside, &outside, &size); err != nil {
				return fmt.Errorf("read the id map %q: %w", sc.Text(), err)
			}
			*m.maps = append(*m.maps, syscall.SysProcIDMap{ContainerID: inside, HostID: inside, Size: size})
		}
	}
	b, err := os.ReadFile("/proc/self/setgroups")
	if err != nil {
		return fmt.Errorf("read whether groups may be set: %w", err)
	}
	a.GidMappingsEnableSetgroups = strings.TrimSpace(string(b)) == "allow"
	return nil
}
