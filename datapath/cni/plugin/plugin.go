// Package plugin is the CNI plugin that container runtimes call: it hands each
// call to the node's agent over a unix socket, and knows nothing itself. Its
// package is small, for a copy runs with every pod that starts or ends.
package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

// Name is the plugin's type in a network's configuration, and the name of its
// program.
const Name = "netdojo-cni"

// Paths of the agent's socket.
const (
	AttachPath = "/v1/attach"
	DetachPath = "/v1/detach"
)

// callTimeout bounds a call: an agent that starts waits for the API server.
const callTimeout = time.Minute

// Sandbox is the body of both calls; a detach reads the ID alone.
type Sandbox struct {
	ID        string `json:"id"`
	NetNS     string `json:"netNS,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	UID       string `json:"uid,omitempty"`
}

// Attached is the answer to an attach.
type Attached struct {
	Addrs []netip.Addr `json:"addrs"`
	Iface string       `json:"iface"` // the name of the pod's end
}

// Config is the network's configuration as this plugin reads it.
type Config struct {
	types.PluginConf
	Socket string `json:"socket"`
}

// podArgs is what the kubelet's runtime says of the pod, see the CNI convention
// for CNI_ARGS in Kubernetes.
type podArgs struct {
	types.CommonArgs
	K8S_POD_NAMESPACE types.UnmarshallableString
	K8S_POD_NAME      types.UnmarshallableString
	K8S_POD_UID       types.UnmarshallableString
}

// Main runs the plugin with the process's environment and standard streams.
func Main() {
	skel.PluginMainFuncs(skel.CNIFuncs{Add: add, Del: del, Check: check},
		version.PluginSupports("0.4.0", "1.0.0", "1.1.0"), "netdojo's CNI plugin: it asks the agent of the node")
}

func add(args *skel.CmdArgs) error {
	conf, err := parse(args)
	if err != nil {
		return err
	}
	var pod podArgs
	if err := types.LoadArgs(args.Args, &pod); err != nil {
		return fmt.Errorf("read CNI_ARGS: %w", err)
	}
	var got Attached
	if err := call(conf.Socket, AttachPath, Sandbox{
		ID: args.ContainerID, NetNS: args.Netns, Namespace: string(pod.K8S_POD_NAMESPACE),
		Pod: string(pod.K8S_POD_NAME), UID: string(pod.K8S_POD_UID),
	}, &got); err != nil {
		return err
	}
	iface := 0
	result := &current.Result{
		CNIVersion: current.ImplementedSpecVersion,
		Interfaces: []*current.Interface{{Name: got.Iface, Sandbox: args.Netns}},
	}
	for _, a := range got.Addrs {
		result.IPs = append(result.IPs, &current.IPConfig{
			Interface: &iface, Address: net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())},
		})
	}
	return types.PrintResult(result, conf.CNIVersion)
}

func del(args *skel.CmdArgs) error {
	conf, err := parse(args)
	if err != nil {
		return err
	}
	return call(conf.Socket, DetachPath, Sandbox{ID: args.ContainerID}, nil)
}

// check has nothing to compare: the agent watches over its links itself.
func check(*skel.CmdArgs) error { return nil }

func parse(args *skel.CmdArgs) (Config, error) {
	var conf Config
	if err := json.Unmarshal(args.StdinData, &conf); err != nil {
		return conf, fmt.Errorf("read the network's configuration: %w", err)
	}
	if conf.Socket == "" {
		return conf, fmt.Errorf("read the network's configuration: it names no socket")
	}
	return conf, nil
}

// call asks the agent. Its refusals are the pod's events.
func call(socket, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: callTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	resp, err := client.Post("http://agent"+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return types.NewError(types.ErrTryAgainLater, "netdojo's agent does not answer on this node", err.Error())
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if err != nil {
			return err
		}
		return fmt.Errorf("netdojo's agent: %s", bytes.TrimSpace(why))
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	return nil
}
