package service

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/netdojo/netdojo/datapath/internal/family"
)

// Names of the sets and of the chain that refuses.
const (
	setFrontends = "frontends" // frontend → goto the chain that picks
	setRefused   = "refused"   // frontend → refuse or drop
	setHairpin   = "hairpin"   // endpoint . the same endpoint
	setRemote    = "remote"    // endpoints on other nodes
	setClusterIP = "outside"   // addresses that outsiders come by
	chainRefuse  = "refuse"
)

// batchLimit is how many chains go in one transaction. The kernel acknowledges
// each message, and all of them have to fit the socket's buffer, which an
// ordinary user cannot enlarge.
const batchLimit = 20

// table is the nftables table and what is known to be in it. One goroutine uses
// it.
type table struct {
	layout
	cfg  Config
	conn *nftables.Conn
	nft  *nftables.Table
	sets map[string]*nftables.Set
	have *state // nil when it is not known: then everything is made anew
}

func newTable(conn *nftables.Conn, cfg Config) *table {
	l := newLayout(family.Of(cfg.NodeAddr))
	return &table{layout: l, cfg: cfg, conn: conn, nft: &nftables.Table{Family: l.Table, Name: cfg.Table}}
}

// reset makes the table anew and empty but for its frame.
func (t *table) reset() error {
	t.have = nil
	t.conn.AddTable(t.nft) // so that deleting it cannot fail
	t.conn.DelTable(t.nft)
	t.conn.AddTable(t.nft)
	t.sets = map[string]*nftables.Set{}
	for _, s := range []*nftables.Set{
		{Name: setFrontends, IsMap: true, KeyType: t.frontend, DataType: nftables.TypeVerdict},
		{Name: setRefused, IsMap: true, KeyType: t.frontend, DataType: nftables.TypeVerdict},
		{Name: setHairpin, KeyType: t.pair},
		{Name: setRemote, KeyType: t.Datatype},
		{Name: setClusterIP, KeyType: t.Datatype},
	} {
		s.Table = t.nft
		var elements []nftables.SetElement
		if s.Name == setClusterIP {
			for _, a := range t.cfg.NodePortAddrs {
				elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
			}
		}
		if err := t.conn.AddSet(s, elements); err != nil {
			return err
		}
		t.sets[s.Name] = s
	}
	refuse := t.conn.AddChain(&nftables.Chain{Name: chainRefuse, Table: t.nft})
	for _, r := range t.refuse() {
		t.rule(refuse, r)
	}

	pre, out, post := nftables.ChainHookPrerouting, nftables.ChainHookOutput, nftables.ChainHookPostrouting
	for _, c := range []struct {
		name     string
		kind     nftables.ChainType
		hook     *nftables.ChainHook
		priority nftables.ChainPriority
		rules    [][]expr.Any
	}{
		{"nat-prerouting", nftables.ChainTypeNAT, pre, -100, [][]expr.Any{t.byFrontend(setFrontends)}},
		{"nat-output", nftables.ChainTypeNAT, out, -100, [][]expr.Any{t.byFrontend(setFrontends)}},
		{"refuse-prerouting", nftables.ChainTypeFilter, pre, -95, [][]expr.Any{append(isNew(), t.byFrontend(setRefused)...)}},
		{"refuse-output", nftables.ChainTypeFilter, out, -95, [][]expr.Any{append(isNew(), t.byFrontend(setRefused)...)}},
		{"nat-postrouting", nftables.ChainTypeNAT, post, 90, [][]expr.Any{
			slices.Concat(wasTranslated(),
				[]expr.Any{t.header(t.Source, t.addr), t.header(t.Destination, t.port), in(setHairpin, t.addr)},
				t.sourceNAT(t.cfg.NodeAddr)),
			slices.Concat(wasTranslated(),
				[]expr.Any{
					&expr.Ct{Key: expr.CtKeyDST, Register: t.addr, Direction: ctOriginal}, in(setClusterIP, t.addr),
					t.header(t.Destination, t.addr), in(setRemote, t.addr),
				},
				t.sourceNAT(t.cfg.NodeAddr)),
		}},
	} {
		chain := t.conn.AddChain(&nftables.Chain{Name: c.name, Table: t.nft, Type: c.kind, Hooknum: c.hook, Priority: &c.priority})
		for _, r := range c.rules {
			t.rule(chain, r)
		}
	}
	if err := t.conn.Flush(); err != nil {
		return err
	}
	t.have = newState()
	return nil
}

func (t *table) rule(c *nftables.Chain, exprs []expr.Any) {
	t.conn.AddRule(&nftables.Rule{Table: t.nft, Chain: c, Exprs: exprs})
}

// apply changes the table from what it holds to what is wanted. Connections see
// each Service as it was or as it becomes, never half of it. After an error the
// next call starts afresh.
func (t *table) apply(want *state) (err error) {
	if t.have == nil {
		if err := t.reset(); err != nil {
			return fmt.Errorf("make table: %w", err)
		}
	}
	have := t.have
	t.have = nil
	if err := t.makeChains(have, want); err != nil {
		return fmt.Errorf("make chains: %w", err)
	}
	if err := t.changeElements(have, want); err != nil {
		return fmt.Errorf("change sets: %w", err)
	}
	if err := t.dropChains(have, want); err != nil {
		return fmt.Errorf("drop chains: %w", err)
	}
	if err := t.forget(have, want); err != nil {
		return fmt.Errorf("forget affinities: %w", err)
	}
	t.have = want
	return nil
}

// makeChains adds chains and rewrites those that differ. A chain that another
// names comes first: cluster- sorts before external-, and both and service- before
// source-.
func (t *table) makeChains(have, want *state) error {
	n := 0
	for _, name := range slices.Sorted(maps.Keys(want.chains)) {
		spec := want.chains[name]
		old, exists := have.chains[name]
		if exists && old.equal(spec) {
			continue
		}
		chain := &nftables.Chain{Name: name, Table: t.nft}
		if exists {
			t.conn.FlushChain(chain)
		} else {
			t.conn.AddChain(chain)
		}
		if spec.affinity != 0 && (!exists || old.affinity == 0) {
			if err := t.conn.AddSet(t.affinitySet(name), nil); err != nil {
				return err
			}
		}
		rules, err := t.chainRules(name, spec)
		if err != nil {
			return err
		}
		for _, r := range rules {
			t.rule(chain, r)
		}
		if exists && spec.affinity == 0 && old.affinity != 0 {
			t.conn.DelSet(t.affinitySet(name))
		}
		if n++; n%batchLimit == 0 {
			if err := t.conn.Flush(); err != nil {
				return err
			}
		}
	}
	return t.conn.Flush()
}

func (t *table) affinitySet(chain string) *nftables.Set {
	return &nftables.Set{Table: t.nft, Name: affinityName(chain), IsMap: true, Dynamic: true, HasTimeout: true,
		KeyType: t.Datatype, DataType: t.backend, Size: maxAffinities}
}

func (t *table) changeElements(have, want *state) error {
	gone, added := map[string][]nftables.SetElement{}, map[string][]nftables.SetElement{}
	for f, tgt := range have.frontends {
		if now, ok := want.frontends[f]; !ok || now.fate != tgt.fate || now.chain != tgt.chain {
			set, e := element(f, tgt)
			gone[set] = append(gone[set], e)
		}
	}
	for f, tgt := range want.frontends {
		if old, ok := have.frontends[f]; !ok || old.fate != tgt.fate || old.chain != tgt.chain {
			set, e := element(f, tgt)
			added[set] = append(added[set], e)
		}
	}
	diffAddrs(have.hairpin, want.hairpin, setHairpin, 2, gone, added)
	diffAddrs(have.remote, want.remote, setRemote, 1, gone, added)
	const chunk = 256 // a message has room for 64 KB
	for name, set := range t.sets {
		for part := range slices.Chunk(gone[name], chunk) {
			if err := t.conn.SetDeleteElements(set, part); err != nil {
				return err
			}
		}
		for part := range slices.Chunk(added[name], chunk) {
			if err := t.conn.SetAddElements(set, part); err != nil {
				return err
			}
		}
	}
	return t.conn.Flush()
}

// diffAddrs notes the addresses that went and came; a key is the address so
// many times.
func diffAddrs(have, want map[netip.Addr]bool, set string, times int, gone, added map[string][]nftables.SetElement) {
	note := func(to map[string][]nftables.SetElement, a netip.Addr) {
		to[set] = append(to[set], nftables.SetElement{Key: slices.Repeat(a.AsSlice(), times)})
	}
	for a := range have {
		if !want[a] {
			note(gone, a)
		}
	}
	for a := range want {
		if !have[a] {
			note(added, a)
		}
	}
}

func element(f frontend, tgt target) (set string, e nftables.SetElement) {
	e.Key = f.key()
	switch tgt.fate {
	case refuse:
		e.VerdictData = &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainRefuse}
		return setRefused, e
	case discard:
		e.VerdictData = &expr.Verdict{Kind: expr.VerdictDrop}
		return setRefused, e
	}
	e.VerdictData = &expr.Verdict{Kind: expr.VerdictGoto, Chain: tgt.chain}
	return setFrontends, e
}

// dropChains removes chains that nothing leads to any more, last first: those that
// name others before these.
func (t *table) dropChains(have, want *state) error {
	n := 0
	names := slices.Sorted(maps.Keys(have.chains))
	slices.Reverse(names)
	for _, name := range names {
		if _, ok := want.chains[name]; ok {
			continue
		}
		chain := &nftables.Chain{Name: name, Table: t.nft}
		t.conn.FlushChain(chain)
		t.conn.DelChain(chain)
		if have.chains[name].affinity != 0 {
			t.conn.DelSet(t.affinitySet(name))
		}
		if n++; n%batchLimit == 0 {
			if err := t.conn.Flush(); err != nil {
				return err
			}
		}
	}
	return t.conn.Flush()
}

// forget ends the affinity of clients to backends that went.
func (t *table) forget(have, want *state) error {
	for name, spec := range want.chains {
		old, ok := have.chains[name]
		if !ok || spec.affinity == 0 || old.affinity == 0 || slices.Equal(old.backends, spec.backends) {
			continue
		}
		set := t.affinitySet(name)
		elements, err := t.conn.GetSetElements(set)
		if err != nil {
			return err
		}
		keep := map[string]bool{}
		for _, b := range spec.backends {
			keep[string(backendValue(b))] = true
		}
		var stale []nftables.SetElement
		for _, e := range elements {
			if !keep[string(e.Val)] {
				stale = append(stale, nftables.SetElement{Key: e.Key})
			}
		}
		if len(stale) == 0 {
			continue
		}
		if err := t.conn.SetDeleteElements(set, stale); err != nil {
			return err
		}
		if err := t.conn.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// remove takes the table away.
func (t *table) remove() error {
	t.conn.DelTable(t.nft)
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("remove table %s: %w", t.nft.Name, err)
	}
	return nil
}

func (t *table) close() error { return t.conn.CloseLasting() }
