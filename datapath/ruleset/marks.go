package ruleset

// Kind is what userspace decided about a packet, in the top four bits of its
// mark; the epoch of the decision fills the other 28. Kinds with localBit are
// routed to a socket of the node by an ip rule.
type Kind uint32

// Kinds. The zero mark is a packet that nobody decided about.
const (
	KindAllow   Kind = 0x1 // established until the epoch changes
	KindHairpin Kind = 0x4 // a pod that reached itself through a Service: never judged again
	KindReply   Kind = 0x8 // a reply that a transparent socket of a proxy waits for
	KindDNS     Kind = 0x9
	KindHTTP    Kind = 0xa
	KindTLS     Kind = 0xb

	localBit  = 0x80000000
	kindMask  = 0xf0000000
	kindShift = 28
	// EpochMask is the part of an epoch that marks carry.
	EpochMask = 1<<kindShift - 1
)

// Mark is the packet mark that carries out a decision made under epoch.
func Mark(kind Kind, epoch uint32) uint32 {
	if kind == KindHairpin {
		epoch = 0
	}
	return uint32(kind)<<kindShift | epoch&EpochMask
}

// A queued packet carries what the kernel knows and the payload does not tell:
// for a translated connection its mark is the dialled address (network order)
// and its priority TranslatedFlag with the dialled port (network order); a
// source address that is not the interface's has priority SpoofedFlag.
const (
	TranslatedFlag = 0x10000
	SpoofedFlag    = 0x20000
)
