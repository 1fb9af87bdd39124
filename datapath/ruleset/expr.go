package ruleset

import (
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/family"
)

// The functions below make one nftables expression each; all use register 1
// unless they say so. They read like the words of an nft rule.

const reg = unix.NFT_REG_1

func meta(key expr.MetaKey) expr.Any { return &expr.Meta{Key: key, Register: reg} }

func setMeta(key expr.MetaKey) expr.Any {
	return &expr.Meta{Key: key, Register: reg, SourceRegister: true}
}

func ct(key expr.CtKey) expr.Any { return &expr.Ct{Key: key, Register: reg} }

func setCtMark() expr.Any {
	return &expr.Ct{Key: expr.CtKeyMARK, Register: reg, SourceRegister: true}
}

func is(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data} }

func isNot(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: data} }

func native(v uint32) []byte { return binaryutil.NativeEndian.PutUint32(v) }

func load(data []byte) expr.Any { return &expr.Immediate{Register: reg, Data: data} }

func verdict(kind expr.VerdictKind) expr.Any { return &expr.Verdict{Kind: kind} }

func goTo(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictGoto, Chain: chain} }

func jump(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain} }

// and is register & mask | or, for host-order words.
func and(mask, or uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: native(mask), Xor: native(or)}
}

// hasBits is true when any of the bits is set.
func hasBits(bits uint32) []expr.Any { return []expr.Any{and(bits, 0), isNot(native(0))} }

// within compares an address of the header, at that offset, with a prefix.
func within(offset uint32, p netip.Prefix, op expr.CmpOp) []expr.Any {
	f := family.Of(p.Addr())
	return append([]expr.Any{&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.Size}},
		in(p, op)...)
}

// in compares the address in the register with a prefix.
func in(p netip.Prefix, op expr.CmpOp) []expr.Any {
	f := family.Of(p.Addr())
	return []expr.Any{
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: f.Size, Mask: f.Mask(p.Bits()), Xor: make([]byte, f.Size)},
		&expr.Cmp{Op: op, Register: reg, Data: p.Masked().Addr().AsSlice()},
	}
}

// iface compares an interface name (meta key) with a prefix, or with the whole
// name when whole is set.
func iface(key expr.MetaKey, name string, whole bool, op expr.CmpOp) []expr.Any {
	data := []byte(name)
	if whole {
		data = make([]byte, unix.IFNAMSIZ)
		copy(data, name)
	}
	return []expr.Any{meta(key), &expr.Cmp{Op: op, Register: reg, Data: data}}
}

// join concatenates expressions and lists of them into one rule.
func join(parts ...any) []expr.Any {
	var out []expr.Any
	for _, p := range parts {
		switch p := p.(type) {
		case expr.Any:
			out = append(out, p)
		case []expr.Any:
			out = append(out, p...)
		}
	}
	return out
}
