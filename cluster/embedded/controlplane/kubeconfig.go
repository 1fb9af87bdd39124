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
	cfg := &rest.Config{
		Host: "https://" + c.cfg.endpoint(),
		TLSClientConfig: rest.TLSClientConfig{
			CAFile:   c.pki.cert(certCA),
			CertFile: c.pki.cert(cert),
			KeyFile:  c.pki.key(cert),
		},
		ContentConfig: rest.ContentConfig{
			ContentType:        "application/vnd.kubernetes.protobuf",
			AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json",
		},
		DisableCompression: true,
		QPS:                -1, // one process, one machine: the API's own limits suffice
	}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return &gate{open: c.serving, next: next} })
	return cfg
}

// AdminREST is the administrator's access from inside this process. Requests
// wait until the API serves.
func (c *ControlPlane) AdminREST() *rest.Config { return c.restConfig(certAdmin) }

// KubeletREST is the node's access. Requests wait until the API serves.
func (c *ControlPlane) KubeletREST() *rest.Config { return c.restConfig(certKubelet) }

// KubeletServing names the files that the kubelet serves with: its certificate,
// its key and the authority of the clients that it lets in.
func (c *ControlPlane) KubeletServing() (cert, key, clientCA string) {
	return c.pki.cert(certKubeletServing), c.pki.key(certKubeletServing), c.pki.cert(certCA)
}

// AdminKubeconfig is a self-contained kubeconfig for the administrator. server
// is a URL whose host is in the certificate; name names its cluster, user and
// context.
func (c *ControlPlane) AdminKubeconfig(name, server string) (*clientcmdapi.Config, error) {
	files := map[string][]byte{}
	for _, path := range []string{c.pki.cert(certCA), c.pki.cert(certAdmin), c.pki.key(certAdmin)} {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read administrator's certificate: %w", err)
		}
		files[path] = data
	}
	out := clientcmdapi.NewConfig()
	out.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: files[c.pki.cert(certCA)]}
	out.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: files[c.pki.cert(certAdmin)],
		ClientKeyData:         files[c.pki.key(certAdmin)],
	}
	out.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	out.CurrentContext = name
	return out, nil
}
