package controlplane

import (
	"fmt"
	"net/http"
	"os"

	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// restConfig is a client's way to the API as the holder of a certificate. Its
// requests wait until the API serves, so a component may start beside it and
// never falls into a back-off by the second.
func (c *ControlPlane) restConfig(cert string) *rest.Config {
	return restConfig(c.serving, "https://"+c.cfg.endpoint(), rest.TLSClientConfig{
		CAFile:   c.pki.cert(certCA),
		CertFile: c.pki.cert(cert),
		KeyFile:  c.pki.key(cert),
	})
}

func restConfig(serving <-chan struct{}, server string, as rest.TLSClientConfig) *rest.Config {
	cfg := &rest.Config{
		Host:            server,
		TLSClientConfig: as,
		ContentConfig: rest.ContentConfig{
			ContentType:        "application/vnd.kubernetes.protobuf",
			AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json",
		},
		DisableCompression: true,
		QPS:                -1, // one machine: the API's own limits suffice
	}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return &gate{open: serving, next: next} })
	return cfg
}

// daemonUser is this process as the API knows it: all that netdojo does itself.
const daemonUser = "netdojo"

// AdminREST is access from inside this process with all rights, as a user of its
// own. Requests wait until the API serves.
func (c *ControlPlane) AdminREST() *rest.Config { return c.restConfig(certDaemon) }

// KubeletREST is the node's access. Requests wait until the API serves.
func (c *ControlPlane) KubeletREST() *rest.Config { return c.restConfig(certKubelet) }

// KubeletServing names the files that the kubelet serves with: its certificate,
// its key and the authority of the clients that it lets in.
func (c *ControlPlane) KubeletServing() (cert, key, clientCA string) {
	return c.pki.cert(certKubeletServing), c.pki.key(certKubeletServing), c.pki.cert(certCA)
}

// NodeAccess is what a further node's process is given: its ways to the API, and what its
// kubelet serves with. The rest is PEM.
type NodeAccess struct {
	Server                  string
	CA                      []byte
	AdminCert, AdminKey     []byte // the daemon's own
	KubeletCert, KubeletKey []byte
	ServingCert, ServingKey []byte
}

// NodeAccess reads what the further node of that name is given.
func (c *ControlPlane) NodeAccess(name string) (NodeAccess, error) {
	a := NodeAccess{Server: "https://" + c.cfg.endpoint()}
	for _, f := range []struct {
		path string
		data *[]byte
	}{
		{c.pki.cert(certCA), &a.CA},
		{c.pki.cert(certDaemon), &a.AdminCert}, {c.pki.key(certDaemon), &a.AdminKey},
		{c.pki.cert(certKubelet + "-" + name), &a.KubeletCert}, {c.pki.key(certKubelet + "-" + name), &a.KubeletKey},
		{c.pki.cert(certKubeletServing + "-" + name), &a.ServingCert}, {c.pki.key(certKubeletServing + "-" + name), &a.ServingKey},
	} {
		var err error
		if *f.data, err = os.ReadFile(f.path); err != nil {
			return a, fmt.Errorf("read the certificates of node %s: %w", name, err)
		}
	}
	return a, nil
}

// AdminREST is access with all rights. Requests wait until serving is closed, as those of
// KubeletREST do: that the API serves.
func (a NodeAccess) AdminREST(serving <-chan struct{}) *rest.Config {
	return a.restConfig(serving, a.AdminCert, a.AdminKey)
}

// KubeletREST is the node's access.
func (a NodeAccess) KubeletREST(serving <-chan struct{}) *rest.Config {
	return a.restConfig(serving, a.KubeletCert, a.KubeletKey)
}

func (a NodeAccess) restConfig(serving <-chan struct{}, cert, key []byte) *rest.Config {
	return restConfig(serving, a.Server, rest.TLSClientConfig{CAData: a.CA, CertData: cert, KeyData: key})
}

// AdminCredentials are the cluster's CA and the administrator's certificate and key,
// in PEM.
func (c *ControlPlane) AdminCredentials() (ca, cert, key []byte, err error) {
	for path, data := range map[string]*[]byte{c.pki.cert(certCA): &ca, c.pki.cert(certAdmin): &cert, c.pki.key(certAdmin): &key} {
		if *data, err = os.ReadFile(path); err != nil {
			return nil, nil, nil, fmt.Errorf("read administrator's certificate: %w", err)
		}
	}
	return ca, cert, key, nil
}

// AdminKubeconfig is a self-contained kubeconfig for the administrator. server
// is a URL whose host is in the certificate; name names its cluster, user and
// context.
func (c *ControlPlane) AdminKubeconfig(name, server string) (*clientcmdapi.Config, error) {
	ca, cert, key, err := c.AdminCredentials()
	if err != nil {
		return nil, err
	}
	out := clientcmdapi.NewConfig()
	out.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	out.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	out.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	out.CurrentContext = name
	return out, nil
}
