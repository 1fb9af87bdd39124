package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// whole is a machine that lacks nothing, with an ordinary user.
func whole() *system {
	return &system{
		stat:      func(string) (fs.FileInfo, error) { return nil, nil },
		look:      func(program string) (string, error) { return "/usr/bin/" + program, nil },
		read:      func(string) ([]byte, error) { return []byte("ann:100000:65536\n"), nil },
		sysctl:    func(string) string { return "" },
		free:      func(string) (uint64, error) { return 1 << 40, nil },
		netfilter: func() error { return nil },
		user:      func() (string, int) { return "ann", 1000 },
		probe:     func(context.Context, Config) (findings, error) { return findings{}, nil },
	}
}

// lacking makes a look for programs that finds all but some.
func lacking(programs ...string) func(string) (string, error) {
	return func(program string) (string, error) {
		for _, p := range programs {
			if p == program {
				return "", errors.New("not found")
			}
		}
		return "/usr/bin/" + program, nil
	}
}

// TestFaults breaks one thing at a time: exactly its requirement is reported,
// with a cure that helps. Each requirement is broken at least once.
func TestFaults(t *testing.T) {
	ctx := context.Background()
	cfg := good(t)
	cfg.on = whole()
	tried := map[string]bool{}
	for _, r := range All(ctx, cfg) {
		if r.State != OK {
			t.Errorf("a machine that lacks nothing: %+v", r)
		}
		tried[r.ID] = false
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	found := func(f findings) func(*Config) {
		return func(c *Config) {
			c.on.probe = func(context.Context, Config) (findings, error) { return f, nil }
		}
	}
	for name, tc := range map[string]struct {
		id, cause, cure string
		state           State
		change          func(*Config)
		unknown         []string // what cannot be examined then
	}{
		"no curl": {
			id: "curl", state: Failed, cause: "no /usr/bin/curl", cure: "apt-get install curl",
			change: func(c *Config) {
				c.on.stat = func(string) (fs.FileInfo, error) { return nil, fs.ErrNotExist }
				c.on.look = lacking("curl")
			},
		},
		"curl where containers do not see it": {
			id: "curl", state: Failed, cause: "only at /usr/bin/curl", cure: "dnf install curl",
			change: func(c *Config) {
				c.on.stat = func(string) (fs.FileInfo, error) { return nil, fs.ErrNotExist }
				c.on.look = lacking("apt-get")
			},
		},
		"no netfilter": {
			id: "netfilter", state: Failed, cause: "protocol not supported", cure: "modprobe -a nfnetlink nf_tables",
			change: func(c *Config) { c.on.netfilter = func() error { return syscall.EPROTONOSUPPORT } },
		},
		"no subordinate ids": {
			id: "subordinate-ids", state: Warning, cause: "/etc/subuid has no range for ann", cure: "usermod --add-subuids",
			change: func(c *Config) {
				c.on.read = func(string) ([]byte, error) { return []byte("bob:100000:65536\n"), nil }
			},
		},
		"no subordinate groups": {
			id: "subordinate-ids", state: Warning, cause: "/etc/subgid has no range for ann", cure: "--add-subgids",
			change: func(c *Config) {
				c.on.read = func(file string) ([]byte, error) {
					if file == "/etc/subgid" {
						return nil, fs.ErrNotExist
					}
					return []byte("1000:100000:65536\n"), nil
				}
			},
		},
		"no newuidmap": {
			id: "subordinate-ids", state: Warning, cause: "newuidmap is not installed", cure: "apt-get install uidmap",
			change: func(c *Config) { c.on.look = lacking("newuidmap") },
		},
		"a program missing": {
			id: "programs", state: Failed, cause: "no such file", cure: "make build",
			change: func(c *Config) { c.Programs = append(c.Programs, filepath.Join(c.StateDir, "nothing")) },
		},
		"a state folder that is a file": {
			id: "state-dir", state: Failed, cause: "not a directory", cure: "NETDOJO_STATE_DIR",
			change: func(c *Config) { c.StateDir = c.Programs[0] },
		},
		"a full disk": {
			id: "disk-space", state: Failed, cause: "only 3 MB are free", cure: "make room",
			change: func(c *Config) { c.on.free = func(string) (uint64, error) { return 3 << 20, nil } },
		},
		"a disk that is nearly full": {
			id: "disk-space", state: Warning, cause: "only 100 MB are free", cure: "make room",
			change: func(c *Config) { c.on.free = func(string) (uint64, error) { return 100 << 20, nil } },
		},
		"a port in use": {
			id: "ports", state: Failed, cause: "in use", cure: "choose another port",
			change: func(c *Config) { c.Ports = []int{taken.Addr().(*net.TCPAddr).Port} },
		},
		"no namespaces": {
			id: namespacesID, state: Failed, cause: "max_user_namespaces is 0", cure: "sysctl -w user.max_user_namespaces",
			change: func(c *Config) {
				c.on.probe = func(context.Context, Config) (findings, error) { return findings{}, syscall.ENOSPC }
				c.on.sysctl = func(name string) string { return map[string]string{"user/max_user_namespaces": "0"}[name] }
			},
			unknown: []string{overlayID, nftablesID},
		},
		"namespaces without power": {
			id: namespacesID, state: Failed, cause: "AppArmor", cure: "apparmor_restrict_unprivileged_userns=0",
			change: func(c *Config) {
				found(findings{Namespaces: "make the mounts private: permission denied"})(c)
				c.on.sysctl = func(name string) string {
					return map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"}[name]
				}
			},
			unknown: []string{overlayID, nftablesID},
		},
		"no overlayfs": {
			id: overlayID, state: Failed, cause: "mount: no such device", cure: "modprobe overlay",
			change: found(findings{Overlay: "mount: no such device"}),
		},
		"no transparent proxying": {
			id: nftablesID, state: Failed, cause: "no tproxy", cure: "modprobe -a nft_tproxy",
			change: found(findings{NFTables: "no tproxy", Modules: []string{"nft_tproxy"}}),
		},
		"no nftables at all": {
			id: nftablesID, state: Failed, cause: "no tables", cure: "use a kernel with nftables",
			change: found(findings{NFTables: "no tables"}),
		},
	} {
		tried[tc.id] = true
		t.Run(name, func(t *testing.T) {
			cfg := good(t)
			cfg.on = whole()
			tc.change(&cfg)
			for _, r := range All(ctx, cfg) {
				want := OK
				switch {
				case r.ID == tc.id:
					want = tc.state
				case strings.Contains(strings.Join(tc.unknown, " "), r.ID):
					want = Unknown
				}
				if r.State != want {
					t.Errorf("%+v, want it %s", r, want)
				}
				if r.ID == tc.id && (!strings.Contains(r.Cause, tc.cause) || !strings.Contains(r.Cure, tc.cure)) {
					t.Errorf("%+v, want the cause %q and the cure %q", r, tc.cause, tc.cure)
				}
			}
		})
	}
	for id, tried := range tried {
		if !tried {
			t.Errorf("%s has no test with its fault", id)
		}
	}
}
