package ruleset

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Feature is something that the datapath asks of the kernel.
type Feature struct {
	Name   string
	Module string // what provides it where the kernel is modular
	// Err says why it is missing; nil when it is there.
	Err error
}

// Features are what Probe found.
type Features []Feature

// Names of features that callers ask for.
const (
	FeatureNative = "queue expression"
	FeatureCompat = "NFQUEUE target"
)

// Has says whether the feature of that name is there.
func (f Features) Has(name string) bool {
	for _, feature := range f {
		if feature.Name == name {
			return feature.Err == nil
		}
	}
	return false
}

// Missing joins the errors of what Apply cannot do without; nil when it can
// load. One of the two ways to queue is enough.
func (f Features) Missing() error {
	var errs []error
	queue := f.Has(FeatureNative) || f.Has(FeatureCompat)
	for _, feature := range f {
		isQueue := feature.Name == FeatureNative || feature.Name == FeatureCompat
		if feature.Err != nil && !(isQueue && queue) {
			errs = append(errs, fmt.Errorf("%s (%s): %w", feature.Name, feature.Module, feature.Err))
		}
	}
	return errors.Join(errs...)
}

// Probe asks the kernel for each feature in a network namespace of its own,
// which is gone when Probe returns. The caller needs CAP_SYS_ADMIN in its user
// namespace; without, the error of unshare comes back.
func Probe() (Features, error) {
	type result struct {
		features Features
		err      error
	}
	done := make(chan result)
	go func() {
		// Never unlocked: the thread, and the namespace with it, ends with the
		// goroutine.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- result{err: fmt.Errorf("make network namespace: %w", err)}
			return
		}
		done <- result{features: probeHere()}
	}()
	r := <-done
	return r.features, r.err
}

func probeHere() Features {
	filter := func(exprs ...expr.Any) error {
		return tryRule(nftables.ChainTypeFilter, nftables.ChainHookPrerouting, exprs)
	}
	target := (&Table{cfg: Config{Queues: 1}}).queue()
	native := (&Table{cfg: Config{Queues: 1}, native: true}).queue()
	tproxy := []expr.Any{
		meta(expr.MetaKeyL4PROTO), is([]byte{unix.IPPROTO_TCP}),
		load([]byte{0, 53}), &expr.TProxy{Family: unix.NFPROTO_IPV4, TableFamily: unix.NFPROTO_IPV4, RegPort: reg},
	}
	return Features{
		{"nftables", "nf_tables", filter(verdict(expr.VerdictAccept))},
		{"conntrack mark", "nft_ct", filter(ct(expr.CtKeyMARK), setCtMark())},
		{"source NAT", "nft_masq", tryRule(nftables.ChainTypeNAT, nftables.ChainHookPostrouting, []expr.Any{&expr.Masq{}})},
		{"route look-up", "nft_fib_ipv4", filter(&expr.Fib{Register: reg, FlagSADDR: true, FlagIIF: true, ResultOIF: true})},
		{"socket look-up", "nft_socket", filter(&expr.Socket{Key: expr.SocketKeyTransparent, Register: reg})},
		{"transparent proxy", "nft_tproxy", filter(tproxy...)},
		{FeatureNative, "nft_queue", filter(native)},
		{FeatureCompat, "nft_compat, xt_NFQUEUE", filter(target)},
	}
}

// tryRule loads one rule and removes it again.
func tryRule(kind nftables.ChainType, hook *nftables.ChainHook, exprs []expr.Any) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: TableName + "-probe"})
	chain := conn.AddChain(&nftables.Chain{
		Name: "probe", Table: table, Type: kind, Hooknum: hook, Priority: nftables.ChainPriorityFilter,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs})
	if err := conn.Flush(); err != nil {
		return err
	}
	conn.DelTable(table)
	return conn.Flush()
}
