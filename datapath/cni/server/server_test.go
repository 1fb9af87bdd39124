//go:build linux

package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/datapath/cni"
	"github.com/netdojo/netdojo/datapath/cni/plugin"
)

// TestMain lets a copy of the test's program be the plugin.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == plugin.Name {
		plugin.Main()
		return
	}
	os.Exit(m.Run())
}

// network notes what it is asked.
type network struct {
	attached map[string]cni.AttachRequest
	refuse   error
}

func (n *network) Attach(_ context.Context, req cni.AttachRequest) ([]netip.Addr, error) {
	if n.refuse != nil {
		return nil, n.refuse
	}
	n.attached[req.SandboxID] = req
	return []netip.Addr{netip.MustParseAddr("10.244.3.7")}, nil
}

func (n *network) Detach(_ context.Context, sandbox string) error {
	delete(n.attached, sandbox)
	return nil
}

func start(t *testing.T, n *network) (Config, *Server) {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		BinDir: filepath.Join(dir, "bin"), ConfDir: filepath.Join(dir, "net.d"), Program: self,
		Socket: filepath.Join(dir, "cni.sock"), Network: n, Logger: slog.New(slog.DiscardHandler),
	}
	s, err := Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return cfg, s
}

// call runs the installed plugin as a container runtime does.
func call(t *testing.T, cfg Config, command string) (string, error) {
	t.Helper()
	list, err := os.ReadFile(filepath.Join(cfg.ConfDir, ConfFile))
	if err != nil {
		t.Fatal(err)
	}
	var conf struct {
		CNIVersion, Name string
		Plugins          []map[string]any
	}
	if err := json.Unmarshal(list, &conf); err != nil {
		t.Fatal(err)
	}
	one := conf.Plugins[0]
	one["cniVersion"], one["name"] = conf.CNIVersion, conf.Name
	in, err := json.Marshal(one)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(cfg.BinDir, one["type"].(string)))
	cmd.Stdin = strings.NewReader(string(in))
	cmd.Env = []string{
		"CNI_COMMAND=" + command, "CNI_CONTAINERID=box1", "CNI_NETNS=/run/netns/x", "CNI_IFNAME=eth0", "CNI_PATH=" + cfg.BinDir,
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=u1;K8S_POD_INFRA_CONTAINER_ID=box1",
		"CNI_NETNS_OVERRIDE=1",
	}
	out, err := cmd.Output()
	return string(out), err
}

func TestPlugin(t *testing.T) {
	n := &network{attached: map[string]cni.AttachRequest{}}
	cfg, s := start(t, n)
	out, err := call(t, cfg, "ADD")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := cni.AttachRequest{SandboxID: "box1", NetNS: "/run/netns/x", PodNamespace: "default", PodName: "web", PodUID: "u1"}
	if n.attached["box1"] != want {
		t.Errorf("attached %+v, want %+v", n.attached["box1"], want)
	}
	if !strings.Contains(out, "10.244.3.7/32") || !strings.Contains(out, `"eth0"`) {
		t.Errorf("the plugin prints %s", out)
	}
	if out, err := call(t, cfg, "CHECK"); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
	for range 2 { // what is gone is no error
		if out, err := call(t, cfg, "DEL"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if len(n.attached) != 0 {
		t.Errorf("still attached: %v", n.attached)
	}

	n.refuse = errors.New("no free address in 10.244.3.0/24")
	if out, err := call(t, cfg, "ADD"); err == nil || !strings.Contains(out, "no free address") {
		t.Errorf("a refusal is told as %q, %v", out, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Without an agent a pod waits, and its event says for what.
	if out, err := call(t, cfg, "ADD"); err == nil || !strings.Contains(out, "agent does not answer") {
		t.Errorf("without an agent: %q, %v", out, err)
	}
}

func TestBesideAnotherNetwork(t *testing.T) {
	n := &network{attached: map[string]cni.AttachRequest{}}
	cfg, s := start(t, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Its own files of before are no other network.
	again, err := Start(context.Background(), cfg)
	if err != nil {
		t.Fatalf("a second start: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.ConfDir, "10-kindnet.conflist"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Start(context.Background(), cfg)
	var other *OtherCNIError
	if !errors.As(err, &other) || other.Cure() == "" || !strings.Contains(other.Error(), "10-kindnet.conflist") {
		t.Errorf("beside kindnet: %v", err)
	}
}
