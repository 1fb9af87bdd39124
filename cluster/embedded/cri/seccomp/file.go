//go:build linux

package seccomp

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// profile is a profile file: the OCI form, with the includes and excludes that
// container engines add.
type profile struct {
	DefaultAction   string `json:"defaultAction"`
	DefaultErrnoRet *uint  `json:"defaultErrnoRet"`
	Syscalls        []struct {
		Names    []string      `json:"names"`
		Name     string        `json:"name"`
		Action   string        `json:"action"`
		ErrnoRet *uint         `json:"errnoRet"`
		Args     []profileArg  `json:"args"`
		Includes profileFilter `json:"includes"`
		Excludes profileFilter `json:"excludes"`
	} `json:"syscalls"`
}

type profileArg struct {
	Index    uint32 `json:"index"`
	Value    uint64 `json:"value"`
	ValueTwo uint64 `json:"valueTwo"`
	Op       string `json:"op"`
}

type profileFilter struct {
	Caps []string `json:"caps"`
}

// File assembles the profile in a JSON file for a container with these
// capabilities.
func File(path string, caps []string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	var p profile
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("read profile %s: %w", path, err)
	}
	out, err := p.assemble(caps)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", path, err)
	}
	return out, nil
}

func (p *profile) assemble(caps []string) ([]byte, error) {
	table, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	rest, err := actionOf(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	has := func(c string) bool { return slices.Contains(caps, c) || slices.Contains(caps, "ALL") }
	var rules []rule
	for _, s := range p.Syscalls {
		if len(s.Includes.Caps) > 0 && !slices.ContainsFunc(s.Includes.Caps, has) || slices.ContainsFunc(s.Excludes.Caps, has) {
			continue
		}
		action, err := actionOf(s.Action, s.ErrnoRet)
		if err != nil {
			return nil, err
		}
		when, err := conditionsOf(s.Args)
		if err != nil {
			return nil, err
		}
		names := s.Names
		if s.Name != "" {
			names = append(names, s.Name)
		}
		for _, name := range names {
			// A name of another architecture is no error, as with libseccomp.
			if n, ok := table.SyscallNames[name]; ok {
				rules = append(rules, rule{number: uint32(n), when: when, action: action})
			}
		}
	}
	return assemble(rules, rest, rest)
}

func actionOf(name string, ret *uint) (uint32, error) {
	code := uint32(unix.EPERM)
	if ret != nil {
		code = uint32(*ret)
	}
	switch name {
	case "SCMP_ACT_ALLOW":
		return unix.SECCOMP_RET_ALLOW, nil
	case "SCMP_ACT_ERRNO":
		return unix.SECCOMP_RET_ERRNO | code&0xffff, nil
	case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD":
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case "SCMP_ACT_KILL_PROCESS":
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case "SCMP_ACT_TRAP":
		return unix.SECCOMP_RET_TRAP, nil
	case "SCMP_ACT_LOG":
		return unix.SECCOMP_RET_LOG, nil
	}
	return 0, fmt.Errorf("unknown action %q", name)
}

var operations = map[string]operation{
	"SCMP_CMP_EQ": equal, "SCMP_CMP_NE": notEqual, "SCMP_CMP_LT": less, "SCMP_CMP_LE": lessEqual,
	"SCMP_CMP_GT": greater, "SCMP_CMP_GE": greaterEqual, "SCMP_CMP_MASKED_EQ": maskedEqual,
}

func conditionsOf(args []profileArg) ([]condition, error) {
	var out []condition
	for _, a := range args {
		op, ok := operations[a.Op]
		if !ok {
			return nil, fmt.Errorf("unknown comparison %q", a.Op)
		}
		if a.Index > 5 {
			return nil, errors.New("a system call has six arguments")
		}
		c := condition{arg: a.Index, op: op, value: a.Value}
		if op == maskedEqual {
			c.mask, c.value = a.Value, a.ValueTwo
		}
		out = append(out, c)
	}
	return out, nil
}
