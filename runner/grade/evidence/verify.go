package evidence

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// Verified is what Verify found to hold.
type Verified struct {
	Entries   []Entry
	Records   map[string]string // digests by ID
	Forgotten int
	Signer    string // SHA256 fingerprint of the key
}

// Verify checks a results folder: the signature over the log by one of keys, the
// log's chain, and each record that the log has. It needs nothing but the folder.
// What does not hold is a *BrokenError.
func Verify(dir string, keys []ssh.PublicKey) (Verified, error) {
	read := func(name string, limit int64) ([]byte, error) {
		data, err := hostfile.ReadIn(dir, name, limit)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &BrokenError{name, 0, "the file is missing"}
		}
		return data, err
	}
	log, err := read(LogFile, maxLog)
	if err != nil {
		return Verified{}, err
	}
	sig, err := read(SigFile, maxSig)
	if err != nil {
		return Verified{}, err
	}
	by, err := check(log, sig, keys)
	if err != nil {
		return Verified{}, err
	}
	entries, _, torn, err := parseLog(log)
	if err != nil {
		return Verified{}, err
	}
	if torn > 0 || len(entries) == 0 {
		return Verified{}, &BrokenError{LogFile, 0, "it has no end"}
	}
	v := Verified{Entries: entries, Records: Standing(entries), Signer: ssh.FingerprintSHA256(by)}
	for id, digest := range v.Records {
		if err := intact(dir, id, digest); err != nil {
			return Verified{}, err
		}
	}
	for _, e := range entries {
		if e.Kind == Forgotten {
			v.Forgotten++
		}
	}
	return v, stray(dir, v.Records)
}

// stray finds records that the log does not have.
func stray(dir string, records map[string]string) error {
	entries, err := os.ReadDir(filepath.Join(dir, RecordsDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if _, known := records[id]; (!ok || !known) && !strings.HasPrefix(e.Name(), ".") {
			return &BrokenError{RecordsDir + "/" + e.Name(), 0, "the log has no such record"}
		}
	}
	return nil
}

// check is the key that signed the log.
func check(log, sig []byte, keys []ssh.PublicKey) (ssh.PublicKey, error) {
	key, err := VerifySignature(Namespace, log, sig)
	if err != nil {
		return nil, &BrokenError{SigFile, 0, err.Error()}
	}
	for _, k := range keys {
		if string(k.Marshal()) == string(key.Marshal()) {
			return key, nil
		}
	}
	return nil, &BrokenError{SigFile, 0, fmt.Sprintf("it is by another key, %s", ssh.FingerprintSHA256(key))}
}
