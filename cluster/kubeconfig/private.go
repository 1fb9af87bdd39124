package kubeconfig

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// Source is whose a cluster's kubeconfig is, which says how much of it is believed.
type Source int

const (
	// Loopback is a cluster of ours whose API server this machine serves on a
	// loopback address.
	Loopback Source = iota
	// Machine is one that may serve on any address of this machine, as kind's
	// networking.apiServerAddress has it.
	Machine
	// Guest is a cluster that netdojo did not make: its kubeconfig is the user's own
	// context, and may say whatever the user's may.
	Guest
)

// maxSize bounds a kubeconfig. A user's may hold the contexts of some hundred
// clusters with their certificates.
const maxSize = 8 << 20

// Private is all that is taken from the kubeconfig of a cluster of ours. What else
// such a file can say (commands to run, proxies, tokens, files, other names for the
// server) is refused: netdojo writes none of it, so somebody else did.
type Private struct {
	Server        string // https://ADDRESS:PORT
	CA, Cert, Key []byte // PEM; the key is the certificate's
	Namespace     string // of the current context; empty is default
	Context       string // what the current context is called
}

// ReadPrivate reads the current context of the kubeconfig of a cluster of ours. The
// source is Loopback or Machine.
func ReadPrivate(path string, source Source) (*Private, error) {
	data, err := hostfile.Read(path, maxSize)
	if err != nil {
		return nil, fmt.Errorf("open the cluster's kubeconfig: %w", err)
	}
	p, err := ParsePrivate(data, source)
	if err != nil {
		return nil, &Error{
			Act: "read the cluster's kubeconfig " + path, Err: err,
			cure: "somebody else wrote it: find out who, then take the cluster down and bring it up again, which makes a new one",
		}
	}
	return p, nil
}

// ParsePrivate is ReadPrivate for the content of such a file.
func ParsePrivate(data []byte, source Source) (*Private, error) {
	if source == Guest {
		return nil, errors.New("a guest's kubeconfig is not private")
	}
	cfg, err := clientcmd.Load(data)
	if err != nil {
		return nil, err
	}
	if err := foreign(cfg); err != nil {
		return nil, err
	}
	now := cfg.Contexts[cfg.CurrentContext]
	if now == nil {
		return nil, fmt.Errorf("it has no context %q, which is to be the current one", cfg.CurrentContext)
	}
	c, user := cfg.Clusters[now.Cluster], cfg.AuthInfos[now.AuthInfo]
	if c == nil || user == nil {
		return nil, errors.New("its current context names no cluster and user")
	}
	p := &Private{
		CA: c.CertificateAuthorityData, Cert: user.ClientCertificateData, Key: user.ClientKeyData,
		Namespace: now.Namespace, Context: cfg.CurrentContext,
	}
	if p.Server, err = server(c.Server, source); err != nil {
		return nil, err
	}
	if len(validation.IsDNS1123Label(p.Context)) > 0 {
		return nil, fmt.Errorf("%q is no context of netdojo's", p.Context)
	}
	if p.Namespace != "" && len(validation.IsDNS1123Label(p.Namespace)) > 0 {
		return nil, fmt.Errorf("%q is no namespace", p.Namespace)
	}
	if err := certificates(p.CA); err != nil {
		return nil, fmt.Errorf("certificate-authority-data: %w", err)
	}
	if _, err := tls.X509KeyPair(p.Cert, p.Key); err != nil {
		return nil, fmt.Errorf("client-certificate-data and client-key-data: %w", err)
	}
	return p, nil
}

// foreign finds what netdojo never writes.
func foreign(cfg *clientcmdapi.Config) error {
	for name, c := range cfg.Clusters {
		for field, set := range map[string]bool{
			"proxy-url": c.ProxyURL != "", "certificate-authority": c.CertificateAuthority != "",
			"insecure-skip-tls-verify": c.InsecureSkipTLSVerify, "tls-server-name": c.TLSServerName != "",
		} {
			if set {
				return fmt.Errorf("cluster %q has %s", name, field)
			}
		}
	}
	for name, u := range cfg.AuthInfos {
		for field, set := range map[string]bool{
			"exec": u.Exec != nil, "auth-provider": u.AuthProvider != nil, "token": u.Token != "", "tokenFile": u.TokenFile != "",
			"username": u.Username != "", "password": u.Password != "",
			"client-certificate": u.ClientCertificate != "", "client-key": u.ClientKey != "",
			"as": u.Impersonate != "" || u.ImpersonateUID != "" || len(u.ImpersonateGroups)+len(u.ImpersonateUserExtra) > 0,
		} {
			if set {
				return fmt.Errorf("user %q has %s", name, field)
			}
		}
	}
	return nil
}

// server is a URL that has nothing but an address and a port.
func server(s string, source Source) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", errors.New("its server is no URL")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return "", fmt.Errorf("its server %q is not at an address", s)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return "", fmt.Errorf("its server %q has no port", s)
	}
	out := "https://" + netip.AddrPortFrom(addr, uint16(port)).String()
	if s != out && s != out+"/" {
		return "", fmt.Errorf("its server is %q, not %s alone", s, out)
	}
	switch {
	case addr.IsLoopback():
	case source == Machine && ofMachine(addr):
	default:
		return "", fmt.Errorf("its server %s is not on this machine", addr)
	}
	return out, nil
}

// ofMachine says whether connections to addr stay on this machine.
func ofMachine(addr netip.Addr) bool {
	if addr.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(addr.AsSlice())
	})
}

// certificates says whether data is PEM of certificates and of nothing else.
func certificates(data []byte) error {
	count := 0
	for rest := data; ; count++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("a block of PEM is a %s", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return err
		}
	}
	if count == 0 {
		return errors.New("no certificate in PEM")
	}
	return nil
}

// REST is how a client connects.
func (p *Private) REST() *rest.Config {
	return &rest.Config{
		Host:            p.Server,
		TLSClientConfig: rest.TLSClientConfig{CAData: p.CA, CertData: p.Cert, KeyData: p.Key},
		WrapTransport:   SameServer,
	}
}

// Config is a kubeconfig of these alone. Its cluster, user and context are called as
// the context is.
func (p *Private) Config() *clientcmdapi.Config {
	out, name := clientcmdapi.NewConfig(), p.Context
	out.Clusters[name] = &clientcmdapi.Cluster{Server: p.Server, CertificateAuthorityData: p.CA}
	out.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: p.Cert, ClientKeyData: p.Key}
	out.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: p.Namespace}
	out.CurrentContext = name
	return out
}

// Read is the kubeconfig of a cluster, from its file: of our own clusters made anew
// from Private, of a guest's as it is, with certificates inlined.
func Read(path string, source Source) (*clientcmdapi.Config, error) {
	if source != Guest {
		p, err := ReadPrivate(path, source)
		if err != nil {
			return nil, err
		}
		return p.Config(), nil
	}
	data, err := hostfile.Read(path, maxSize)
	if err != nil {
		return nil, fmt.Errorf("open the cluster's kubeconfig: %w", err)
	}
	cfg, err := clientcmd.Load(data)
	if err == nil {
		err = clientcmdapi.MinifyConfig(cfg)
	}
	if err == nil {
		err = clientcmdapi.FlattenConfig(cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("read the cluster's kubeconfig %s: %w", path, err)
	}
	return cfg, nil
}

// WriteFile writes a private kubeconfig, readable by its owner alone.
func WriteFile(path string, cfg *clientcmdapi.Config) error {
	data, err := clientcmd.Write(*cfg)
	if err != nil {
		return fmt.Errorf("encode a kubeconfig: %w", err)
	}
	return hostfile.WriteDurable(path, data, 0o600)
}
