// Package controlplane runs etcd, kube-apiserver, kube-controller-manager and
// kube-scheduler inside this process. It knows nothing of nodes' containers,
// of the datapath or of how the process got its namespaces.
package controlplane

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"

	podsecurity "k8s.io/pod-security-admission/api"

	"github.com/netdojo/netdojo"

	"github.com/netdojo/netdojo/cluster/embedded/metricsapi"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

// Version is the Kubernetes version that the components report.
var Version = netdojo.Kubernetes

// APIPort is the port that the API serves on the node's address.
const APIPort = 6443

// ServiceAccountIssuer is the issuer of service account tokens.
const ServiceAccountIssuer = "https://kubernetes.default.svc.cluster.local"

// Phases that Config.Trace is told of.
const (
	PhaseStart = "start"
	PhaseReady = "ready"
)

// Config says how the control plane is run.
type Config struct {
	Dir      string     // certificates, etcd's data; kept across restarts
	NodeName string     // the node of this process
	NodeAddr netip.Addr // the API listens on NodeAddr:6443, and the kubernetes Service points there
	// Listeners are further sockets that the API is served on. They are closed
	// with the control plane.
	Listeners   []net.Listener
	ServiceCIDR ipfamily.Pair[netip.Prefix]
	PodCIDR     ipfamily.Pair[netip.Prefix] // the node's
	Further     []Node                      // all other nodes
	ClusterDNS  netip.Addr
	// DNSUpstream is whom cluster DNS asks for names that are not the cluster's.
	// When it is valid, a new cluster is born with cluster DNS.
	DNSUpstream netip.AddrPort
	// PodSecurity is what pods may ask for, as Kubernetes' Pod Security Standards
	// have it; empty is privileged: everything.
	PodSecurity podsecurity.Level
	// Usage measures what metrics.k8s.io tells; nil serves it nowhere.
	Usage     metricsapi.Source
	ExtraSANs []string // further names and addresses of the API's certificate
	Logger    *slog.Logger
	// Trace is told when a component starts and when it is ready. It is called
	// from several goroutines and may be nil.
	Trace func(component, phase string)
}

// Node is a node beside the one of this process. It gets its credentials from NodeAccess.
type Node struct {
	Name    string
	Addr    netip.Addr
	PodCIDR ipfamily.Pair[netip.Prefix]
}

func (c *Config) validate() error {
	switch {
	case c.Dir == "":
		return errors.New("control plane: no folder given")
	case c.NodeName == "":
		return errors.New("control plane: no node name given")
	case !c.NodeAddr.IsValid():
		return errors.New("control plane: no node address given")
	case !c.ServiceCIDR.V4.IsValid():
		return errors.New("control plane: no Service range given")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Trace == nil {
		c.Trace = func(string, string) {}
	}
	return nil
}

// endpoint is the API's host and port inside the node.
func (c *Config) endpoint() string {
	return net.JoinHostPort(c.NodeAddr.String(), strconv.Itoa(APIPort))
}

// ranges lists the ranges of each family as Kubernetes' flags take them.
func ranges(of ipfamily.Pair[netip.Prefix]) []string {
	var out []string
	for _, p := range ipfamily.Valid(of) {
		out = append(out, p.String())
	}
	return out
}

// serviceIP is the address of the kubernetes Service: the first of the range.
func (c *Config) serviceIP() netip.Addr {
	return c.ServiceCIDR.V4.Masked().Addr().Next()
}

// ComponentError is a component's unexpected end.
type ComponentError struct {
	Component string
	Err       error
}

func (e *ComponentError) Error() string { return fmt.Sprintf("%s ended: %v", e.Component, e.Err) }
func (e *ComponentError) Unwrap() error { return e.Err }
