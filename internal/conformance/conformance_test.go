//go:build conformance

package conformance

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"k8s.io/kubernetes/test/e2e/framework"
	"k8s.io/kubernetes/test/e2e/framework/config"

	_ "k8s.io/kubernetes/test/e2e/framework/debug/init"
	_ "k8s.io/kubernetes/test/e2e/framework/metrics/init"
	_ "k8s.io/kubernetes/test/e2e/framework/node/init"
	_ "k8s.io/kubernetes/test/e2e/network"
	_ "k8s.io/kubernetes/test/e2e/network/netpol"
)

// TestMain brings a cluster up that has the suite's image, and points the suite's
// framework at it.
func TestMain(m *testing.M) {
	config.CopyFlags(config.Flags, flag.CommandLine)
	framework.RegisterCommonFlags(flag.CommandLine)
	framework.RegisterClusterFlags(flag.CommandLine)
	flag.Parse()
	c, err := up()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for name, value := range map[string]string{
		"kubeconfig": c.kubeconfig, "kubectl-path": c.kubectl, "provider": "skeleton", "num-nodes": "1",
		// Nobody reads what a failed spec's cluster looked like.
		"dump-logs-on-failure": "false",
	} {
		if err := flag.Set(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	framework.AfterReadingAllFlags(&framework.TestContext)
	code := m.Run()
	if err := c.down(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// TestConformance runs Kubernetes' own specs and holds what comes out against what
// is known. All of them write docs/conformance.md.
func TestConformance(t *testing.T) {
	gomega.RegisterFailHandler(framework.Fail)
	suite, reporter := framework.CreateGinkgoConfig()
	focused := len(suite.FocusStrings) > 0
	if !focused {
		suite.SkipStrings = nil // without a focus the framework leaves features out
		for _, g := range groups {
			suite.FocusStrings = append(suite.FocusStrings, g.focus)
		}
	}
	for _, o := range leftOut() {
		suite.SkipStrings = append(suite.SkipStrings, o.specs)
	}
	ginkgo.RunSpecs(&recorder{}, "Kubernetes networking", suite, reporter)
	judge(t, focused)
}
