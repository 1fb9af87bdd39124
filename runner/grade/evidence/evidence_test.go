package evidence

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

var at = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func key(t *testing.T) ssh.Signer {
	t.Helper()
	signer, err := OwnKey(filepath.Join(t.TempDir(), "keys", "key"))
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// results are a folder with three records, one graded twice, one overridden.
func results(t *testing.T, signer ssh.Signer) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "results")
	change(t, dir, signer, func(f *Folder) error {
		if err := f.Append(Begun, "", at, "lab"); err != nil {
			return err
		}
		for i, id := range []string{"s-a", "s-b", "s-c", "s-a"} {
			if err := f.Put(id, fmt.Appendf(nil, `{"n":%d}`, i), at); err != nil {
				return err
			}
		}
		return f.Append(Overridden, "s-b", at, map[string]any{"points": 2})
	})
	return dir
}

func change(t *testing.T, dir string, signer ssh.Signer, do func(*Folder) error) {
	t.Helper()
	f, err := Open(dir, signer)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(do(f), f.Sign(signer), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, path string, how func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, how(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	signer := key(t)
	public := []ssh.PublicKey{signer.PublicKey()}
	v, err := Verify(results(t, signer), public)
	if err != nil || len(v.Records) != 3 || len(v.Entries) != 6 {
		t.Fatalf("%v, %+v", err, v)
	}
	line := func(n int) func([]byte) []byte { // without line n
		return func(b []byte) []byte {
			lines := bytes.SplitAfter(b, []byte("\n"))
			return bytes.Join(append(lines[:n:n], lines[n+1:]...), nil)
		}
	}
	tests := []struct {
		name, want string
		harm       func(dir string)
	}{
		{"a record is altered", "not the one that was written", func(d string) {
			edit(t, d+"/records/s-b.json", func(b []byte) []byte { return bytes.Replace(b, []byte("1"), []byte("9"), 1) })
		}},
		{"a record is an earlier one", "not the one that was written", func(d string) {
			edit(t, d+"/records/s-a.json", func([]byte) []byte { return []byte(`{"n":0}`) })
		}},
		{"a record is missing", "records/s-c.json: the record is missing", func(d string) { os.Remove(d + "/records/s-c.json") }},
		{"a record is another's", "not the one that was written", func(d string) {
			edit(t, d+"/records/s-b.json", func([]byte) []byte { return []byte(`{"n":2}`) })
		}},
		{"a record is added", "the log has no such record", func(d string) { os.WriteFile(d+"/records/s-d.json", []byte("{}"), 0o600) }},
		{"a record is a link", "s-b.json", func(d string) {
			os.Rename(d+"/records/s-b.json", d+"/b")
			os.Symlink(d+"/b", d+"/records/s-b.json")
		}},
		{"the log is cut", "log.jsonl.sig", func(d string) { edit(t, d+"/"+LogFile, line(5)) }},
		{"an entry is taken out", "log.jsonl.sig", func(d string) { edit(t, d+"/"+LogFile, line(2)) }},
		{"the log is altered", "log.jsonl.sig", func(d string) {
			edit(t, d+"/"+LogFile, func(b []byte) []byte { return bytes.Replace(b, []byte(`"points":2`), []byte(`"points":8`), 1) })
		}},
		{"the log is missing", "log.jsonl: the file is missing", func(d string) { os.Remove(d + "/" + LogFile) }},
		{"the signature is missing", "log.jsonl.sig: the file is missing", func(d string) { os.Remove(d + "/" + SigFile) }},
		{"the signature is none", "no SSH signature", func(d string) { os.WriteFile(d+"/"+SigFile, []byte("hello"), 0o600) }},
		{"somebody signed it anew", "by another key", func(d string) {
			other := key(t)
			data, _ := os.ReadFile(d + "/" + LogFile)
			sig, err := Sign(other, Namespace, data)
			if err != nil {
				t.Fatal(err)
			}
			os.WriteFile(d+"/"+SigFile, sig, 0o600)
		}},
		{"the signature is for something else", `it is for "file"`, func(d string) {
			data, _ := os.ReadFile(d + "/" + LogFile)
			sig, err := Sign(signer, "file", data)
			if err != nil {
				t.Fatal(err)
			}
			os.WriteFile(d+"/"+SigFile, sig, 0o600)
		}},
		{"the chain is broken and signed", "not the one that was there", func(d string) {
			edit(t, d+"/"+LogFile, func(b []byte) []byte { return bytes.Replace(b, []byte(`"data":"lab"`), []byte(`"data":"lob"`), 1) })
			data, _ := os.ReadFile(d + "/" + LogFile)
			sig, err := Sign(signer, Namespace, data)
			if err != nil {
				t.Fatal(err)
			}
			os.WriteFile(d+"/"+SigFile, sig, 0o600)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := results(t, signer)
			tt.harm(dir)
			_, err := Verify(dir, public)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// The rest verifies after somebody was forgotten.
func TestForget(t *testing.T) {
	signer := key(t)
	dir := results(t, signer)
	change(t, dir, signer, func(f *Folder) error { return f.Forget("s-b", at) })
	v, err := Verify(dir, []ssh.PublicKey{signer.PublicKey()})
	if err != nil || len(v.Records) != 2 || v.Forgotten != 1 {
		t.Errorf("%v, %+v", err, v)
	}
	if _, err := os.Stat(dir + "/records/s-b.json"); !os.IsNotExist(err) {
		t.Errorf("the record is there: %v", err)
	}
}

// What a kill leaves half-written goes; what somebody changed is not signed anew.
func TestOpen(t *testing.T) {
	signer := key(t)
	torn := results(t, signer)
	edit(t, torn+"/"+LogFile, func(b []byte) []byte { return append(b, `{"n":6,"prev":"sha2`...) })
	change(t, torn, signer, func(f *Folder) error {
		if len(f.Entries()) != 6 {
			t.Errorf("%d entries", len(f.Entries()))
		}
		return f.Put("s-d", []byte("{}"), at)
	})
	if _, err := Verify(torn, []ssh.PublicKey{signer.PublicKey()}); err != nil {
		t.Error(err)
	}
	for name, harm := range map[string]func(dir string){
		"a cut log": func(d string) {
			edit(t, d+"/"+LogFile, func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] })
		},
		"an altered record": func(d string) { edit(t, d+"/records/s-a.json", func([]byte) []byte { return []byte("{}") }) },
		"an unsigned chain": func(d string) {
			os.Remove(d + "/" + SigFile)
			edit(t, d+"/"+LogFile, func(b []byte) []byte { return bytes.Replace(b, []byte("lab"), []byte("lob"), 1) })
		},
		"a missing record": func(d string) { os.Remove(d + "/records/s-c.json") },
		"another's signature": func(d string) {
			data, _ := os.ReadFile(d + "/" + LogFile)
			sig, _ := Sign(key(t), Namespace, data)
			os.WriteFile(d+"/"+SigFile, sig, 0o600)
		},
	} {
		dir := results(t, signer)
		harm(dir)
		var broken *BrokenError
		if f, err := Open(dir, signer); !errors.As(err, &broken) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				f.Close()
			}
		}
	}
}

func TestOneWriter(t *testing.T) {
	signer := key(t)
	dir := results(t, signer)
	f, err := Open(dir, signer)
	if err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if _, err := Open(dir, signer); !errors.As(err, &busy) {
		t.Errorf("a second writer: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = Open(dir, signer); err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// Results are signed as long as nothing was added to their log.
func TestSigned(t *testing.T) {
	signer := key(t)
	if Signed(t.TempDir()) {
		t.Error("there is a signature where nothing is")
	}
	dir := results(t, signer)
	if !Signed(dir) {
		t.Error("the signature is not seen")
	}
	f, err := Open(dir, signer)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Append(Forgotten, "s-x", at, nil); err != nil {
		t.Fatal(err)
	}
	if Signed(dir) {
		t.Error("the signature is said to be over what was added since")
	}
}

// An ID never leads out of the folder of records.
func TestIDs(t *testing.T) {
	signer := key(t)
	f, err := Open(t.TempDir(), signer)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, id := range []string{"", "../people", "a/b", "A", ".hidden", strings.Repeat("x", 65)} {
		if err := f.Put(id, []byte("{}"), at); err == nil {
			t.Errorf("%q names a record", id)
		}
		if _, err := f.Record(id); err == nil {
			t.Errorf("%q is read", id)
		}
	}
}

// ssh-keygen takes our signatures, and we take its, for each kind of key that it makes
// by default.
func TestAgreesWithSSHKeygen(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Fatal("ssh-keygen is missing: apt-get install openssh-client")
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	for name, private := range map[string]any{"ed25519": ed, "ecdsa": ec, "rsa": rs} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			block, err := ssh.MarshalPrivateKey(private, "")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "key")
			if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
			signer, err := ReadSigner(path)
			if err != nil {
				t.Fatal(err)
			}
			public := ssh.MarshalAuthorizedKey(signer.PublicKey())
			message := []byte("the log\n")
			sig, err := Sign(signer, Namespace, message)
			if err != nil {
				t.Fatal(err)
			}
			for file, data := range map[string][]byte{"sig": sig, "allowed": append([]byte("grader "), public...), "key.pub": public, "message": message} {
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			verify := exec.Command(keygen, "-Y", "verify", "-f", "allowed", "-I", "grader", "-n", Namespace, "-s", "sig")
			verify.Dir, verify.Stdin = dir, bytes.NewReader(message)
			if out, err := verify.CombinedOutput(); err != nil {
				t.Errorf("ssh-keygen refuses our signature: %s", out)
			}
			sign := exec.Command(keygen, "-Y", "sign", "-f", "key", "-n", Namespace, "message")
			sign.Dir = dir
			if out, err := sign.CombinedOutput(); err != nil {
				t.Fatalf("%s", out)
			}
			theirs, err := os.ReadFile(filepath.Join(dir, "message.sig"))
			if err != nil {
				t.Fatal(err)
			}
			by, err := VerifySignature(Namespace, message, theirs)
			if err != nil || !bytes.Equal(by.Marshal(), signer.PublicKey().Marshal()) {
				t.Errorf("we refuse ssh-keygen's signature: %v", err)
			}
			for _, file := range []string{"allowed", "key.pub"} {
				if keys, err := ReadPublic(filepath.Join(dir, file)); err != nil || len(keys) != 1 {
					t.Errorf("%s: %v", file, err)
				}
			}
		})
	}
}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "key")
	first, err := OwnKey(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OwnKey(path)
	if err != nil || !bytes.Equal(first.PublicKey().Marshal(), again.PublicKey().Marshal()) {
		t.Errorf("the second time it is another key: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"locked": pem.EncodeToMemory(locked), "public": ssh.MarshalAuthorizedKey(first.PublicKey()), "empty": nil} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var e *KeyError
		if _, err := ReadSigner(file); !errors.As(err, &e) || e.Cure() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	os.WriteFile(none, []byte("# nothing\n"), 0o600)
	for _, file := range []string{path, none, none + "-at-all"} {
		if _, err := ReadPublic(file); err == nil {
			t.Errorf("%s holds public keys", file)
		}
	}
}
