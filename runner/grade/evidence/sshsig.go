package evidence

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"
)

// Namespace is what the signatures are for, as in ssh-keygen -Y verify -n.
const Namespace = "netdojo-grade"

// The format is OpenSSH's PROTOCOL.sshsig.
const (
	sigMagic = "SSHSIG"
	sigBegin = "-----BEGIN SSH SIGNATURE-----\n"
	sigEnd   = "-----END SSH SIGNATURE-----\n"
)

// sshsig is the blob of a signature, after the magic.
type sshsig struct {
	Version   uint32
	PublicKey string
	Namespace string
	Reserved  string
	Hash      string
	Signature string
}

// signedData is what is signed, after the magic.
type signedData struct {
	Namespace string
	Reserved  string
	Hash      string
	Sum       string
}

// Sign signs a message for a namespace and returns the signature, armoured, as
// ssh-keygen -Y sign -n NAMESPACE prints it.
func Sign(signer ssh.Signer, namespace string, message []byte) ([]byte, error) {
	sum := sha512.Sum512(message)
	data := append([]byte(sigMagic), ssh.Marshal(signedData{Namespace: namespace, Hash: "sha512", Sum: string(sum[:])})...)
	var sig *ssh.Signature
	var err error
	if alg, ok := signer.(ssh.AlgorithmSigner); ok && signer.PublicKey().Type() == ssh.KeyAlgoRSA {
		// The format refuses RSA with SHA-1, which is the default of ssh-rsa keys.
		sig, err = alg.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
	} else {
		sig, err = signer.Sign(rand.Reader, data)
	}
	if err != nil {
		return nil, err
	}
	blob := append([]byte(sigMagic), ssh.Marshal(sshsig{
		Version: 1, PublicKey: string(signer.PublicKey().Marshal()), Namespace: namespace, Hash: "sha512",
		Signature: string(ssh.Marshal(sig)),
	})...)
	var out bytes.Buffer
	out.WriteString(sigBegin)
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(blob)), 70) {
		out.Write(line)
		out.WriteByte('\n')
	}
	out.WriteString(sigEnd)
	return out.Bytes(), nil
}

// VerifySignature is the key that signed a message for a namespace. Whether that key
// is trusted is the caller's to say.
func VerifySignature(namespace string, message, armoured []byte) (ssh.PublicKey, error) {
	body, ok := bytes.CutPrefix(armoured, []byte(sigBegin))
	body, _, found := bytes.Cut(body, []byte(sigEnd))
	if !ok || !found {
		return nil, errors.New("it is no SSH signature")
	}
	blob, err := base64.StdEncoding.DecodeString(string(bytes.ReplaceAll(body, []byte("\n"), nil)))
	if err != nil {
		return nil, fmt.Errorf("it is no SSH signature: %w", err)
	}
	blob, ok = bytes.CutPrefix(blob, []byte(sigMagic))
	var s sshsig
	if !ok || ssh.Unmarshal(blob, &s) != nil || s.Version != 1 {
		return nil, errors.New("it is no SSH signature of version 1")
	}
	if s.Namespace != namespace {
		return nil, fmt.Errorf("it is for %q, not for %q", s.Namespace, namespace)
	}
	var sum []byte
	switch s.Hash {
	case "sha512":
		full := sha512.Sum512(message)
		sum = full[:]
	case "sha256":
		full := sha256.Sum256(message)
		sum = full[:]
	default:
		return nil, fmt.Errorf("its hash %q is not known", s.Hash)
	}
	key, err := ssh.ParsePublicKey([]byte(s.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("its key cannot be read: %w", err)
	}
	var sig ssh.Signature
	if err := ssh.Unmarshal([]byte(s.Signature), &sig); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	if key.Type() == ssh.KeyAlgoRSA && sig.Format != ssh.KeyAlgoRSASHA512 && sig.Format != ssh.KeyAlgoRSASHA256 {
		return nil, fmt.Errorf("its algorithm %s is not trusted", sig.Format)
	}
	data := append([]byte(sigMagic), ssh.Marshal(signedData{Namespace: namespace, Reserved: s.Reserved, Hash: s.Hash, Sum: string(sum)})...)
	if err := key.Verify(data, &sig); err != nil {
		return nil, errors.New("it is not a signature of this log: one of the two was changed")
	}
	return key, nil
}
