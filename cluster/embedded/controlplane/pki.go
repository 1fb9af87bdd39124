package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 365 * 24 * time.Hour
	renewBefore  = 60 * 24 * time.Hour // a leaf with less left is issued anew
)

// pki is the cluster's certificates as files in one folder: NAME.crt, NAME.key.
type pki struct {
	dir string
}

func (p pki) cert(name string) string { return filepath.Join(p.dir, name+".crt") }
func (p pki) key(name string) string  { return filepath.Join(p.dir, name+".key") }

// Names of the certificates.
const (
	certCA                = "ca"
	certAPIServer         = "apiserver"
	certKubeletClient     = "apiserver-kubelet-client"
	certFrontProxyCA      = "front-proxy-ca"
	certFrontProxy        = "front-proxy-client"
	certAdmin             = "admin"
	certDaemon            = "daemon"
	certControllerManager = "controller-manager"
	certScheduler         = "scheduler"
	certKubelet           = "kubelet-client"
	certKubeletServing    = "kubelet"
	keyServiceAccount     = "sa"
)

// mastersGroup is the group that the authorizer lets through before it looks at
// any role. The in-process components are in it: they start before the roles
// are served, and share a process with the API anyway.
const mastersGroup = "system:masters"

// leaf is a certificate to be issued.
type leaf struct {
	name   string
	ca     string
	user   string
	groups []string
	server bool
	sans   []string
}

func (c *Config) leaves() []leaf {
	apiSANs := []string{
		c.NodeName, c.NodeAddr.String(), c.serviceIP().String(), "127.0.0.1", "localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	apiSANs = append(apiSANs, c.ExtraSANs...)
	leaves := []leaf{
		{name: certAPIServer, ca: certCA, user: "kube-apiserver", server: true, sans: apiSANs},
		{name: certKubeletClient, ca: certCA, user: "kube-apiserver-kubelet-client", groups: []string{mastersGroup}},
		{name: certFrontProxy, ca: certFrontProxyCA, user: "front-proxy-client"},
		{name: certAdmin, ca: certCA, user: "kubernetes-admin", groups: []string{mastersGroup}},
		{name: certDaemon, ca: certCA, user: daemonUser, groups: []string{mastersGroup}},
		{name: certControllerManager, ca: certCA, user: "system:kube-controller-manager", groups: []string{mastersGroup}},
		{name: certScheduler, ca: certCA, user: "system:kube-scheduler", groups: []string{mastersGroup}},
	}
	leaves = append(leaves, nodeLeaves("", c.NodeName, c.NodeAddr)...)
	for _, n := range c.Further {
		leaves = append(leaves, nodeLeaves("-"+n.Name, n.Name, n.Addr)...)
	}
	return leaves
}

// nodeLeaves are what a node's kubelet serves with, and by which it is known.
func nodeLeaves(suffix, name string, addr netip.Addr) []leaf {
	user, groups := "system:node:"+name, []string{"system:nodes"}
	return []leaf{
		{name: certKubeletServing + suffix, ca: certCA, user: user, groups: groups, server: true, sans: []string{name, addr.String()}},
		{name: certKubelet + suffix, ca: certCA, user: user, groups: groups},
	}
}

// ensurePKI makes what is missing, expired or made for other names, and keeps
// the rest, so that a kubeconfig outlives a restart.
func ensurePKI(cfg *Config) (pki, error) {
	p := pki{dir: filepath.Join(cfg.Dir, "pki")}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return p, fmt.Errorf("make certificate folder: %w", err)
	}
	cas := map[string]*authority{}
	for _, name := range []string{certCA, certFrontProxyCA} {
		ca, err := p.ensureCA(name)
		if err != nil {
			return p, fmt.Errorf("certificate authority %s: %w", name, err)
		}
		cas[name] = ca
	}
	for _, l := range cfg.leaves() {
		if err := p.ensureLeaf(l, cas[l.ca]); err != nil {
			return p, fmt.Errorf("certificate %s: %w", l.name, err)
		}
	}
	if err := p.ensureServiceAccountKey(); err != nil {
		return p, fmt.Errorf("service account key: %w", err)
	}
	return p, nil
}

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	made bool // in this run: what it signed before is void
}

func (p pki) ensureCA(name string) (*authority, error) {
	cert, key, err := p.load(name)
	if err == nil && time.Until(cert.NotAfter) > leafLifetime {
		return &authority{cert: cert, key: key}, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	newKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := template(pkix.Name{CommonName: "netdojo-" + name}, caLifetime)
	tmpl.IsCA = true
	tmpl.BasicConstraintsValid = true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, newKey.Public(), newKey)
	if err != nil {
		return nil, err
	}
	if err := p.store(name, der, newKey); err != nil {
		return nil, err
	}
	made, err := x509.ParseCertificate(der)
	return &authority{cert: made, key: newKey, made: true}, err
}

func (p pki) ensureLeaf(l leaf, ca *authority) error {
	sans := slices.Compact(sorted(l.sans))
	if !ca.made {
		cert, _, err := p.load(l.name)
		if err == nil && time.Until(cert.NotAfter) > renewBefore && slices.Equal(sansOf(cert), sans) &&
			cert.Subject.CommonName == l.user {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	tmpl := template(pkix.Name{CommonName: l.user, Organization: l.groups}, leafLifetime)
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if l.server {
		tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, san := range sans {
		if ip := net.ParseIP(san); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, san)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	if err != nil {
		return err
	}
	return p.store(l.name, der, key)
}

func (p pki) ensureServiceAccountKey() error {
	if _, err := keyutil.PrivateKeyFromFile(p.key(keyServiceAccount)); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	text, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return err
	}
	return writeFile(p.key(keyServiceAccount), text, 0o600)
}

func (p pki) load(name string) (*x509.Certificate, crypto.Signer, error) {
	certs, err := certutil.CertsFromFile(p.cert(name))
	if err != nil {
		return nil, nil, err
	}
	key, err := keyutil.PrivateKeyFromFile(p.key(name))
	if err != nil {
		return nil, nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("%s holds a %T, which cannot sign", p.key(name), key)
	}
	return certs[0], signer, nil
}

// store writes the key first: a certificate without its key is never left.
func (p pki) store(name string, der []byte, key crypto.Signer) error {
	text, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return err
	}
	if err := writeFile(p.key(name), text, 0o600); err != nil {
		return err
	}
	return writeFile(p.cert(name), pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: der}), 0o644)
}

// writeFile replaces the file as a whole, so that a kill leaves the old or the new.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func template(subject pkix.Name, lifetime time.Duration) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-5 * time.Minute), // clocks that were set back a little
		NotAfter:     now.Add(lifetime),
	}
}

func sansOf(c *x509.Certificate) []string {
	out := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	return sorted(out)
}

func sorted(in []string) []string {
	out := slices.Clone(in)
	sort.Strings(out)
	return out
}
