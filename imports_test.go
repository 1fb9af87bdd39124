package netdojo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/netdojo/netdojo"

// ban keeps packages from linking others, directly or through any chain. Paths
// under the module are relative to it: "runner" is the package and "runner/..."
// all below it too.
type ban struct {
	name   string
	of     []string // whom it binds
	except []string // of those, whom not
	from   []string // what they must not link; a path ending in /... and all below
	but    []string // of that, what they may
	direct bool     // only what they import themselves counts
	reason string
}

var bans = []ban{
	{
		name: "commands and screens are at the top",
		of:   []string{"..."}, except: []string{"cmd/...", "tui/..."},
		from:   []string{"cmd/...", "tui/..."},
		reason: "imports go cmd → tui → runner → …: whatever imports a face cannot have another",
	},
	{
		name:   "the TUI knows no command",
		of:     []string{"tui/..."},
		from:   []string{"cmd/..."},
		reason: "imports go cmd → tui",
	},
	{
		name:   "a lesson is no screen",
		of:     []string{"tui/lesson", "tui/flow", "tui/backend", "tui/grading"},
		from:   []string{"charm.land/...", "tui", "tui/pane/...", "tui/shell", "tui/styles"},
		reason: "what a learner is at is computed once, and both faces render it",
	},
	{
		name:   "the accessible face draws no screen",
		of:     []string{"tui/linear"},
		from:   []string{"tui", "tui/pane/...", "tui/shell", "charm.land/bubbletea/..."},
		reason: "both faces stand on the lesson, neither on the other",
	},
	{
		name:   "a pane knows no page",
		of:     []string{"tui/pane/..."},
		from:   []string{"tui", "cmd/..."},
		reason: "a pane is given its page as an interface, so that any can be tested alone",
	},
	{
		name:   "the runner knows no provider by name",
		of:     []string{"runner/..."},
		from:   []string{"cluster/embedded/...", "cluster/kind/...", "cluster/existing/...", "datapath/..."},
		but:    []string{"datapath/explain"}, // holds answers, no engine
		reason: "a session works on cluster.Provider; only commands name providers",
	},
	{
		name:   "what a session is made of knows no lab",
		of:     []string{"runner/apply", "runner/controls", "runner/event", "runner/record"},
		from:   []string{"labs/...", "manifests/builtin/..."},
		reason: "objects are applied, and controls kept, for whoever asks: a lab, a page, an exam",
	},
	{
		name:   "what grading reads and proves knows no cluster",
		of:     []string{"runner/grade/submission", "runner/grade/evidence", "runner/grade/roster"},
		from:   []string{"cluster/...", "runner", "runner/grade", "runner/apply", "labs/...", "manifests", "k8s.io/client-go/..."},
		reason: "submissions are read, and results verified, where there is no cluster and nothing could be done to one",
	},
	{
		name:   "what all rooms share knows none of them",
		of:     []string{"policies", "cure"},
		from:   []string{"cluster/...", "datapath/...", "runner/...", "checks/...", "labs/...", "manifests/...", "k8s.io/client-go/...", "github.com/cilium/..."},
		reason: "everything links it: the policy engine, the client and the helpers alike",
	},
	{
		name:   "checks know no lab, session or cluster",
		of:     []string{"checks/..."},
		from:   []string{"labs/...", "runner/...", "cluster/embedded/...", "manifests/..."},
		reason: "a check is judged by what its interfaces show it, so that it is testable without a cluster",
	},
	{
		name:   "labs run nothing",
		of:     []string{"labs/..."},
		from:   []string{"runner/...", "cluster/...", "datapath/...", "tui/...", "manifests/builtin/..."},
		reason: "a lab is loaded, linted and listed where there is no cluster; of checks it knows the declared form, of manifests how to read them",
	},
	{
		name: "labs and checks have no client",
		of:   []string{"labs/...", "checks", "manifests/object"},
		from: []string{"k8s.io/client-go/...", "manifests"},
		// The types that lint knows, and the paths of kubectl's -o jsonpath: neither
		// has a client.
		but:    []string{"k8s.io/client-go/kubernetes/scheme", "k8s.io/client-go/util/jsonpath", "k8s.io/client-go/third_party/forked/golang/template"},
		reason: "they are loaded, linted and judged where there is no cluster, and their tests build in seconds",
	},
	{
		name:   "the datapath knows no lab",
		of:     []string{"datapath/..."},
		from:   []string{"labs/...", "runner/...", "checks/...", "cluster/..."},
		reason: "it enforces policies, whoever made them, in the embedded cluster and as an agent elsewhere",
	},
	{
		name:   "clusters know no lab",
		of:     []string{"cluster/..."},
		from:   []string{"labs/...", "runner/...", "checks/..."},
		reason: "cluster imports manifests and datapath only",
	},
	{
		name:   "what providers share knows none of them",
		of:     []string{"cluster/inside", "cluster/containers", "cluster/kubeconfig", "cluster/loadbalancer", "cluster/records", "cluster/step"},
		from:   []string{"cluster/kind/...", "cluster/existing/...", "cluster/embedded/..."},
		reason: "it is used on clusters whoever made them",
	},
	{
		name:   "a provider knows no other",
		of:     []string{"cluster/existing/..."},
		from:   []string{"cluster/kind/...", "cluster/embedded/..."},
		reason: "it works where they were not",
	},
	{
		name:   "manifests know no session",
		of:     []string{"manifests/..."},
		from:   []string{"labs/...", "runner/...", "checks/...", "cluster/embedded/...", "datapath/..."},
		reason: "applying objects needs a client and nothing else",
	},
	{
		name: "the client starts at once",
		of:   []string{"cmd/netdojo"},
		from: []string{
			"k8s.io/kubernetes/...", "go.etcd.io/etcd/server/...", "k8s.io/apiserver/...",
			"k8s.io/kubectl/...", "github.com/cilium/cilium/pkg/...", "github.com/coredns/coredns/...", "helm.sh/helm/...",
			"cluster/embedded/daemon/...", "cluster/embedded/controlplane/...", "cluster/embedded/kubelet/...",
		},
		// The CRDs' YAML, which lint checks policies against and kind clusters get.
		but: []string{
			"github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2",
			"github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2alpha1",
		},
		reason: "linking Kubernetes' servers or the policy engine costs it 80 ms and 100 MB before main, kubectl 50 ms; programs of their own have them",
	},
	{
		name:   "the helper is small",
		of:     []string{"cmd/netdojo-helper"},
		from:   []string{"k8s.io/...", "sigs.k8s.io/...", "github.com/cilium/...", "google.golang.org/...", "github.com/spf13/..."},
		reason: "it starts once for every container and exec: the standard library and x/sys suffice",
	},
	{
		name:   "the cluster's DNS is a program of its own",
		of:     []string{"cmd/netdojo-cluster"},
		from:   []string{"github.com/coredns/coredns/..."},
		reason: "CoreDNS would double the daemon's memory",
	},
	{
		name:   "Envoy's configuration is not linked",
		of:     []string{"..."},
		from:   []string{"github.com/cilium/cilium/pkg/envoy"},
		reason: "it adds 15 MB; our HTTP proxy needs the rules only",
	},
	{
		name:   "what parts of the datapath exchange holds no engine",
		of:     []string{"datapath/verdict", "datapath/explain", "datapath/ruleset", "datapath/nfqueue", "datapath/flow/client"},
		from:   []string{"github.com/cilium/cilium/pkg/...", "datapath/policy/..."},
		reason: "the verdict path's parts meet in agent.go, and the client links some of them",
	},
	{
		name:   "layer-7 rules know no engine",
		of:     []string{"datapath/policy/l7"},
		from:   []string{"datapath/policy"},
		reason: "they are compiled from a policy and asked by the engine, not the reverse",
	},
	{
		name:   "the engine knows no API",
		of:     []string{"datapath/policy/..."},
		from:   []string{"github.com/cilium/cilium/api/v1/models"},
		direct: true,
		reason: "datapath/ciliumapi/model describes what it holds as Cilium's tools read it",
	},
	{
		name:   "what tests judge by judges independently",
		of:     []string{"internal/oracle/..."},
		from:   []string{"datapath/...", "cluster/...", "runner/...", "checks/..."},
		reason: "an oracle that links what it judges repeats its faults",
	},
	{
		name: "the product holds no test framework",
		of:   []string{"..."}, except: []string{"datapath/internal/testnet/..."},
		from:   []string{"testing", "github.com/stretchr/testify/...", "github.com/rogpeppe/go-internal/testscript"},
		direct: true,
		reason: "tests import the product, not the reverse",
	},
}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Imports    []string // its own
	Deps       []string // all
	Error      *struct{ Err string }
	DepsErrors []*struct{ Err string }
}

func TestImports(t *testing.T) {
	packages := list(t)
	for _, b := range bans {
		t.Run(b.name, func(t *testing.T) {
			bound := 0
			for _, p := range packages {
				if !in(p.ImportPath, b.of) || in(p.ImportPath, b.except) {
					continue
				}
				bound++
				links := p.Deps
				if b.direct {
					links = p.Imports
				}
				for _, dep := range links {
					if dep != p.ImportPath && in(dep, b.from) && !in(dep, b.but) {
						t.Errorf("%s links %s (%s)\n%s", p.ImportPath, dep, chain(packages, p.ImportPath, dep), b.reason)
						break
					}
				}
			}
			if bound == 0 && !slices.Contains(b.of, "tui/...") {
				t.Errorf("binds no package: %v", b.of)
			}
		})
	}
}

// TestBansCatch proves that in and chain find what they are to find.
func TestBansCatch(t *testing.T) {
	for _, tc := range []struct {
		path    string
		pattern string
		want    bool
	}{
		{module + "/runner", "runner/...", true},
		{module + "/runner/event", "runner/...", true},
		{module + "/runners", "runner/...", false},
		{module + "/cmd/netdojo", "cmd/netdojo", true},
		{module + "/cmd/netdojo/app", "cmd/netdojo", false},
		{module, "...", true},
		{"k8s.io/api/core/v1", "...", false},
		{"k8s.io/kubernetes/pkg/kubelet", "k8s.io/kubernetes/...", true},
		{"k8s.io/kubernetes-not", "k8s.io/kubernetes/...", false},
		{"testing", "testing", true},
	} {
		if got := in(tc.path, []string{tc.pattern}); got != tc.want {
			t.Errorf("in(%s, %s) = %v, want %v", tc.path, tc.pattern, got, tc.want)
		}
	}
	packages := map[string]pkg{"a": {Imports: []string{"b"}}, "b": {Imports: []string{"x", "c"}}, "c": {}, "x": {}}
	if got := chain(packages, "a", "c"); got != "a → b → c" {
		t.Errorf("chain = %s", got)
	}
}

// in says whether path matches one of the patterns. Those that are not of
// another module, by a dot in their first part, or of the standard library by
// an exact name, are relative to ours.
func in(path string, patterns []string) bool {
	for _, pattern := range patterns {
		if pattern == "..." {
			if path == module || strings.HasPrefix(path, module+"/") {
				return true
			}
			continue
		}
		prefix, below := strings.CutSuffix(pattern, "/...")
		if first, _, _ := strings.Cut(prefix, "/"); !strings.Contains(first, ".") && prefix != "testing" {
			prefix = module + "/" + prefix
		}
		if path == prefix || below && strings.HasPrefix(path, prefix+"/") {
			return true
		}
	}
	return false
}

// chain is a shortest way of imports from one package to another.
func chain(packages map[string]pkg, from, to string) string {
	before := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		if queue[0] == to {
			way := to
			for at := before[to]; at != ""; at = before[at] {
				way = at + " → " + way
			}
			return strings.ReplaceAll(way, module+"/", "")
		}
		for _, next := range packages[queue[0]].Imports {
			if _, seen := before[next]; !seen {
				before[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return "directly"
}

// list asks the go command for all packages that ours link, by import path.
func list(t *testing.T) map[string]pkg {
	t.Helper()
	// -e: a package whose generated or packed files are not built yet still says
	// what it imports.
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Imports,Deps", "./...")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errOut.String())
	}
	packages := map[string]pkg{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
	for _, want := range []string{module + "/cmd/netdojo", module + "/cmd/netdojo-helper", module + "/cmd/netdojo-cluster"} {
		if len(packages[want].Deps) == 0 {
			t.Fatalf("go list knows nothing of %s: %s", want, errOut.String())
		}
	}
	return packages
}
