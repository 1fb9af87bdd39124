//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

func TestConfigurations(t *testing.T) {
	for _, tc := range []struct {
		line string
		want []configuration
	}{
		{"--root /r create --bundle /b --pid-file p id", []configuration{{path: "/b/config.json"}}},
		{"run -b /b id", []configuration{{path: "/b/config.json"}}},
		{"create --bundle=/b id", []configuration{{path: "/b/config.json"}}},
		{"create id", []configuration{{path: "config.json"}}},
		{"--log l exec --process /p.json --detach id", []configuration{{path: "/p.json", process: true}}},
		{"exec id create", nil},
		{"delete id", nil},
		{"", nil},
	} {
		if got := configurations(strings.Fields(tc.line)); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: %+v, want %+v", tc.line, got, tc.want)
		}
	}
}

// without is a host that lacks capabilities.
func without(missing ...string) limits {
	l := limits{bounding: 1<<len(sandbox.Capabilities) - 1, resource: true}
	for i, c := range sandbox.Capabilities {
		for _, m := range missing {
			if c == m {
				l.bounding &^= 1 << i
				l.resource = l.resource && m != "CAP_SYS_RESOURCE"
			}
		}
	}
	return l
}

func TestFit(t *testing.T) {
	var have syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &have); err != nil {
		t.Fatal(err)
	}
	const asked = `{"annotations":{"big":9007199254740993},"process":{"args":["a"],"oomScoreAdj":-999,
		"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE","CAP_FROM_TOMORROW"]},
		"rlimits":[{"type":"RLIMIT_NOFILE","soft":1,"hard":18446744073709551615}]}}`
	type process struct {
		OOM          int `json:"oomScoreAdj"`
		Capabilities map[string][]string
		Rlimits      []struct{ Soft, Hard uint64 }
	}
	for _, tc := range []struct {
		name string
		host limits
		oom  int
		caps []string
		hard uint64
	}{
		{"an ordinary host", without(), -999, []string{"CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_FROM_TOMORROW"}, 1<<64 - 1},
		{"without CAP_SYS_RESOURCE", without("CAP_SYS_RESOURCE"), 0, []string{"CAP_CHOWN", "CAP_FROM_TOMORROW"}, have.Max},
		{"without another", without("CAP_CHOWN"), -999, []string{"CAP_SYS_RESOURCE", "CAP_FROM_TOMORROW"}, 1<<64 - 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.json")
			if err := os.WriteFile(path, []byte(asked), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := fit(configuration{path: path}, tc.host); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ Process process }
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			p := got.Process
			if p.OOM != tc.oom || !reflect.DeepEqual(p.Capabilities["bounding"], tc.caps) || p.Rlimits[0].Soft != 1 || p.Rlimits[0].Hard != tc.hard {
				t.Errorf("got %+v", p)
			}
			if !strings.Contains(string(data), "9007199254740993") {
				t.Errorf("a number was changed: %s", data)
			}
		})
	}
}

func TestExamine(t *testing.T) {
	l, err := examine()
	if err != nil {
		t.Fatal(err)
	}
	if l.bounding == 0 {
		t.Error("an empty bounding set")
	}
}
