package helm

import (
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	helmregistry "helm.sh/helm/v4/pkg/registry"

	"github.com/netdojo/netdojo/cluster/kind/chart"
)

// TestReference: a chart comes from a registry by its reference, in the version that
// is asked for, and one that cannot be had is refused by name.
func TestReference(t *testing.T) {
	server := httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	cert := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", cert) // read once, by the first connection of this process
	t.Setenv("HOME", t.TempDir())   // Helm keeps what it fetched
	t.Setenv("HELM_CACHE_HOME", t.TempDir())
	host := strings.TrimPrefix(server.URL, "https://")
	client, err := helmregistry.NewClient(helmregistry.ClientOptHTTPClient(server.Client()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Push(packedSmall(t), host+"/charts/small:1.2.3"); err != nil {
		t.Fatal(err)
	}
	reference := func(name, version string) chart.Answer {
		return ask(t, nil, chart.Request{Chart: "oci://" + host + "/charts/" + name, Version: version})
	}
	for _, version := range []string{"1.2.3", ""} {
		if answer := reference("small", version); answer.Error != nil || answer.Version != "1.2.3" || answer.Images["DaemonSet/agent"][0] != "from-the-chart" {
			t.Errorf("version %q: %+v, %v", version, answer, answer.Error)
		}
	}
	for what, refused := range map[string]struct{ name, version string }{"another version": {"small", "9.9.9"}, "another chart": {"none", "1.2.3"}} {
		problem := reference(refused.name, refused.version).Error
		if problem == nil || !strings.Contains(problem.Message, "get the chart oci://"+host+"/charts/"+refused.name) || problem.Fix == "" {
			t.Errorf("%s: %+v", what, problem)
		}
	}
}
