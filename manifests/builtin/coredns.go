// Package builtin holds the Kubernetes objects that netdojo brings to a cluster
// of its own.
package builtin

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// CoreDNSImage is the image that cluster DNS runs: a stand-in of the version that
// netdojo links, unless the image store holds the real one.
const CoreDNSImage = "registry.k8s.io/coredns/coredns:v1.14.3"

//go:embed coredns.yaml
var coreDNSText string

// CoreDNSConfig is what cluster DNS depends on. Empty fields mean the defaults.
type CoreDNSConfig struct {
	Upstream      netip.AddrPort // resolves every name outside the cluster; required
	ServiceIP     netip.Addr     // of the Service kube-dns; 10.96.0.10
	ClusterDomain string         // cluster.local
	Image         string         // CoreDNSImage
	// Late keeps its pod from nodes that are not ready. Where a network comes after
	// the pod, the kubelet tries again to mount its configuration only seconds later.
	Late bool
}

// CoreDNS returns the objects of cluster DNS in the order to create them: the
// priority class that the API server makes too late for a fast start, identity
// and rights, configuration, the Service kube-dns and the Deployment coredns.
func CoreDNS(cfg CoreDNSConfig) ([]*unstructured.Unstructured, error) {
	if !cfg.Upstream.IsValid() {
		return nil, errors.New("cluster DNS: no resolver to forward to")
	}
	if !cfg.ServiceIP.IsValid() {
		cfg.ServiceIP = netip.AddrFrom4([4]byte{10, 96, 0, 10})
	}
	if cfg.ClusterDomain == "" {
		cfg.ClusterDomain = "cluster.local"
	}
	if cfg.Image == "" {
		cfg.Image = CoreDNSImage
	}
	objects, err := render(coreDNSText, cfg)
	if err != nil {
		return nil, fmt.Errorf("cluster DNS: %w", err)
	}
	return objects, nil
}

// render fills a template of YAML documents in.
func render(text string, cfg any) ([]*unstructured.Unstructured, error) {
	parsed, err := template.New("").Parse(text)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := parsed.Execute(&buf, cfg); err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(&buf, 4096)
	for {
		object := new(unstructured.Unstructured)
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
}
