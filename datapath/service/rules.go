package service

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/family"
)

// layout says where a table keeps what, in registers of 4 bytes each: an address
// and a port lie side by side, as the maps have them.
type layout struct {
	family.Family
	addr, port, third, key, index uint32
	frontend, backend, pair       nftables.SetDatatype
	refusal                       uint8 // the code of "port unreachable"
}

func newLayout(f family.Family) layout {
	words := f.Size / 4
	l := layout{
		Family:   f,
		addr:     unix.NFT_REG32_00,
		port:     unix.NFT_REG32_00 + words,
		third:    unix.NFT_REG32_00 + words + 1,
		key:      unix.NFT_REG32_00 + 2*words + 2,
		index:    unix.NFT_REG32_00 + 3*words + 2,
		frontend: nftables.MustConcatSetType(f.Datatype, nftables.TypeInetProto, nftables.TypeInetService),
		backend:  nftables.MustConcatSetType(f.Datatype, nftables.TypeInetService),
		pair:     nftables.MustConcatSetType(f.Datatype, f.Datatype),
		refusal:  3,
	}
	if f.Proto == unix.NFPROTO_IPV6 {
		l.refusal = 4
	}
	return l
}

const (
	ctDNAT        = 1 << 5  // IPS_DST_NAT: the destination was translated
	ctOriginal    = 0       // IP_CT_DIR_ORIGINAL
	maxAffinities = 1 << 16 // clients remembered for each Service
)

func word(b ...byte) []byte { return append(b, make([]byte, 4-len(b))...) }

func (f frontend) key() []byte {
	out := append(f.addr.AsSlice(), word(f.proto)...)
	return append(out, word(byte(f.port>>8), byte(f.port))...)
}

func backendValue(b netip.AddrPort) []byte {
	return append(b.Addr().AsSlice(), word(byte(b.Port()>>8), byte(b.Port()))...)
}

func (l layout) header(offset, register uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: l.Size, DestRegister: register}
}

// byFrontend looks the packet's destination up in a map of verdicts.
func (l layout) byFrontend(set string) []expr.Any {
	return []expr.Any{
		l.header(l.Destination, l.addr),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: l.port},
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: l.third},
		&expr.Lookup{SourceRegister: l.addr, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: set},
	}
}

// refuse tells a client that nobody is there: ICMP's "port unreachable". A TCP
// client of IPv6 gets a reset: it ignores the error while it is still in the call
// that sent its first packet, and would try again a second later.
func (l layout) refuse() [][]expr.Any {
	unreachable := []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: l.refusal}}
	if l.Proto != unix.NFPROTO_IPV6 {
		return [][]expr.Any{unreachable}
	}
	return [][]expr.Any{{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: regState},
		&expr.Cmp{Op: expr.CmpOpEq, Register: regState, Data: []byte{protoTCP}},
		&expr.Reject{Type: unix.NFT_REJECT_TCP_RST},
	}, unreachable}
}

// regState holds a word that is compared at once.
const regState = unix.NFT_REG32_00

func isNew() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: regState},
		&expr.Bitwise{SourceRegister: regState, DestRegister: regState, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitNEW), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: regState, Data: make([]byte, 4)},
	}
}

func wasTranslated() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATUS, Register: regState},
		&expr.Bitwise{SourceRegister: regState, DestRegister: regState, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(ctDNAT), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: regState, Data: make([]byte, 4)},
	}
}

func in(set string, register uint32) expr.Any {
	return &expr.Lookup{SourceRegister: register, SetName: set}
}

// toRegisters sends the connection to the address and port in the registers.
func (l layout) toRegisters() expr.Any {
	return &expr.NAT{Type: expr.NATTypeDestNAT, Family: l.Proto,
		RegAddrMin: l.addr, RegAddrMax: l.addr, RegProtoMin: l.port, RegProtoMax: l.port, Specified: true}
}

func (l layout) sourceNAT(addr netip.Addr) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: l.addr, Data: addr.AsSlice()},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: l.Proto, RegAddrMin: l.addr, RegAddrMax: l.addr},
	}
}

// pick loads one of the backends into the address and port registers: one of
// several by a random number, from a map that lives as long as the rule.
func (t *table) pick(backends []netip.AddrPort) ([]expr.Any, error) {
	l := t.layout
	if len(backends) == 1 {
		return []expr.Any{&expr.Immediate{Register: l.addr, Data: backendValue(backends[0])[:l.Size]},
			&expr.Immediate{Register: l.port, Data: backendValue(backends[0])[l.Size : l.Size+2]}}, nil
	}
	set := &nftables.Set{Table: t.nft, Anonymous: true, Constant: true, IsMap: true,
		KeyType: nftables.TypeInteger, DataType: l.backend}
	elements := make([]nftables.SetElement, len(backends))
	for i, b := range backends {
		elements[i] = nftables.SetElement{Key: binaryutil.NativeEndian.PutUint32(uint32(i)), Val: backendValue(b)}
	}
	if err := t.conn.AddSet(set, elements); err != nil {
		return nil, err
	}
	return []expr.Any{
		&expr.Numgen{Register: l.index, Modulus: uint32(len(backends)), Type: unix.NFT_NG_RANDOM},
		&expr.Lookup{SourceRegister: l.index, DestRegister: l.addr, IsDestRegSet: true, SetName: set.Name, SetID: set.ID},
	}, nil
}

// remember notes the backend in the registers for the client, or renews it.
func (l layout) remember(set string, c chainSpec) []expr.Any {
	return []expr.Any{
		l.header(l.Source, l.key),
		&expr.Dynset{SrcRegKey: l.key, SrcRegData: l.addr, SetName: set,
			Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: c.affinity},
	}
}

// chainRules are the rules of a chain that picks a backend.
func (t *table) chainRules(name string, c chainSpec) ([][]expr.Any, error) {
	l := t.layout
	var rules [][]expr.Any
	if c.client.IsValid() {
		rules = append(rules, []expr.Any{
			l.header(l.Source, l.addr),
			&expr.Cmp{Op: expr.CmpOpNeq, Register: l.addr, Data: c.client.AsSlice()},
			&expr.Verdict{Kind: expr.VerdictReturn},
		})
	}
	for _, p := range c.sources {
		rules = append(rules, append(l.within(l.Source, p), &expr.Verdict{Kind: expr.VerdictGoto, Chain: c.gate}))
	}
	if c.insiders != "" {
		insiders := &expr.Verdict{Kind: expr.VerdictGoto, Chain: c.insiders}
		if t.cfg.ClusterCIDR.IsValid() {
			rules = append(rules, append(l.within(l.Source, t.cfg.ClusterCIDR), insiders))
		}
		rules = append(rules, []expr.Any{
			&expr.Fib{Register: l.addr, FlagSADDR: true, ResultADDRTYPE: true},
			&expr.Cmp{Op: expr.CmpOpEq, Register: l.addr, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
			insiders,
		})
	}
	if len(c.backends) == 0 {
		return append(rules, []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}), nil
	}
	picked, err := t.pick(c.backends)
	if err != nil {
		return nil, err
	}
	if c.affinity == 0 {
		return append(rules, append(picked, l.toRegisters())), nil
	}
	set := affinityName(name)
	known := []expr.Any{
		l.header(l.Source, l.key),
		&expr.Lookup{SourceRegister: l.key, DestRegister: l.addr, IsDestRegSet: true, SetName: set},
	}
	return append(rules,
		append(append(known, l.remember(set, c)...), l.toRegisters()),
		append(append(picked, l.remember(set, c)...), l.toRegisters())), nil
}

// within is true when an address of the header is in the prefix.
func (l layout) within(offset uint32, p netip.Prefix) []expr.Any {
	return []expr.Any{
		l.header(offset, l.addr),
		&expr.Bitwise{SourceRegister: l.addr, DestRegister: l.addr, Len: l.Size, Mask: l.Mask(p.Bits()), Xor: make([]byte, l.Size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: l.addr, Data: p.Masked().Addr().AsSlice()},
	}
}

func affinityName(chain string) string { return "affinity-" + chain }
