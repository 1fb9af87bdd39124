package embedded

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
)

func files(t *testing.T, dir string, paths ...string) {
	t.Helper()
	for _, p := range paths {
		full := filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(p, "/") {
			continue
		}
		if err := os.WriteFile(full, []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A folder in which pods could write becomes the host's, unless they made of it what
// leads elsewhere.
func TestAdopt(t *testing.T) {
	elsewhere := t.TempDir()
	files(t, elsewhere, "letter")
	link := func(name string) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, name)
			return errors.Join(os.RemoveAll(path), os.Symlink(elsewhere, path))
		}
	}
	for name, c := range map[string]struct {
		plant   func(dir string) error
		refused bool
	}{
		"as it was":          {func(string) error { return nil }, false},
		"the disk is a link": {link(userns.NodeDir), true},
		"the record is one":  {link(SpecFile), true},
		"the lock is one":    {link(userns.LockFile), true},
		"the log is one":     {link(LogFile), false}, // it is replaced, not followed
		"the folder is one":  {func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Symlink(elsewhere, dir)) }, true},
		"the disk is a file": {func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, userns.NodeDir)), os.WriteFile(filepath.Join(dir, userns.NodeDir), nil, 0o644))
		}, true},
		"the record a folder": {func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, SpecFile)), os.Mkdir(filepath.Join(dir, SpecFile), 0o755))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "c")
			files(t, dir, userns.NodeDir+"/", SpecFile, userns.LockFile, LogFile, KubeconfigFile)
			if err := errors.Join(os.Chmod(dir, 0o777), c.plant(dir)); err != nil {
				t.Fatal(err)
			}
			err := adopt(dir)
			if (err != nil) != c.refused {
				t.Fatalf("got %v", err)
			}
			if info, serr := os.Lstat(dir); !c.refused && (serr != nil || info.Mode().Perm() != 0o700) {
				t.Errorf("others may enter: %v, %v", info.Mode(), serr)
			}
			if info, err := os.Stat(elsewhere); err != nil || info.Mode().Perm() == 0o700 && name == "the folder is one" {
				t.Errorf("what a link leads to was changed: %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestCorruptRecord(t *testing.T) {
	for name, plant := range map[string]func(string) error{
		"no JSON":  func(p string) error { return os.WriteFile(p, []byte("\x00"), 0o600) },
		"a link":   func(p string) error { return os.Symlink("/dev/zero", p) },
		"a folder": func(p string) error { return os.Mkdir(p, 0o700) },
		"endless":  func(p string) error { return os.WriteFile(p, make([]byte, maxSpec+1), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			p := New(Config{StateDir: t.TempDir()})
			dir := filepath.Join(p.cfg.StateDir, "clusters", "c")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, SpecFile)
			if err := plant(path); err != nil {
				t.Fatal(err)
			}
			_, err := p.Status(t.Context(), "c")
			var problem *Problem
			if !errors.As(err, &problem) || !strings.Contains(err.Error(), path) || !strings.Contains(problem.Fix, "--purge") {
				t.Errorf("status says %v", err)
			}
			if names, err := p.List(t.Context()); err != nil || len(names) != 1 {
				t.Errorf("list: %v, %v", names, err)
			}
			if err := p.Down(t.Context(), "c", true, nil); err != nil {
				t.Errorf("the cure does not work: %v", err)
			}
			if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the folder is still there: %v", err)
			}
		})
	}
}

// One netdojo at a time works on a folder; the next waits, and gives up with its ctx.
func TestClaim(t *testing.T) {
	p := New(Config{StateDir: t.TempDir()})
	dir := filepath.Join(p.cfg.StateDir, "clusters", "c")
	release, err := p.claim(t.Context(), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*pollInterval)
	defer cancel()
	if _, err := p.claim(ctx, dir, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("claimed twice: %v", err)
	}
	// The one who waits gets a folder that is there, though it was removed meanwhile.
	next := make(chan error, 1)
	go func() {
		release, err := p.claim(t.Context(), dir, false)
		if err == nil {
			_, err = os.Lstat(dir)
			release()
		}
		next <- err
	}()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	release()
	if err := <-next; err != nil {
		t.Error(err)
	}
	if release, err = p.claim(t.Context(), dir, true); err != nil {
		t.Fatal(err)
	}
	release()
}

// What is kept of a cluster has the addresses and the nodes that it was made with. Which
// clusters come up is tested end to end.
func TestMadeOtherwise(t *testing.T) {
	p := New(Config{StateDir: t.TempDir()})
	dir := filepath.Join(p.cfg.StateDir, "clusters", "c")
	files(t, dir, "node/")
	if err := os.WriteFile(filepath.Join(dir, SpecFile), []byte(`{"name": "c", "nodes": 2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []cluster.Spec{{Name: "c", IPFamily: cluster.FamilyDual}, {Name: "c", Nodes: 3}} {
		_, err := p.Up(t.Context(), want, nil)
		var problem *Problem
		if !errors.Is(err, cluster.ErrMadeOtherwise) || !errors.As(err, &problem) || !strings.Contains(problem.Fix, "--fresh") {
			t.Errorf("%+v: %v", want, err)
		}
	}
}

// credentials are those of a certificate that this makes.
func credentials(t *testing.T) control.Credentials {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pemCert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	return control.Credentials{CA: pemCert, Certificate: pemCert, Key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})}
}

// Of the node's word nothing gets into a kubeconfig but certificates and a key.
func TestCredentials(t *testing.T) {
	good := credentials(t)
	config, err := configFor("netdojo-c", "https://127.0.0.1:6443", good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clientcmd.NewDefaultClientConfig(*config, nil).ClientConfig(); err != nil {
		t.Error(err)
	}
	const planted = "users: [{name: x, user: {exec: {command: /bin/sh}}}]\n"
	dirty := good
	dirty.CA = append([]byte(planted), good.CA...)
	dirty.Certificate = append([]byte(planted), good.Certificate...)
	if config, err = configFor("netdojo-c", "https://127.0.0.1:6443", dirty); err != nil {
		t.Fatal(err)
	}
	out, err := clientcmd.Write(*config)
	if err != nil || strings.Contains(string(out), "exec") ||
		strings.Contains(string(config.Clusters["netdojo-c"].CertificateAuthorityData), "exec") ||
		strings.Contains(string(config.AuthInfos["netdojo-c"].ClientCertificateData), "exec") {
		t.Errorf("text beside the certificates got in: %v\n%s", err, out)
	}
	other := credentials(t)
	for name, bad := range map[string]control.Credentials{
		"nothing":       {},
		"no CA":         {Certificate: good.Certificate, Key: good.Key},
		"a key as CA":   {CA: good.Key, Certificate: good.Certificate, Key: good.Key},
		"another's key": {CA: good.CA, Certificate: good.Certificate, Key: other.Key},
		"no key":        {CA: good.CA, Certificate: good.Certificate, Key: good.CA},
		"rubbish":       {CA: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), Certificate: good.Certificate, Key: good.Key},
	} {
		if _, err := configFor("netdojo-c", "https://127.0.0.1:6443", bad); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// A cluster that ended by itself says why.
func TestStopped(t *testing.T) {
	dir := t.TempDir()
	if got := stopped(dir, cluster.Spec{}); !strings.HasPrefix(got, "stopped; ") {
		t.Errorf("got %q", got)
	}
	files(t, dir, userns.PortsFile)
	if got := stopped(dir, cluster.Spec{}); !strings.Contains(got, "launcher was killed") {
		t.Errorf("got %q", got)
	}
	end := `{"at":"2026-01-02T03:04:05Z","reason":"the disk is full","lines":["a","b"],"said":"b"}`
	if err := os.WriteFile(filepath.Join(dir, userns.EndFile), []byte(end), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := stopped(dir, cluster.Spec{IPFamily: cluster.FamilyDual}); !strings.Contains(got, "the disk is full; it said last: b") || !strings.Contains(got, "--ip-family dual") {
		t.Errorf("got %q", got)
	}
	end = `{"at":"2026-01-02T03:04:05Z","reason":"exit code 3","said":"b","what":"no such thing","cure":"make one"}`
	if err := os.WriteFile(filepath.Join(dir, userns.EndFile), []byte(end), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := stopped(dir, cluster.Spec{}); !strings.HasSuffix(got, ": no such thing; make one") {
		t.Errorf("got %q", got)
	}
}
