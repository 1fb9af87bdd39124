package ruleset

import (
	"bytes"
	"errors"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/testnet"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

func TestMain(m *testing.M) { testnet.Main(m) }

func testConfig() Config {
	return Config{
		PodIface: "nd",
		Addresses: ipfamily.Pair[Addresses]{V4: Addresses{
			PodCIDR:     netip.MustParsePrefix("10.244.0.0/24"),
			ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
			NodeAddr:    netip.MustParseAddr("192.168.77.2"),
			DNSProxy:    netip.MustParseAddrPort("127.0.0.1:5353"),
		}},
		Queue:  7,
		Queues: 2,
		Epoch:  41,
	}
}

// dualConfig is testConfig with IPv6.
func dualConfig() Config {
	c := testConfig()
	c.Addresses.V6 = Addresses{
		PodCIDR:     netip.MustParsePrefix("fd00:10:244::/112"),
		ServiceCIDR: netip.MustParsePrefix("fd00:10:96::/112"),
		NodeAddr:    netip.MustParseAddr("fd00:77::2"),
		DNSProxy:    netip.MustParseAddrPort("[::1]:5353"),
	}
	return c
}

func TestDialled(t *testing.T) {
	c := dualConfig()
	for _, d := range []struct {
		of   Addresses
		mark []byte
		want string
	}{
		{c.Addresses.V4, []byte{10, 96, 0, 10}, "10.96.0.10"},
		{c.Addresses.V4, []byte{192, 168, 77, 2}, "192.168.77.2"},
		{c.Addresses.V6, []byte{0, 0, 0x12, 0x34}, "fd00:10:96::1234"},
		{c.Addresses.V6, []byte{0, 0, 0, 0}, "fd00:77::2"},
	} {
		if got := d.of.Dialled(binaryutil.NativeEndian.Uint32(d.mark)); got.String() != d.want {
			t.Errorf("%v is %s, want %s", d.mark, got, d.want)
		}
	}
}

func TestProbe(t *testing.T) {
	features, err := Probe(true)
	if err != nil {
		t.Skipf("needs a network namespace: %v", err)
	}
	if err := features.Missing(); err != nil {
		t.Skipf("needs %v", err)
	}
	if !features.Has("nftables") || features.Has("no such thing") {
		t.Errorf("Has is wrong about %+v", features)
	}
}

func TestMissing(t *testing.T) {
	f := Features{{FeatureNative, "m", unix.ENOENT}, {FeatureCompat, "m", nil}, {"nftables", "nf_tables", nil}}
	if err := f.Missing(); err != nil {
		t.Errorf("one way to queue is missing, the other is there: %v", err)
	}
	f[1].Err = unix.ENOENT
	if err := f.Missing(); err == nil || !strings.Contains(err.Error(), FeatureCompat) {
		t.Errorf("no way to queue: got %v", err)
	}
	if got := f.Modules(); !slices.Equal(got, []string{"m"}) {
		t.Errorf("modules %v", got)
	}
	f[2].Err = unix.EPERM
	if err := f.Missing(); err == nil || !strings.Contains(err.Error(), "nf_tables") {
		t.Errorf("no nftables: got %v", err)
	}
}

// TestProbeNamesWhatIsMissing has the kernel know no expression of a kind.
func TestProbeNamesWhatIsMissing(t *testing.T) {
	testnet.NeedNamespaces(t)
	for _, c := range []struct {
		unknown string // the expression's name in netlink
		feature string
		modules []string
	}{
		{"tproxy", "transparent proxy", []string{"nft_tproxy"}},
		{"reject", "IPv6 rejection", []string{"nft_reject_ipv6"}},
		{"numgen", "random choice", []string{"nft_numgen"}},
		{"fib", "route look-up", []string{"nft_fib_ipv4"}},
		{"queue", "NFQUEUE target", []string{"nft_queue", "nft_compat", "xt_NFQUEUE"}},
	} {
		t.Run(c.unknown, func(t *testing.T) {
			features, err := prober{kernelWithout(c.unknown), true}.probe()
			if err != nil {
				t.Fatal(err)
			}
			missing := features.Missing()
			if missing == nil || !strings.Contains(missing.Error(), c.feature) || !errors.Is(missing, unix.ENOENT) {
				t.Errorf("missing: %v, want the %s", missing, c.feature)
			}
			for _, m := range c.modules {
				if !slices.Contains(features.Modules(), m) {
					t.Errorf("modules %v, want %s among them", features.Modules(), m)
				}
			}
		})
	}
}

// kernelWithout answers a batch with an expression of that name, or an xtables
// target of that name in capitals, as a kernel that has no such thing.
func kernelWithout(name string) func(...nftables.ConnOption) (*nftables.Conn, error) {
	names := [][]byte{append([]byte(name), 0), append([]byte("NF"+strings.ToUpper(name)), 0)}
	return func(...nftables.ConnOption) (*nftables.Conn, error) {
		return nftables.New(nftables.WithTestDial(func(batch []netlink.Message) ([]netlink.Message, error) {
			for _, m := range batch {
				for _, name := range names {
					if bytes.Contains(m.Data, name) {
						return nil, &netlink.OpError{Op: "receive", Err: unix.ENOENT}
					}
				}
			}
			return acknowledge(batch), nil
		}))
	}
}

func acknowledge(batch []netlink.Message) []netlink.Message {
	var acks []netlink.Message
	for _, m := range batch {
		if m.Header.Flags&netlink.Acknowledge != 0 {
			acks = append(acks, netlink.Message{
				Header: netlink.Header{Type: netlink.Error, Sequence: m.Header.Sequence}, Data: make([]byte, 4),
			})
		}
	}
	return acks
}

func TestMark(t *testing.T) {
	for _, c := range []struct {
		kind  Kind
		epoch uint32
		want  uint32
	}{
		{KindAllow, 5, 0x10000005},
		{KindAllow, 0xfffffff5, 0x1ffffff5},
		{KindDNS, 5, 0x90000005},
		{KindHairpin, 5, 0x40000000},
	} {
		if got := Mark(c.kind, c.epoch); got != c.want {
			t.Errorf("Mark(%#x, %#x) = %#x, want %#x", c.kind, c.epoch, got, c.want)
		}
	}
}

// live returns the keys of the live map.
func live(t *testing.T, table *Table, half int) map[uint32]bool {
	t.Helper()
	elements, err := table.conn.GetSetElements(table.halves[half].live)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[uint32]bool{}
	for _, e := range elements {
		keys[binaryutil.NativeEndian.Uint32(e.Key)] = true
	}
	return keys
}

func TestApply(t *testing.T) { testApply(t, testConfig(), false) }

func TestApplyDual(t *testing.T) { testApply(t, dualConfig(), true) }

func testApply(t *testing.T, cfg Config, dual bool) {
	testnet.NeedNamespaces(t)
	features, err := Probe(dual)
	if err != nil {
		t.Fatal(err)
	}
	if err := features.Missing(); err != nil {
		t.Skipf("needs %v", err)
	}
	table, err := Apply(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if keys := live(t, table, 0); len(keys) != 5 || !keys[Mark(KindAllow, 41)] {
		t.Errorf("live map holds %v", keys)
	}
	if err := table.SetEpoch(42); err != nil {
		t.Fatal(err)
	}
	if err := table.SetEpoch(42); err != nil {
		t.Errorf("the same epoch again: %v", err)
	}
	if got := len(table.halves); got != 1 && !dual || got != 2 && dual {
		t.Errorf("%d families are judged", got)
	}
	for i := range table.halves {
		keys := live(t, table, i)
		if len(keys) != 5 || keys[Mark(KindAllow, 41)] || !keys[Mark(KindDNS, 42)] ||
			!keys[Mark(KindHairpin, 0)] {
			t.Errorf("live map of %s holds %v after epoch 42", table.halves[i].Name, keys)
		}
	}
	// A table that an earlier run left is replaced, not added to.
	again, err := Apply(cfg)
	if err != nil {
		t.Fatalf("apply over an old table: %v", err)
	}
	if nft, err := exec.LookPath("nft"); err == nil && testing.Verbose() {
		out, _ := exec.Command(nft, "list", "ruleset").CombinedOutput()
		t.Logf("%s", out)
	}
	if err := again.Delete(); err != nil {
		t.Fatal(err)
	}
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := conn.ListTables()
	if err != nil || len(tables) != 0 {
		t.Errorf("after Delete: tables %v, %v", tables, err)
	}
}

func BenchmarkProbe(b *testing.B) {
	testnet.NeedNamespaces(b)
	for b.Loop() {
		features, err := Probe(false)
		if err != nil {
			b.Fatal(err)
		}
		if err := features.Missing(); err != nil {
			b.Skipf("needs %v", err)
		}
	}
}

func BenchmarkSetEpoch(b *testing.B) {
	testnet.NeedNamespaces(b)
	table, err := Apply(testConfig())
	if err != nil {
		b.Skipf("needs %v", err)
	}
	defer table.Delete()
	for i := 0; b.Loop(); i++ {
		if err := table.SetEpoch(uint32(100 + i)); err != nil {
			b.Fatal(err)
		}
	}
}
