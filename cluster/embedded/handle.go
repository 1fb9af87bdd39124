package embedded

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"

	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	flowclient "github.com/netdojo/netdojo/datapath/flow/client"
	"github.com/netdojo/netdojo/internal/hostfile"
)

// handle is a running embedded cluster.
type handle struct {
	name, dir string
	rest      *rest.Config
	control   *control.Client
}

func open(ctx context.Context, name, dir string) (*handle, error) {
	path := filepath.Join(dir, KubeconfigFile)
	private, err := kubeconfig.ReadPrivate(path, kubeconfig.Loopback)
	if errors.Is(err, fs.ErrNotExist) { // it comes up, or whoever brought it up was ended
		if err := keepKubeconfig(ctx, name, dir); err != nil {
			return nil, err
		}
		private, err = kubeconfig.ReadPrivate(path, kubeconfig.Loopback)
	}
	if err != nil {
		return nil, err
	}
	config := private.REST()
	config.QPS, config.Burst = 200, 400
	return &handle{name: name, dir: dir, rest: config, control: control.NewClient(dir)}, nil
}

// keepKubeconfig asks the daemon for its credentials and writes the cluster's
// kubeconfig: the address is the launcher's word, and of the node's nothing goes in but
// certificates and a key that are such.
func keepKubeconfig(ctx context.Context, name, dir string) error {
	client := control.NewClient(dir)
	defer client.CloseIdle()
	said, err := client.Credentials(ctx)
	if err != nil {
		return err
	}
	server, err := apiServer(dir)
	if err != nil {
		return err
	}
	config, err := configFor(kubeconfig.ContextName(name), server, said)
	if err == nil {
		err = kubeconfig.WriteFile(filepath.Join(dir, KubeconfigFile), config)
	}
	if err != nil {
		return fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	return nil
}

// apiServer is where the launcher listens for the API.
func apiServer(dir string) (string, error) {
	b, err := hostfile.Read(filepath.Join(dir, userns.PortsFile), maxSpec)
	if err != nil {
		return "", fmt.Errorf("find the API's port: %w", err)
	}
	var addrs []netip.AddrPort
	if err := json.Unmarshal(b, &addrs); err != nil || len(addrs) == 0 {
		return "", fmt.Errorf("find the API's port in %s: %w", filepath.Join(dir, userns.PortsFile), err)
	}
	return "https://" + addrs[0].String(), nil
}

// configFor is a kubeconfig of one context, with what the credentials parse to.
func configFor(context, server string, said control.Credentials) (*clientcmdapi.Config, error) {
	ca, err := certificates(said.CA)
	if err != nil {
		return nil, fmt.Errorf("the cluster's CA: %w", err)
	}
	if _, err := tls.X509KeyPair(said.Certificate, said.Key); err != nil {
		return nil, fmt.Errorf("the administrator's certificate: %w", err)
	}
	cert, err := certificates(said.Certificate)
	if err != nil {
		return nil, fmt.Errorf("the administrator's certificate: %w", err)
	}
	key, _ := pem.Decode(said.Key)
	return (&kubeconfig.Private{
		Server: server, CA: ca, Cert: cert, Key: pem.EncodeToMemory(&pem.Block{Type: key.Type, Bytes: key.Bytes}), Context: context,
	}).Config(), nil
}

// certificates writes the certificates of a PEM file anew, and nothing else of it.
func certificates(in []byte) ([]byte, error) {
	var out bytes.Buffer
	for block, rest := pem.Decode(in); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a block of type %q", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, err
		}
		if err := pem.Encode(&out, &pem.Block{Type: block.Type, Bytes: block.Bytes}); err != nil {
			return nil, err
		}
	}
	if out.Len() == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return out.Bytes(), nil
}

func (h *handle) Status(ctx context.Context) (cluster.Status, error) {
	s, err := h.control.Status(ctx)
	if err != nil {
		return cluster.Status{}, err
	}
	st := cluster.Status{
		Name: h.name, Provider: Name, Datapath: cluster.DatapathNetdojo, World: s.World,
		Running: true, Ready: s.Ready, Server: h.rest.Host,
		Kubeconfig: filepath.Join(h.dir, KubeconfigFile),
		Started:    s.Started, ReadyMs: s.ReadyMs, Detail: s.Failed,
	}
	if st.Detail == "" && len(s.Waiting) > 0 {
		st.Detail = waitingFor(s.Waiting)
	}
	return st, nil
}

// Lacks implements cluster.Examiner. It is netdojo's datapath, whose labs they are; which
// addresses pods have, and how many nodes there are, is what the cluster was asked for.
func (h *handle) Lacks(_ context.Context, features []string) ([]cluster.Lack, error) {
	six, nodes := slices.Contains(features, cluster.FeatureIPv6), slices.Contains(features, cluster.FeatureNodes)
	if !six && !nodes {
		return nil, nil
	}
	spec, err := readSpec(h.dir)
	if err != nil {
		return nil, err
	}
	var lacks []cluster.Lack
	if six && !spec.Dual() {
		lacks = append(lacks, cluster.NoIPv6("its pods and Services have IPv4 alone"))
	}
	if nodes && spec.Nodes < cluster.LabNodes {
		lacks = append(lacks, cluster.OneNode("it has one"))
	}
	for i := range lacks {
		lacks[i].Anew = true
	}
	return lacks, nil
}

func (h *handle) RESTConfig() *rest.Config { return rest.CopyConfig(h.rest) }

func (h *handle) Flows(ctx context.Context, last int) (cluster.FlowStream, error) {
	stream, err := flowclient.Flows(ctx, h.control.FlowSocketPath(), last)
	if err != nil {
		return nil, err // a nil *Stream is no nil FlowStream
	}
	return stream, nil
}

func (h *handle) Enforced(ctx context.Context, ref cluster.PolicyRef) error {
	return h.control.Enforced(ctx, ref)
}

func (h *handle) ServeNames(ctx context.Context, names []string) error {
	return h.control.ServeNames(ctx, names)
}

func (h *handle) Close() error {
	h.control.CloseIdle()
	return nil
}
