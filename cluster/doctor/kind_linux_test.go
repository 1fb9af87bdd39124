package doctor

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodInfo = `{"CgroupVersion":"2","MemTotal":16000000000,"DockerRootDir":"/docker","OperatingSystem":"Debian","SecurityOptions":["name=seccomp"]}`

// sound is a machine on which nothing is missing, and a configuration for it.
func sound(t *testing.T) (KindConfig, *string) {
	t.Helper()
	dir := t.TempDir()
	agent := filepath.Join(dir, "netdojo-agent")
	if err := os.WriteFile(agent, []byte("#!"), 0o755); err != nil {
		t.Fatal(err)
	}
	info := goodInfo
	return KindConfig{
		Programs: []string{agent}, Image: "node:1", StateDir: filepath.Join(dir, "state"), Kernel: true,
		Machine: Machine{
			Look: func(program string) (string, error) {
				if program == "docker" {
					return "/usr/bin/docker", nil
				}
				return "", errors.New("not found")
			},
			Run: func(_ context.Context, _ string, args ...string) (string, error) {
				if args[0] == "info" {
					return info, nil
				}
				return "sha256:1", nil
			},
			Sysctl: func(string) string { return "1000000" },
			Env:    func(string) string { return "" },
			Free:   func(string) (uint64, error) { return 100 << 30, nil },
			Kernel: func(context.Context) Result { return Result{State: OK} },
		},
	}, &info
}

func TestKindSound(t *testing.T) {
	cfg, _ := sound(t)
	for _, r := range Kind(context.Background(), cfg) {
		if r.State != OK && r.State != Unknown || r.State == Unknown && r.ID != nftablesID {
			t.Errorf("%+v", r)
		}
	}
}

// TestKindFaults puts one fault after another into a sound machine: its check
// names it, with a cure, and no other check complains of it.
func TestKindFaults(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	answers := func(info string) func(*KindConfig, *string) {
		return func(_ *KindConfig, i *string) { *i = info }
	}
	env := func(name, value string) func(*KindConfig, *string) {
		return func(c *KindConfig, _ *string) {
			c.Machine.Env = func(n string) string {
				if n == name {
					return value
				}
				return ""
			}
		}
	}
	for name, tc := range map[string]struct {
		id    string
		fault func(*KindConfig, *string)
		want  State
		cause string
	}{
		"no engine": {"container-engine", func(c *KindConfig, _ *string) {
			c.Machine.Look = func(string) (string, error) { return "", errors.New("not found") }
		}, Failed, "none of docker, nerdctl, podman"},
		"the chosen engine is not there": {"container-engine", env("KIND_EXPERIMENTAL_PROVIDER", "podman"), Failed, "none of podman"},
		"the daemon is down": {"container-engine", func(c *KindConfig, _ *string) {
			c.Machine.Run = func(context.Context, string, ...string) (string, error) {
				return "", errors.New("Cannot connect to the Docker daemon")
			}
		}, Failed, "Cannot connect"},
		"an engine from elsewhere": {"container-engine", answers("<html>"), Failed, "does not know"},
		"cgroups version 1":        {"cgroups", answers(strings.Replace(goodInfo, `"2"`, `"1"`, 1)), Warning, "version 1"},
		"cgroups version 1 without root": {"cgroups",
			answers(`{"host":{"cgroupVersion":"v1","memTotal":16000000000,"security":{"rootless":true}}}`), Failed, "without root"},
		"too little memory": {"memory", answers(strings.Replace(goodInfo, "16000000000", "500000000", 1)), Failed, "0.5 GB"},
		"scarce memory":     {"memory", answers(strings.Replace(goodInfo, "16000000000", "1600000000", 1)), Warning, "1.5 GB"},
		"memory for 6 nodes": {"memory", func(c *KindConfig, i *string) {
			c.Nodes = 6
			*i = strings.Replace(goodInfo, "16000000000", "3000000000", 1)
		}, Failed, "2.8 GB"},
		"a full disk": {"engine-disk", func(c *KindConfig, _ *string) {
			c.Machine.Free = func(string) (uint64, error) { return 100 << 20, nil }
		}, Failed, "100 MB are free at /docker"},
		"a nearly full disk": {"engine-disk", func(c *KindConfig, _ *string) {
			c.Machine.Free = func(string) (uint64, error) { return 2 << 30, nil }
		}, Warning, "2048 MB"},
		"no node image": {"node-image", func(c *KindConfig, _ *string) {
			run := c.Machine.Run
			c.Machine.Run = func(ctx context.Context, program string, args ...string) (string, error) {
				if args[0] == "image" {
					return "", errors.New("No such image")
				}
				return run(ctx, program, args...)
			}
		}, Warning, "no image node:1"},
		"few inotify instances": {"inotify", func(c *KindConfig, _ *string) {
			c.Machine.Sysctl = func(name string) string {
				if strings.HasSuffix(name, "instances") {
					return "128"
				}
				return "1000000"
			}
		}, Warning, "max_user_instances is 128"},
		"few inotify watches": {"inotify", func(c *KindConfig, _ *string) {
			c.Machine.Sysctl = func(string) string { return "8192" }
		}, Warning, "max_user_watches is 8192"},
		"a proxy on the loopback": {"proxies", env("HTTPS_PROXY", "http://127.0.0.1:3128"), Warning, "the node itself"},
		"a proxy that is no URL":  {"proxies", env("http_proxy", "http://%zz"), Failed, "no URL"},
		"a program is missing":    {"programs", func(c *KindConfig, _ *string) { c.Programs = []string{"/nowhere/netdojo-agent"} }, Failed, "no such file"},
		"a state folder that is a file": {"state-dir", func(c *KindConfig, _ *string) {
			c.StateDir = c.Programs[0]
		}, Failed, "not a directory"},
		"the API's port is taken": {"ports", func(c *KindConfig, _ *string) { c.APIPort = taken.Addr().(*net.TCPAddr).Port }, Failed, "in use"},
		"a kernel without NFQUEUE": {nftablesID, func(c *KindConfig, _ *string) {
			c.Machine.Kernel = func(context.Context) Result {
				return Result{State: Failed, Cause: "the kernel lacks NFQUEUE", Cure: "modprobe"}
			}
		}, Failed, "NFQUEUE"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, info := sound(t)
			tc.fault(&cfg, info)
			for _, r := range Kind(context.Background(), cfg) {
				switch {
				case r.ID == tc.id:
					if r.State != tc.want || !strings.Contains(r.Cause, tc.cause) || r.Cure == "" {
						t.Errorf("%+v, want %s with %q and a cure", r, tc.want, tc.cause)
					}
				case r.State == Failed || r.State == Warning:
					t.Errorf("%s complains too: %+v", r.ID, r)
				}
			}
		})
	}
}

// TestKindOldCgroups: an image that takes version 1 of cgroups is content with it.
func TestKindOldCgroups(t *testing.T) {
	cfg, info := sound(t)
	*info = strings.Replace(goodInfo, `"2"`, `"1"`, 1)
	cfg.CgroupsV1 = true
	if r := find(t, Kind(context.Background(), cfg), "cgroups"); r.State != OK {
		t.Errorf("%+v", r)
	}
}

func TestKindWithoutEngine(t *testing.T) {
	cfg, _ := sound(t)
	cfg.Machine.Look = func(string) (string, error) { return "", errors.New("not found") }
	for _, id := range []string{"cgroups", "memory", "engine-disk", "node-image", nftablesID} {
		if r := find(t, Kind(context.Background(), cfg), id); r.State != Unknown || r.Cause == "" {
			t.Errorf("%+v, want it unknown, and why", r)
		}
	}
}
