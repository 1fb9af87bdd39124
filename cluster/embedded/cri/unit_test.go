//go:build linux

package cri

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/netdojo/netdojo/cluster/image"
)

func TestCommandOf(t *testing.T) {
	img := image.Config{Entrypoint: []string{"entry"}, Cmd: []string{"cmd"}}
	for _, tc := range []struct {
		command, args []string
		img           image.Config
		want          string
	}{
		{nil, nil, img, "entry cmd"},
		{[]string{"c"}, nil, img, "c"},
		{nil, []string{"a"}, img, "entry a"},
		{[]string{"c"}, []string{"a"}, img, "c a"},
		{nil, nil, image.Config{}, ""},
		{nil, []string{"a"}, image.Config{Cmd: []string{"cmd"}}, "a"},
	} {
		got, err := commandOf(&runtimeapi.ContainerConfig{Command: tc.command, Args: tc.args}, tc.img)
		if strings.Join(got, " ") != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%v %v over %v: %v, %v, want %q", tc.command, tc.args, tc.img, got, err, tc.want)
		}
	}
}

func TestCapabilities(t *testing.T) {
	for title, tc := range map[string]struct {
		add, drop []string
		want      []string
	}{
		"default":            {nil, nil, defaultCapabilities},
		"add":                {[]string{"net_admin"}, nil, append(slices.Clone(defaultCapabilities), "CAP_NET_ADMIN")},
		"add what is there":  {[]string{"CAP_KILL"}, nil, defaultCapabilities},
		"drop":               {nil, []string{"KILL", "MKNOD"}, slices.DeleteFunc(slices.Clone(defaultCapabilities), func(c string) bool { return c == "CAP_KILL" || c == "CAP_MKNOD" })},
		"drop all":           {nil, []string{"all"}, nil},
		"drop all, add":      {[]string{"NET_RAW"}, []string{"ALL"}, []string{"CAP_NET_RAW"}},
		"add all":            {[]string{"ALL"}, nil, []string{"ALL"}},
		"add all, drop all":  {[]string{"ALL"}, []string{"ALL"}, nil},
		"added and dropped":  {[]string{"NET_RAW"}, []string{"NET_RAW"}, slices.DeleteFunc(slices.Clone(defaultCapabilities), func(c string) bool { return c == "CAP_NET_RAW" })},
		"dropped, not there": {nil, []string{"SYS_ADMIN"}, defaultCapabilities},
	} {
		got := capabilities(&runtimeapi.Capability{AddCapabilities: tc.add, DropCapabilities: tc.drop})
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", title, got, tc.want)
		}
	}
	got := capabilities(&runtimeapi.Capability{AddCapabilities: []string{"ALL"}, DropCapabilities: []string{"SYS_ADMIN"}})
	if slices.Contains(got, "CAP_SYS_ADMIN") || !slices.Contains(got, "CAP_NET_ADMIN") {
		t.Errorf("all but one: %v", got)
	}
}

func TestLookUpUser(t *testing.T) {
	passwd := []passwdEntry{{name: "root", home: "/root"}, {name: "web", uid: 33, gid: 33, home: "/var/www"}, {name: "7", uid: 70, gid: 70, home: "/seven"}}
	groups := []groupEntry{{name: "root"}, {name: "web", gid: 33}, {name: "log", gid: 4, members: []string{"web", "x"}}}
	for _, tc := range []struct {
		spec, group string
		want        user
		fails       bool
	}{
		{"", "", user{home: "/root"}, false},
		{"web", "", user{uid: 33, gid: 33, groups: []int64{4}, home: "/var/www"}, false},
		{"33", "", user{uid: 33, gid: 33, groups: []int64{4}, home: "/var/www"}, false},
		{"33", "log", user{uid: 33, gid: 4, groups: []int64{4}, home: "/var/www"}, false},
		{"1000", "", user{uid: 1000, home: "/"}, false},
		{"1000", "2000", user{uid: 1000, gid: 2000, home: "/"}, false},
		{"7", "", user{uid: 70, gid: 70, home: "/seven"}, false},
		{"nobody", "", user{}, true},
		{"web", "none", user{}, true},
	} {
		got, err := lookUp(tc.spec, tc.group, passwd, groups)
		if (err != nil) != tc.fails || err == nil && (got.uid != tc.want.uid || got.gid != tc.want.gid || got.home != tc.want.home || !slices.Equal(got.groups, tc.want.groups)) {
			t.Errorf("%q:%q: %+v, %v, want %+v", tc.spec, tc.group, got, err, tc.want)
		}
	}
}

func TestSignalByName(t *testing.T) {
	for name, want := range map[string]unix.Signal{
		"SIGTERM": unix.SIGTERM, "term": unix.SIGTERM, "15": unix.SIGTERM, "SIGQUIT": unix.SIGQUIT, "SIGWINCH": unix.SIGWINCH,
		"SIGRTMIN": 34, "SIGRTMIN+3": 37, "SIGRTMINPLUS3": 37, "SIGRTMAX": 64, "SIGRTMAX-1": 63, "SIGRTMAXMINUS14": 50,
	} {
		if got, err := signalByName(name); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"", "SIGNONE", "0", "65", "-1"} {
		if got, err := signalByName(name); err == nil {
			t.Errorf("%q is signal %d", name, got)
		}
	}
	// Every signal that the API has must be one that can be sent.
	for value, name := range runtimeapi.Signal_name {
		if value == 0 {
			continue
		}
		if _, err := signalByName(name); err != nil {
			t.Errorf("a pod may ask for %s: %v", name, err)
		}
	}
}

func TestIDMaps(t *testing.T) {
	m := idMaps{uids: []idRange{{0, 1000, 1}, {1, 100000, 65535}}, gids: []idRange{{0, 1000, 1}}}
	for _, tc := range []struct {
		uid, gid int64
		groups   []int64
		want     string
	}{
		{0, 0, nil, ""},
		{1, 0, nil, ""},
		{65535, 0, nil, ""},
		{65536, 0, nil, "user 65536"},
		{1, 1, nil, "group 1"},
		{1, 0, []int64{0, 5}, "group 5"},
	} {
		err := m.check(tc.uid, tc.gid, tc.groups)
		if (err == nil) != (tc.want == "") || err != nil && !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%d:%d %v: %v, want %q", tc.uid, tc.gid, tc.groups, err, tc.want)
		}
	}
	if !m.inUserNamespace() || (idMaps{uids: []idRange{{0, 0, 1<<32 - 1}}}).inUserNamespace() {
		t.Error("user namespaces are told apart wrongly")
	}
}

func TestResolvConf(t *testing.T) {
	got, err := resolvConf(&runtimeapi.DNSConfig{Servers: []string{"1.1.1.1", "2.2.2.2"}, Searches: []string{"a", "b"}, Options: []string{"ndots:5", "edns0"}})
	if want := "search a b\nnameserver 1.1.1.1\nnameserver 2.2.2.2\noptions ndots:5 edns0\n"; err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := resolvConf(&runtimeapi.DNSConfig{}); err != nil || got != "" {
		t.Errorf("empty: %q, %v", got, err)
	}
}

func TestEndReason(t *testing.T) {
	for _, c := range []struct {
		code               int
		byUs, memoryRanOut bool
		want               string
	}{
		{0, false, true, "Completed"},
		{1, false, true, "Error"},
		{137, false, false, "Error"},
		{137, true, true, "Error"},
		{137, false, true, "OOMKilled"},
		{143, false, true, "Error"},
	} {
		if got := endReason(c.code, c.byUs, c.memoryRanOut); got != c.want {
			t.Errorf("code %d, killed by us %v, memory ran out %v: %s, want %s", c.code, c.byUs, c.memoryRanOut, got, c.want)
		}
	}
}

// The scores of Kubernetes are from -997 (guaranteed) to 1000 (best effort).
func TestPodsAreNoOOMVictims(t *testing.T) {
	for asked, want := range map[int64]int{1000: 0, 2: 0, 0: 0, -997: -997} {
		if got := oomScore(asked); got != want {
			t.Errorf("score %d for %d, want %d", got, asked, want)
		}
	}
}
