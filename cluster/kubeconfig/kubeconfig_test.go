package kubeconfig_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/netdojo/netdojo/cluster/kubeconfig"
)

// private is a kubeconfig as netdojo makes them for its own clusters.
const private = `apiVersion: v1
kind: Config
clusters:
- name: c
  cluster: {server: "https://127.0.0.1:PORT", certificate-authority-data: CERT}
contexts:
- name: whatever
  context: {cluster: c, user: u, namespace: lab}
users:
- name: u
  user: {client-certificate-data: CERT, client-key-data: KEY}
current-context: whatever
`

// pair is a certificate and its key, PEM.
var pair = sync.OnceValue(func() [2][]byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return [2][]byte{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
})

// ours fills in a port and certificates.
func ours(text string, port int) string {
	b64 := base64.StdEncoding.EncodeToString
	return strings.NewReplacer("PORT", strconv.Itoa(port), "CERT", b64(pair()[0]), "KEY", b64(pair()[1])).Replace(text)
}

const users = `# mine
apiVersion: v1
kind: Config
clusters:
- cluster:
    server: https://prod.example:6443
    unknown-field: kept
  name: prod
contexts:
- context: {cluster: prod, user: admin}
  name: prod
users:
- name: admin
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1, command: login, interactiveMode: Never}
current-context: prod
preferences: {colors: true}
`

func put(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func own(t *testing.T, port int) string {
	t.Helper()
	return put(t, filepath.Join(t.TempDir(), "kubeconfig"), ours(private, port))
}

func merge(t *testing.T, f kubeconfig.Files, name, from string) string {
	t.Helper()
	path, err := f.Merge(context.Background(), name, from, kubeconfig.Loopback)
	if err != nil {
		t.Fatalf("Merge: %v", err)
	}
	return path
}

func remove(t *testing.T, f kubeconfig.Files, name string) string {
	t.Helper()
	former, err := f.Remove(context.Background(), name)
	if err != nil {
		t.Fatalf("Remove: %v", err)
	}
	return former
}

func current(t *testing.T, path string) string {
	t.Helper()
	cfg, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.CurrentContext
}

func TestMergeThenRemoveKeepsTheUsersEntries(t *testing.T) {
	path := put(t, filepath.Join(t.TempDir(), "config"), users)
	f := kubeconfig.Files{path}
	if got := merge(t, f, "a", own(t, 7000)); got != path {
		t.Errorf("wrote %s, want %s", got, path)
	}

	cfg, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.CurrentContext != "netdojo-a" {
		t.Errorf("current context %q", cfg.CurrentContext)
	}
	c, u, x := cfg.Clusters["netdojo-a"], cfg.AuthInfos["netdojo-a"], cfg.Contexts["netdojo-a"]
	if c == nil || u == nil || x == nil {
		t.Fatalf("entries are missing: %v", cfg)
	}
	if c.Server != "https://127.0.0.1:7000" || !bytes.Equal(c.CertificateAuthorityData, pair()[0]) || !bytes.Equal(u.ClientKeyData, pair()[1]) {
		t.Errorf("cluster %+v, user %+v", c, u)
	}
	if x.Cluster != "netdojo-a" || x.AuthInfo != "netdojo-a" || x.Namespace != "lab" {
		t.Errorf("context %+v", x)
	}
	if cfg.AuthInfos["admin"].Exec == nil || cfg.Clusters["prod"].Server == "" {
		t.Errorf("the user's entries changed")
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}

	if former := remove(t, f, "a"); former != "prod" {
		t.Errorf("former context %q, want prod", former)
	}
	data, _ := os.ReadFile(path)
	for _, want := range []string{"# mine", "unknown-field: kept", "current-context: prod", "colors: true"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%q is lost:\n%s", want, data)
		}
	}
	if strings.Contains(string(data), "netdojo") {
		t.Errorf("something of ours is left:\n%s", data)
	}
}

func TestFormerContext(t *testing.T) {
	for name, tc := range map[string]struct {
		act  func(t *testing.T, f kubeconfig.Files)
		want string
	}{
		"merged twice, as after a crash": {func(t *testing.T, f kubeconfig.Files) {
			merge(t, f, "a", own(t, 1))
			merge(t, f, "a", own(t, 2))
			remove(t, f, "a")
		}, "prod"},
		"the user went elsewhere meanwhile": {func(t *testing.T, f kubeconfig.Files) {
			merge(t, f, "a", own(t, 1))
			data, _ := os.ReadFile(f[0])
			put(t, f[0], strings.Replace(string(data), "current-context: netdojo-a", "current-context: elsewhere", 1))
			remove(t, f, "a")
		}, "elsewhere"},
		"two clusters, first up first down": {func(t *testing.T, f kubeconfig.Files) {
			merge(t, f, "a", own(t, 1))
			merge(t, f, "b", own(t, 2))
			remove(t, f, "a")
			if got := current(t, f[0]); got != "netdojo-b" {
				t.Errorf("current context %q after the older one went, want netdojo-b", got)
			}
			remove(t, f, "b")
		}, "prod"},
		"two clusters, last up first down": {func(t *testing.T, f kubeconfig.Files) {
			merge(t, f, "a", own(t, 1))
			merge(t, f, "b", own(t, 2))
			if former := remove(t, f, "b"); former != "netdojo-a" {
				t.Errorf("former %q, want netdojo-a", former)
			}
			remove(t, f, "a")
		}, "prod"},
		"the former context is gone": {func(t *testing.T, f kubeconfig.Files) {
			merge(t, f, "a", own(t, 1))
			data, _ := os.ReadFile(f[0])
			put(t, f[0], strings.Replace(string(data), "  name: prod\ncontexts", "  name: prod\nother", 1))
			data, _ = os.ReadFile(f[0])
			put(t, f[0], strings.ReplaceAll(string(data), "- context: {cluster: prod, user: admin}\n  name: prod\n", ""))
			remove(t, f, "a")
		}, ""},
		"never merged": {func(t *testing.T, f kubeconfig.Files) { remove(t, f, "a") }, "prod"},
	} {
		t.Run(name, func(t *testing.T) {
			path := put(t, filepath.Join(t.TempDir(), "config"), users)
			tc.act(t, kubeconfig.Files{path})
			if got := current(t, path); got != tc.want {
				data, _ := os.ReadFile(path)
				t.Errorf("current context %q, want %q\n%s", got, tc.want, data)
			}
		})
	}
}

func TestFileOfOursGoesWithTheLastEntry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "config")
	f := kubeconfig.Files{path}
	merge(t, f, "a", own(t, 1))
	merge(t, f, "b", own(t, 2))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("stat: %v %v", info, err)
	}
	remove(t, f, "a")
	remove(t, f, "b")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file that Merge made is still there: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestListOfFiles(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	second := put(t, filepath.Join(dir, "second"), users)
	third := put(t, filepath.Join(dir, "third"), users)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(second, link); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", strings.Join([]string{missing, link, "", third, link}, string(os.PathListSeparator)))
	f, err := kubeconfig.Default()
	if err != nil {
		t.Fatal(err)
	}
	if len(f) != 3 {
		t.Fatalf("files %v", f)
	}
	if got := merge(t, f, "a", own(t, 1)); got != link {
		t.Errorf("wrote %s, want the first that exists, %s", got, link)
	}
	if current(t, second) != "netdojo-a" {
		t.Error("the link's target did not change")
	}
	if info, _ := os.Lstat(link); info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link became a file")
	}
	remove(t, f, "a")
	if data, _ := os.ReadFile(third); string(data) != users {
		t.Error("a file without entries of ours changed")
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a missing file was made")
	}
}

func TestBadFilesAreRefusedUnchanged(t *testing.T) {
	for name, tc := range map[string]struct{ content, want string }{
		"broken YAML":      {"apiVersion: v1\nclusters: [\n", "yaml: line"},
		"a list":           {"- a\n- b\n", ":1:1: a kubeconfig is a mapping"},
		"contexts a map":   {"kind: Config\ncontexts:\n  a: b\n", ":3:3: contexts is a list"},
		"users of strings": {"users: [admin]\n", ":1:9: an entry of users"},
		"two documents":    {users + "---\n" + users, "one YAML document"},
	} {
		t.Run(name, func(t *testing.T) {
			path := put(t, filepath.Join(t.TempDir(), "config"), tc.content)
			_, err := kubeconfig.Files{path}.Merge(context.Background(), "a", own(t, 1), kubeconfig.Loopback)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v, want %q with the path", err, tc.want)
			}
			var cured interface{ Cure() string }
			if !errors.As(err, &cured) || cured.Cure() == "" {
				t.Error("no cure")
			}
			if data, _ := os.ReadFile(path); string(data) != tc.content {
				t.Errorf("the file changed to %q", data)
			}
			if _, err := os.Stat(path + ".lock"); err == nil {
				t.Error("the lock is left")
			}
		})
	}
}

func TestEmptyFile(t *testing.T) {
	path := put(t, filepath.Join(t.TempDir(), "config"), "")
	f := kubeconfig.Files{path}
	merge(t, f, "a", own(t, 1))
	if got := current(t, path); got != "netdojo-a" {
		t.Errorf("current context %q", got)
	}
	remove(t, f, "a")
	if got := current(t, path); got != "" {
		t.Errorf("current context %q", got)
	}
}

func TestLockIsRespected(t *testing.T) {
	path := put(t, filepath.Join(t.TempDir(), "config"), users)
	put(t, path+".lock", "")
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Millisecond)
	defer cancel()
	_, err := kubeconfig.Files{path}.Merge(ctx, "a", own(t, 1), kubeconfig.Loopback)
	if err == nil || !strings.Contains(err.Error(), ".lock") {
		t.Fatalf("error %v, want the lock named", err)
	}
	if data, _ := os.ReadFile(path); string(data) != users {
		t.Error("the file changed without the lock")
	}
	if _, err := os.Stat(path + ".lock"); err != nil {
		t.Error("another's lock was removed")
	}
}

func TestConcurrentMerges(t *testing.T) {
	path := put(t, filepath.Join(t.TempDir(), "config"), users)
	f := kubeconfig.Files{path}
	from := own(t, 1)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := f.Merge(context.Background(), fmt.Sprint("c", i), from, kubeconfig.Loopback); err != nil {
				t.Errorf("Merge %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	cfg, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Contexts) != 9 || len(cfg.AuthInfos) != 9 {
		t.Errorf("%d contexts and %d users, want 9 of each", len(cfg.Contexts), len(cfg.AuthInfos))
	}
	for i := range 8 {
		remove(t, f, fmt.Sprint("c", i))
	}
	if got := current(t, path); got != "prod" {
		t.Errorf("current context %q after all went, want prod", got)
	}
}

func TestCurrent(t *testing.T) {
	dir := t.TempDir()
	mine := put(t, filepath.Join(dir, "mine"), users)
	ours := put(t, filepath.Join(dir, "ours"), "current-context: netdojo-two\n")
	empty := put(t, filepath.Join(dir, "empty"), "")
	broken := put(t, filepath.Join(dir, "broken"), "contexts: 7\n")
	for name, tc := range map[string]struct {
		files kubeconfig.Files
		want  string
		fails bool
	}{
		"none":                  {kubeconfig.Files{filepath.Join(dir, "missing")}, "", false},
		"the user's own":        {kubeconfig.Files{mine}, "", false},
		"ours":                  {kubeconfig.Files{ours}, "two", false},
		"the first that has it": {kubeconfig.Files{filepath.Join(dir, "missing"), empty, ours, mine}, "two", false},
		"the user's is first":   {kubeconfig.Files{mine, ours}, "", false},
		"one that is broken":    {kubeconfig.Files{broken}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := tc.files.Current(t.Context()); got != tc.want || (err != nil) != tc.fails {
				t.Errorf("the current cluster is %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}
