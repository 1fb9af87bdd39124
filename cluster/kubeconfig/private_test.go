package kubeconfig_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/netdojo/netdojo/cluster/kubeconfig"
)

func TestPrivate(t *testing.T) {
	p, err := kubeconfig.ReadPrivate(own(t, 7000), kubeconfig.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	rest := p.REST()
	if rest.Host != "https://127.0.0.1:7000" || !bytes.Equal(rest.CAData, pair()[0]) || !bytes.Equal(rest.CertData, pair()[0]) || !bytes.Equal(rest.KeyData, pair()[1]) {
		t.Errorf("connects as %+v", rest)
	}
	if cfg := p.Config(); cfg.CurrentContext != "whatever" || cfg.Contexts["whatever"].Namespace != "lab" {
		t.Errorf("contexts %v", cfg.Contexts)
	}
}

// Whatever a forged file says of commands, proxies, tokens, files and other servers,
// the host does none of it.
func TestPrivateRefusesWhatNetdojoNeverWrites(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	inUser := func(field string) [2]string { return [2]string{"user: {", "user: {" + field + ", "} }
	inCluster := func(field string) [2]string { return [2]string{"cluster: {", "cluster: {" + field + ", "} }
	at := func(server string) [2]string { return [2]string{"https://127.0.0.1:7000", server} }
	for name, tc := range map[string]struct {
		change [2]string
		want   string
	}{
		"exec":            {inUser("exec: {apiVersion: client.authentication.k8s.io/v1, command: touch, args: [" + mark + "], interactiveMode: Never}"), "exec"},
		"auth-provider":   {inUser("auth-provider: {name: oidc}"), "auth-provider"},
		"token":           {inUser("token: x"), "token"},
		"token file":      {inUser("tokenFile: /etc/shadow"), "tokenFile"},
		"password":        {inUser("username: a, password: b"), "user"},
		"key file":        {inUser("client-key: /root/.ssh/id"), "client-key"},
		"impersonation":   {inUser("as: root"), "as"},
		"proxy":           {inCluster("proxy-url: http://127.0.0.1:1"), "proxy-url"},
		"no verification": {inCluster("insecure-skip-tls-verify: true"), "insecure-skip-tls-verify"},
		"another name":    {inCluster("tls-server-name: other"), "tls-server-name"},
		"CA file":         {inCluster("certificate-authority: /etc/ca"), "certificate-authority"},
		"another user has exec": {[2]string{"users:\n", "users:\n- name: other\n  user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: touch, interactiveMode: Never}}\n"},
			"exec"},
		"not TLS":            {at("http://127.0.0.1:7000"), "alone"},
		"elsewhere":          {at("https://192.0.2.1:7000"), "not on this machine"},
		"a name":             {at("https://localhost:7000"), "not at an address"},
		"no port":            {at("https://127.0.0.1"), "no port"},
		"a path":             {at("https://127.0.0.1:7000/x"), "alone"},
		"a password in it":   {at("https://a:b@127.0.0.1:7000"), "alone"},
		"loopback in a path": {at("https://192.0.2.1:1/127.0.0.1:7000"), "alone"},
		"no CA":              {[2]string{"certificate-authority-data: CERT", "certificate-authority-data: eA=="}, "PEM"},
		"a key for a CA":     {[2]string{"certificate-authority-data: CERT", "certificate-authority-data: KEY"}, "PRIVATE KEY"},
		"no key":             {[2]string{"client-key-data: KEY", "client-key-data: eA=="}, "PEM"},
		"no context":         {[2]string{"current-context: whatever", "current-context: other"}, "no context"},
		"an escape":          {[2]string{"whatever", `"\e]0;x"`}, "context"},
		"a namespace":        {[2]string{"namespace: lab", `namespace: "a/../b"`}, "namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			text := ours(strings.ReplaceAll(strings.ReplaceAll(private, "https://127.0.0.1:PORT", "https://127.0.0.1:7000"), tc.change[0], tc.change[1]), 0)
			path := put(t, filepath.Join(t.TempDir(), "kubeconfig"), text)
			_, err := kubeconfig.ReadPrivate(path, kubeconfig.Loopback)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v, want one of %s about %q", err, path, tc.want)
			}
			var cured interface{ Cure() string }
			if !errors.As(err, &cured) || cured.Cure() == "" {
				t.Error("no cure")
			}
			users := put(t, filepath.Join(t.TempDir(), "config"), "")
			if _, err := (kubeconfig.Files{users}).Merge(t.Context(), "a", path, kubeconfig.Loopback); err == nil {
				t.Error("Merge took it into the user's kubeconfig")
			}
		})
	}
}

func TestSources(t *testing.T) {
	forged := strings.Replace(private, "user: {", "user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: login, interactiveMode: Never}, ", 1)
	write := func(text string) string { return put(t, filepath.Join(t.TempDir(), "kubeconfig"), ours(text, 7000)) }
	everywhere := write(strings.Replace(private, "127.0.0.1", "0.0.0.0", 1))
	if _, err := kubeconfig.ReadPrivate(everywhere, kubeconfig.Loopback); err == nil {
		t.Error("0.0.0.0 is taken for a loopback address")
	}
	if p, err := kubeconfig.ReadPrivate(everywhere, kubeconfig.Machine); err != nil || p.Server != "https://0.0.0.0:7000" {
		t.Errorf("kind's at all addresses: %v, %v", p, err)
	}
	if _, err := kubeconfig.ReadPrivate(write(strings.Replace(private, "127.0.0.1", "192.0.2.1", 1)), kubeconfig.Machine); err == nil {
		t.Error("an address of another machine is taken for one of this")
	}
	if _, err := kubeconfig.Read(write(forged), kubeconfig.Machine); err == nil {
		t.Error("a cluster of kind's may have commands run")
	}
	if cfg, err := kubeconfig.Read(write(forged), kubeconfig.Guest); err != nil || cfg.AuthInfos["u"].Exec == nil {
		t.Errorf("a guest's kubeconfig is the user's own, whose login command stays: %v, %v", cfg, err)
	}
	path := filepath.Join(t.TempDir(), "written")
	p, err := kubeconfig.ParsePrivate([]byte(ours(private, 1)), kubeconfig.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	if err := kubeconfig.WriteFile(path, p.Config()); err != nil {
		t.Fatal(err)
	}
	if _, err := clientcmd.LoadFromFile(path); err != nil {
		t.Errorf("what is written is not read: %v", err)
	}
}
