package service

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers, 4 bytes each: an address and a port lie side by side, as the maps
// have them.
const (
	regAddr  = unix.NFT_REG32_00
	regPort  = unix.NFT_REG32_01
	regThird = unix.NFT_REG32_02
	regKey   = unix.NFT_REG32_04
	regIndex = unix.NFT_REG32_06
)

const (
	ipSource      = 12      // in the IPv4 header
	ipDestination = 16      //
	ctDNAT        = 1 << 5  // IPS_DST_NAT: the destination was translated
	ctOriginal    = 0       // IP_CT_DIR_ORIGINAL
	maxAffinities = 1 << 16 // clients remembered for each Service
)

var (
	typeFrontend = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	typeBackend  = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	typePair     = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeIPAddr)
)

func word(b ...byte) []byte { return append(b, make([]byte, 4-len(b))...) }

func (f frontend) key() []byte {
	a := f.addr.As4()
	out := append(a[:], word(f.proto)...)
	return append(out, word(byte(f.port>>8), byte(f.port))...)
}

func backendValue(b netip.AddrPort) []byte {
	a := b.Addr().As4()
	return append(a[:], word(byte(b.Port()>>8), byte(b.Port()))...)
}

func header(offset, register uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4, DestRegister: register}
}

// byFrontend looks the packet's destination up in a map of verdicts.
func byFrontend(set string) []expr.Any {
	return []expr.Any{
		header(ipDestination, regAddr),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: regPort},
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: regThird},
		&expr.Lookup{SourceRegister: regAddr, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: set},
	}
}

func isNew() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: regAddr},
		&expr.Bitwise{SourceRegister: regAddr, DestRegister: regAddr, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitNEW), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: regAddr, Data: make([]byte, 4)},
	}
}

func wasTranslated() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATUS, Register: regAddr},
		&expr.Bitwise{SourceRegister: regAddr, DestRegister: regAddr, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(ctDNAT), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: regAddr, Data: make([]byte, 4)},
	}
}

func in(set string, register uint32) expr.Any {
	return &expr.Lookup{SourceRegister: register, SetName: set}
}

// toRegisters sends the connection to the address and port in the registers.
func toRegisters() expr.Any {
	return &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4,
		RegAddrMin: regAddr, RegAddrMax: regAddr, RegProtoMin: regPort, RegProtoMax: regPort, Specified: true}
}

func sourceNAT(addr netip.Addr) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: regAddr, Data: addr.AsSlice()},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: regAddr, RegAddrMax: regAddr},
	}
}

// pick loads one of the backends into the address and port registers: one of
// several by a random number, from a map that lives as long as the rule.
func (t *table) pick(backends []netip.AddrPort) ([]expr.Any, error) {
	if len(backends) == 1 {
		return []expr.Any{&expr.Immediate{Register: regAddr, Data: backendValue(backends[0])[:4]},
			&expr.Immediate{Register: regPort, Data: backendValue(backends[0])[4:6]}}, nil
	}
	set := &nftables.Set{Table: t.nft, Anonymous: true, Constant: true, IsMap: true,
		KeyType: nftables.TypeInteger, DataType: typeBackend}
	elements := make([]nftables.SetElement, len(backends))
	for i, b := range backends {
		elements[i] = nftables.SetElement{Key: binaryutil.NativeEndian.PutUint32(uint32(i)), Val: backendValue(b)}
	}
	if err := t.conn.AddSet(set, elements); err != nil {
		return nil, err
	}
	return []expr.Any{
		&expr.Numgen{Register: regIndex, Modulus: uint32(len(backends)), Type: unix.NFT_NG_RANDOM},
		&expr.Lookup{SourceRegister: regIndex, DestRegister: regAddr, IsDestRegSet: true, SetName: set.Name, SetID: set.ID},
	}, nil
}

// remember notes the backend in the registers for the client, or renews it.
func remember(set string, c chainSpec) []expr.Any {
	return []expr.Any{
		header(ipSource, regKey),
		&expr.Dynset{SrcRegKey: regKey, SrcRegData: regAddr, SetName: set,
			Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: c.affinity},
	}
}

// chainRules are the rules of a chain that picks a backend.
func (t *table) chainRules(name string, c chainSpec) ([][]expr.Any, error) {
	var rules [][]expr.Any
	for _, p := range c.sources {
		rules = append(rules, append(within(ipSource, p), &expr.Verdict{Kind: expr.VerdictGoto, Chain: c.gate}))
	}
	if c.insiders != "" {
		insiders := &expr.Verdict{Kind: expr.VerdictGoto, Chain: c.insiders}
		if t.cfg.ClusterCIDR.IsValid() {
			rules = append(rules, append(within(ipSource, t.cfg.ClusterCIDR), insiders))
		}
		rules = append(rules, []expr.Any{
			&expr.Fib{Register: regAddr, FlagSADDR: true, ResultADDRTYPE: true},
			&expr.Cmp{Op: expr.CmpOpEq, Register: regAddr, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
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
		return append(rules, append(picked, toRegisters())), nil
	}
	set := affinityName(name)
	known := []expr.Any{
		header(ipSource, regKey),
		&expr.Lookup{SourceRegister: regKey, DestRegister: regAddr, IsDestRegSet: true, SetName: set},
	}
	return append(rules,
		append(append(known, remember(set, c)...), toRegisters()),
		append(append(picked, remember(set, c)...), toRegisters())), nil
}

// within is true when an address of the IPv4 header is in the prefix.
func within(offset uint32, p netip.Prefix) []expr.Any {
	mask := make([]byte, 4)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return []expr.Any{
		header(offset, regAddr),
		&expr.Bitwise{SourceRegister: regAddr, DestRegister: regAddr, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: regAddr, Data: p.Masked().Addr().AsSlice()},
	}
}

func affinityName(chain string) string { return "affinity-" + chain }
