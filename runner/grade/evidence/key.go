package evidence

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// maxKey is more than any key's file has.
const maxKey = 64 << 10

// KeyError is a key that cannot be used.
type KeyError struct {
	Path, Message, Advice string
	Err                   error
}

func (e *KeyError) Error() string { return "read the key " + e.Path + ": " + e.Message }
func (e *KeyError) Unwrap() error { return e.Err }

// Cure says which key to give.
func (e *KeyError) Cure() string { return e.Advice }

// ReadSigner reads an SSH private key without passphrase. Errors are *KeyError.
func ReadSigner(path string) (ssh.Signer, error) {
	data, err := hostfile.Read(path, maxKey)
	if err != nil {
		return nil, &KeyError{path, err.Error(), "give an SSH private key, or leave --key out: netdojo then uses one of its own", err}
	}
	signer, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, &KeyError{path, "it has a passphrase", "make a key for grading: ssh-keygen -t ed25519 -N '' -f grading", err}
	case err != nil:
		return nil, &KeyError{path, "it is no SSH private key", "give the private key, not the .pub: ssh-keygen -t ed25519 -N '' -f grading makes one", err}
	}
	return signer, nil
}

// OwnKey is the key PATH, which is made with PATH.pub where it is missing.
func OwnKey(path string) (ssh.Signer, error) {
	signer, err := ReadSigner(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return signer, err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "netdojo grading")
	if err != nil {
		return nil, err
	}
	if signer, err = ssh.NewSignerFromKey(private); err != nil {
		return nil, err
	}
	if err := hostfile.PrivateDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := hostfile.WriteDurable(path+".pub", ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o644); err != nil {
		return nil, err
	}
	return signer, hostfile.WriteDurable(path, pem.EncodeToMemory(block), 0o600)
}

// ReadPublic reads public keys: a .pub, or lines of authorized_keys or of
// ssh-keygen's allowed_signers. Errors are *KeyError.
func ReadPublic(path string) ([]ssh.PublicKey, error) {
	data, err := hostfile.Read(path, maxKey)
	if err != nil {
		return nil, &KeyError{path, err.Error(), "give the grader's public key", err}
	}
	var keys []ssh.PublicKey
	for i, line := range bytes.Split(data, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil { // a line of allowed_signers begins with who it is
			if _, rest, ok := bytes.Cut(line, []byte(" ")); ok {
				key, _, _, _, err = ssh.ParseAuthorizedKey(rest)
			}
		}
		if err != nil {
			return nil, &KeyError{path, fmt.Sprintf("line %d is no public key", i+1), "give the grader's public key, a file *.pub", err}
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, &KeyError{Path: path, Message: "it holds no key", Advice: "give the grader's public key, a file *.pub"}
	}
	return keys, nil
}
