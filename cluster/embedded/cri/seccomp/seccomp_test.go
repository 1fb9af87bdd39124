//go:build linux

package seccomp

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// judge runs a filter on a system call, as the kernel would.
func judge(t *testing.T, filter []byte, name string, args ...uint64) uint32 {
	t.Helper()
	table, err := arch.GetInfo("")
	if err != nil {
		t.Fatal(err)
	}
	number, ok := table.SyscallNames[name]
	if !ok {
		t.Fatalf("no system call %s", name)
	}
	return judgeNumber(t, filter, uint32(table.ID), uint32(number), args...)
}

func judgeNumber(t *testing.T, filter []byte, machine, number uint32, args ...uint64) uint32 {
	t.Helper()
	var prog []bpf.Instruction
	for i := 0; i < len(filter); i += 8 {
		raw := bpf.RawInstruction{Op: binary.NativeEndian.Uint16(filter[i:]), Jt: filter[i+2], Jf: filter[i+3], K: binary.NativeEndian.Uint32(filter[i+4:])}
		prog = append(prog, raw.Disassemble())
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatalf("the program is not valid: %v", err)
	}
	// The VM loads words of packets, high byte first; the kernel loads native ones.
	data := make([]byte, 64)
	put := func(off int, v uint32) { binary.BigEndian.PutUint32(data[off:], v) }
	put(offNumber, number)
	put(offArch, machine)
	for i, a := range args {
		lo, hi := offArgs+8*i, offArgs+8*i+4
		if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
			lo, hi = hi, lo
		}
		put(lo, uint32(a))
		put(hi, uint32(a>>32))
	}
	verdict, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(verdict)
}

func TestDefault(t *testing.T) {
	const allow = uint32(unix.SECCOMP_RET_ALLOW)
	eperm, enosys := errno(unix.EPERM), errno(unix.ENOSYS)
	for _, tc := range []struct {
		title string
		caps  []string
		call  string
		args  []uint64
		want  uint32
	}{
		{"ordinary", nil, "read", nil, allow},
		{"exec", nil, "execve", nil, allow},
		{"change user", nil, "setresuid", nil, allow},
		{"mount", nil, "mount", nil, eperm},
		{"mount, allowed", []string{"CAP_SYS_ADMIN"}, "mount", nil, allow},
		{"all capabilities", []string{"ALL"}, "mount", nil, allow},
		{"never", []string{"ALL"}, "keyctl", nil, eperm},
		{"fork", nil, "clone", []uint64{uint64(unix.SIGCHLD)}, allow},
		{"thread", nil, "clone", []uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND}, allow},
		{"new user namespace", nil, "clone", []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, eperm},
		{"new mount namespace, allowed", []string{"CAP_SYS_ADMIN"}, "clone", []uint64{unix.CLONE_NEWNS}, allow},
		{"clone3 falls back", nil, "clone3", nil, enosys},
		{"personality, usual", nil, "personality", []uint64{0xffffffff}, allow},
		{"personality, other", nil, "personality", []uint64{0x40000}, eperm},
		{"personality, high bits", nil, "personality", []uint64{1 << 32}, eperm},
		{"socket", nil, "socket", []uint64{unix.AF_INET}, allow},
		{"kernel crypto socket", nil, "socket", []uint64{unix.AF_ALG}, eperm},
		{"vsock", nil, "socket", []uint64{unix.AF_VSOCK}, eperm},
		{"module", nil, "finit_module", nil, eperm},
		{"module, allowed", []string{"CAP_SYS_MODULE"}, "finit_module", nil, allow},
	} {
		filter, err := Default(tc.caps)
		if err != nil {
			t.Fatal(err)
		}
		if got := judge(t, filter, tc.call, tc.args...); got != tc.want {
			t.Errorf("%s: %#x, want %#x", tc.title, got, tc.want)
		}
	}
	filter, err := Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	table, err := arch.GetInfo("")
	if err != nil {
		t.Fatal(err)
	}
	if got := judgeNumber(t, filter, uint32(table.ID), 5000); got != enosys {
		t.Errorf("a call that no one knows: %#x", got)
	}
	if got := judgeNumber(t, filter, uint32(table.ID)+1, 0); got != enosys {
		t.Errorf("another machine's call: %#x", got)
	}
	if got := judgeNumber(t, filter, uint32(table.ID), x32Bit|1); got != enosys {
		t.Errorf("a call of the x32 ABI: %#x", got)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "profile.json")
	text := `{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
		{"names": ["read", "not_a_call"], "action": "SCMP_ACT_ALLOW"},
		{"names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
		{"names": ["lseek"], "action": "SCMP_ACT_ALLOW", "args": [
			{"index": 0, "value": 4294967299, "op": "SCMP_CMP_GT"}, {"index": 1, "value": 7, "op": "SCMP_CMP_NE"}]},
		{"names": ["dup"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 3, "op": "SCMP_CMP_LE"}]},
		{"names": ["dup"], "action": "SCMP_ACT_KILL_PROCESS", "args": [{"index": 0, "value": 8, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}]},
		{"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
		{"names": ["umount2"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]}`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	filter, err := File(path, []string{"CAP_SYS_ADMIN"})
	if err != nil {
		t.Fatal(err)
	}
	const allow = uint32(unix.SECCOMP_RET_ALLOW)
	rest := errno(unix.ENOSYS)
	for _, tc := range []struct {
		call string
		args []uint64
		want uint32
	}{
		{"read", nil, allow},
		{"write", nil, errno(unix.EIO)},
		{"openat", nil, rest},
		{"mount", nil, allow},
		{"umount2", nil, rest},
		{"lseek", []uint64{1<<32 + 4, 0}, allow},
		{"lseek", []uint64{1<<32 + 3, 0}, rest},
		{"lseek", []uint64{2 << 32, 0}, allow},
		{"lseek", []uint64{5, 0}, rest},
		{"lseek", []uint64{2 << 32, 7}, rest},
		{"lseek", []uint64{2 << 32, 1<<32 + 7}, allow},
		{"dup", []uint64{3}, allow},
		{"dup", []uint64{4}, rest},
		{"dup", []uint64{1 << 32}, rest},
		{"dup", []uint64{12}, unix.SECCOMP_RET_KILL_PROCESS},
	} {
		if got := judge(t, filter, tc.call, tc.args...); got != tc.want {
			t.Errorf("%s %#x: %#x, want %#x", tc.call, tc.args, got, tc.want)
		}
	}
	for title, text := range map[string]string{
		"not JSON":           "{",
		"unknown action":     `{"defaultAction": "SCMP_ACT_PERHAPS"}`,
		"unknown comparison": `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"op": "?"}]}]}`,
		"seventh argument":   `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}]}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := File(path, nil); err == nil {
			t.Errorf("%s passes", title)
		}
	}
}
