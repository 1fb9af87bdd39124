//go:build linux

// Package seccomp turns a container's seccomp profile into the BPF program
// that the kernel takes: the default profile of container runtimes, or a
// profile file in their JSON form. It installs nothing.
package seccomp

import (
	"encoding/binary"
	"fmt"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

// x32Bit marks system calls of the x32 ABI, which no profile allows.
const x32Bit = 0x40000000

// condition compares an argument of a system call with a value.
type condition struct {
	arg   uint32
	op    operation
	value uint64
	mask  uint64 // for maskedEqual
}

type operation int

const (
	equal operation = iota
	notEqual
	less
	lessEqual
	greater
	greaterEqual
	maskedEqual // argument & mask == value
)

// rule is what happens to a system call when all its conditions hold. The
// first rule that fits decides.
type rule struct {
	number uint32
	when   []condition
	action uint32
}

// program is a filter under construction.
type program []unix.SockFilter

func (p *program) add(code uint16, jt, jf uint8, k uint32) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (p *program) load(off uint32) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, off) }

func (p *program) ret(action uint32) { p.add(unix.BPF_RET|unix.BPF_K, 0, 0, action) }

func errno(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

// assemble makes the program. unknown is for system calls newer than the table
// of numbers, rest for those that no rule fits.
func assemble(rules []rule, rest, unknown uint32) ([]byte, error) {
	table, err := arch.GetInfo("")
	if err != nil {
		return nil, fmt.Errorf("system calls of this machine: %w", err)
	}
	newest := 0
	for number := range table.SyscallNumbers {
		newest = max(newest, number)
	}
	var p program
	p.load(offArch)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 1, 0, uint32(table.ID))
	p.ret(errno(unix.ENOSYS))
	p.load(offNumber)
	p.add(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, 0, 1, x32Bit)
	p.ret(errno(unix.ENOSYS))
	p.add(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, 0, 1, uint32(newest))
	p.ret(unknown)
	for _, r := range rules {
		p.rule(r)
	}
	p.ret(rest)
	out := make([]byte, 0, 8*len(p))
	for _, f := range p {
		out = binary.NativeEndian.AppendUint16(out, f.Code)
		out = append(out, f.Jt, f.Jf)
		out = binary.NativeEndian.AppendUint32(out, f.K)
	}
	return out, nil
}

// rule adds one rule. The accumulator holds the number before and after it.
func (p *program) rule(r rule) {
	var body program
	for _, c := range r.when {
		body.check(c)
	}
	body.ret(r.action)
	// Every check jumps to the end with a zero jf, filled in here.
	end := len(body)
	for i := range body {
		if body[i].Code&0x07 != unix.BPF_JMP {
			continue
		}
		if body[i].Jt == toEnd {
			body[i].Jt = uint8(end - i - 1)
		}
		if body[i].Jf == toEnd {
			body[i].Jf = uint8(end - i - 1)
		}
	}
	if len(r.when) > 0 {
		// A rule that does not fit leaves an argument in the accumulator.
		body.load(offNumber)
	}
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, uint8(len(body)), r.number)
	*p = append(*p, body...)
}

// toEnd stands for a jump past the rule until its length is known; a rule has
// at most six conditions of at most eight instructions, so no real jump is it.
const toEnd = 0xff

// check adds one condition: what follows runs only when it holds.
func (p *program) check(c condition) {
	lo, hi := offArgs+8*c.arg, offArgs+8*c.arg+4
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		lo, hi = hi, lo
	}
	valueLo, valueHi := uint32(c.value), uint32(c.value>>32)
	jump := func(op uint16, jt, jf uint8, k uint32) { p.add(unix.BPF_JMP|op|unix.BPF_K, jt, jf, k) }
	switch c.op {
	case equal:
		p.load(hi)
		jump(unix.BPF_JEQ, 0, toEnd, valueHi)
		p.load(lo)
		jump(unix.BPF_JEQ, 0, toEnd, valueLo)
	case notEqual:
		p.load(hi)
		jump(unix.BPF_JEQ, 0, 2, valueHi)
		p.load(lo)
		jump(unix.BPF_JEQ, toEnd, 0, valueLo)
	case maskedEqual:
		p.load(hi)
		p.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, 0, 0, uint32(c.mask>>32))
		jump(unix.BPF_JEQ, 0, toEnd, valueHi)
		p.load(lo)
		p.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, 0, 0, uint32(c.mask))
		jump(unix.BPF_JEQ, 0, toEnd, valueLo)
	case greater, greaterEqual:
		op := uint16(unix.BPF_JGT)
		if c.op == greaterEqual {
			op = unix.BPF_JGE
		}
		p.load(hi)
		jump(unix.BPF_JGT, 3, 0, valueHi)
		jump(unix.BPF_JEQ, 0, toEnd, valueHi)
		p.load(lo)
		jump(op, 0, toEnd, valueLo)
	case less, lessEqual:
		op := uint16(unix.BPF_JGE)
		if c.op == lessEqual {
			op = unix.BPF_JGT
		}
		p.load(hi)
		jump(unix.BPF_JGT, toEnd, 0, valueHi)
		jump(unix.BPF_JEQ, 0, 2, valueHi)
		p.load(lo)
		jump(op, toEnd, 0, valueLo)
	}
}
