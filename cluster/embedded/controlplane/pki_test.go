package controlplane

import (
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	certutil "k8s.io/client-go/util/cert"

	"github.com/netdojo/netdojo/internal/ipfamily"
)

func testConfig(t *testing.T) *Config {
	t.Helper()
	cfg := &Config{
		Dir: t.TempDir(), NodeName: "node-1", NodeAddr: netip.MustParseAddr("192.168.77.2"),
		ServiceCIDR: ipfamily.Pair[netip.Prefix]{V4: netip.MustParsePrefix("10.96.0.0/16")}, PodCIDR: ipfamily.Pair[netip.Prefix]{V4: netip.MustParsePrefix("10.244.0.0/24")},
	}
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func load(t *testing.T, p pki, name string) *x509.Certificate {
	t.Helper()
	certs, err := certutil.CertsFromFile(p.cert(name))
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

func TestPKIVerifies(t *testing.T) {
	cfg := testConfig(t)
	p, err := ensurePKI(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range cfg.leaves() {
		pool := x509.NewCertPool()
		pool.AddCert(load(t, p, l.ca))
		usage := x509.ExtKeyUsageClientAuth
		if l.server {
			usage = x509.ExtKeyUsageServerAuth
		}
		if _, err := load(t, p, l.name).Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("%s: %v", l.name, err)
		}
		if info, err := os.Stat(p.key(l.name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("key of %s: %v, %v", l.name, info.Mode(), err)
		}
	}
	serving := load(t, p, certAPIServer)
	for _, host := range []string{"10.96.0.1", "192.168.77.2", "127.0.0.1", "localhost", "kubernetes.default.svc.cluster.local"} {
		if err := serving.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if got := load(t, p, certKubelet).Subject; got.CommonName != "system:node:node-1" || len(got.Organization) != 1 || got.Organization[0] != "system:nodes" {
		t.Errorf("the kubelet is %v", got)
	}
}

func TestPKIIsKept(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(t *testing.T, cfg *Config, p pki)
		renews map[string]bool // what is issued anew; the rest stays
	}{
		{name: "a restart keeps all", change: func(*testing.T, *Config, pki) {}},
		{name: "another name renews what serves", renews: map[string]bool{certAPIServer: true},
			change: func(_ *testing.T, cfg *Config, _ pki) { cfg.ExtraSANs = []string{"example.org"} }},
		{name: "a lost key renews its certificate", renews: map[string]bool{certAdmin: true},
			change: func(t *testing.T, _ *Config, p pki) {
				if err := os.Remove(p.key(certAdmin)); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "a lost authority renews what it signed", renews: map[string]bool{certFrontProxyCA: true, certFrontProxy: true},
			change: func(t *testing.T, _ *Config, p pki) {
				if err := os.Remove(p.cert(certFrontProxyCA)); err != nil {
					t.Fatal(err)
				}
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := testConfig(t)
			p, err := ensurePKI(cfg)
			if err != nil {
				t.Fatal(err)
			}
			names := []string{certCA, certFrontProxyCA}
			for _, l := range cfg.leaves() {
				names = append(names, l.name)
			}
			before := map[string]*x509.Certificate{}
			for _, name := range names {
				before[name] = load(t, p, name)
			}
			test.change(t, cfg, p)
			if _, err := ensurePKI(cfg); err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if renewed := !before[name].Equal(load(t, p, name)); renewed != test.renews[name] {
					t.Errorf("%s renewed: %v", name, renewed)
				}
			}
		})
	}
}

func TestPKIRefusesBrokenFiles(t *testing.T) {
	cfg := testConfig(t)
	if _, err := ensurePKI(cfg); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cfg.Dir, "pki", certCA+".crt")
	if err := os.WriteFile(path, []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ensurePKI(cfg); err == nil {
		t.Error("a broken authority was taken for a missing one")
	}
}

func TestCertificatesLastAndAreRenewedInTime(t *testing.T) {
	if renewBefore >= leafLifetime || leafLifetime >= caLifetime {
		t.Errorf("lifetimes %v, %v, %v do not fit together", renewBefore, leafLifetime, caLifetime)
	}
	p, err := ensurePKI(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(load(t, p, certAPIServer).NotAfter); left < renewBefore {
		t.Errorf("a new certificate lasts %v", left)
	}
}
