package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/crypto/ssh"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// Bounds of what is read back.
const (
	maxLog    = 64 << 20
	maxRecord = 16 << 20
	maxSig    = 64 << 10
)

// Folder is the results folder of one grading run, which one process at a time
// writes. Its methods are for one caller at a time.
type Folder struct {
	dir     string
	lock    *flock.Flock
	entries []Entry
	head    string
}

// BusyError is a results folder that another netdojo writes.
type BusyError struct{ Dir string }

func (e *BusyError) Error() string {
	return "the results in " + e.Dir + " are being written by another netdojo"
}

// Cure says what to do.
func (e *BusyError) Cure() string { return "wait until it has ended, or give another --results" }

// Open opens a results folder for writing and makes it where it is missing. What a
// kill left half-written is taken away. Signed results are continued only where the
// signature is signer's: nothing that somebody else changed is signed anew.
// Errors are *BusyError, *BrokenError, or those of hostfile.
func Open(dir string, signer ssh.Signer) (*Folder, error) {
	if err := hostfile.MkdirAll(filepath.Join(dir, RecordsDir)); err != nil {
		return nil, err
	}
	f := &Folder{dir: dir, lock: flock.New(filepath.Join(dir, "lock"))}
	held, err := f.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if !held {
		return nil, &BusyError{dir}
	}
	if err := f.load(signer); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Folder) load(signer ssh.Signer) error {
	data, err := hostfile.Read(f.path(LogFile), maxLog)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var torn int
	if f.entries, f.head, torn, err = parseLog(data); err != nil {
		return err
	}
	whole := data[:len(data)-torn]
	sig, err := hostfile.Read(f.path(SigFile), maxSig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if _, err := check(whole, sig, []ssh.PublicKey{signer.PublicKey()}); err != nil {
			return err
		}
	}
	for id, digest := range f.standing() {
		if err := f.intact(id, digest); err != nil {
			return err
		}
	}
	if torn > 0 {
		return hostfile.WriteDurable(f.path(LogFile), whole, 0o600)
	}
	return nil
}

// Close gives the folder to others.
func (f *Folder) Close() error {
	if err := f.lock.Unlock(); err != nil {
		return fmt.Errorf("unlock %s: %w", f.dir, err)
	}
	return nil
}

func (f *Folder) path(name string) string { return filepath.Join(f.dir, name) }

// Entries are those of the log, in its order.
func (f *Folder) Entries() []Entry { return f.entries }

// standing are the records that there should be: digests by ID.
func (f *Folder) standing() map[string]string { return Standing(f.entries) }

// Standing are the records that there are by a log: digests by ID.
func Standing(entries []Entry) map[string]string {
	records := map[string]string{}
	for _, e := range entries {
		switch e.Kind {
		case Graded:
			records[e.ID] = e.Digest
		case Forgotten:
			delete(records, e.ID)
		}
	}
	return records
}

// Has says whether the log has a record of that ID that was not forgotten.
func (f *Folder) Has(id string) bool {
	_, ok := f.standing()[id]
	return ok
}

// Record reads a record.
func (f *Folder) Record(id string) ([]byte, error) { return ReadRecord(f.dir, id) }

func (f *Folder) intact(id, digest string) error { return intact(f.dir, id, digest) }

func intact(dir, id, digest string) error {
	name := recordName(id)
	data, err := ReadRecord(dir, id)
	if errors.Is(err, fs.ErrNotExist) {
		return &BrokenError{name, 0, "the record is missing"}
	}
	if err != nil {
		return err
	}
	if Digest(data) != digest {
		return &BrokenError{name, 0, "the record is not the one that was written"}
	}
	return nil
}

// idForm is what can name a record's file.
var idForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

func recordName(id string) string { return RecordsDir + "/" + id + ".json" }

// ReadRecord reads a record of a results folder.
func ReadRecord(dir, id string) ([]byte, error) {
	if !idForm.MatchString(id) {
		return nil, &BrokenError{LogFile, 0, fmt.Sprintf("%q is no submission's ID", id)}
	}
	return hostfile.ReadIn(dir, recordName(id), maxRecord)
}

// Put writes a record and logs it. A kill leaves both, or no log entry.
func (f *Folder) Put(id string, data []byte, at time.Time) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("write a record: %q is no submission's ID", id)
	}
	if err := hostfile.WriteDurable(f.path(filepath.FromSlash(recordName(id))), data, 0o600); err != nil {
		return err
	}
	return f.append(Entry{At: at, Kind: Graded, ID: id, Digest: Digest(data)})
}

// Append logs what is no record: data is encoded as JSON.
func (f *Folder) Append(kind Kind, id string, at time.Time, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return f.append(Entry{At: at, Kind: kind, ID: id, Data: raw})
}

// Forget removes a record and logs that.
func (f *Folder) Forget(id string, at time.Time) error {
	if err := f.append(Entry{At: at, Kind: Forgotten, ID: id}); err != nil {
		return err
	}
	err := os.Remove(f.path(filepath.FromSlash(recordName(id))))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget %s: %w", id, err)
	}
	return nil
}

func (f *Folder) append(e Entry) error {
	e.N, e.Prev, e.At = len(f.entries), f.head, e.At.UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	file, err := hostfile.Append(f.path(LogFile), 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the log of the results: %w", err)
	}
	f.entries, f.head = append(f.entries, e), Digest(line)
	return nil
}

// Sign signs the log as it is.
func (f *Folder) Sign(signer ssh.Signer) error {
	data, err := hostfile.Read(f.path(LogFile), maxLog)
	if err != nil {
		return err
	}
	sig, err := Sign(signer, Namespace, data)
	if err != nil {
		return fmt.Errorf("sign the results: %w", err)
	}
	return hostfile.WriteDurable(f.path(SigFile), sig, 0o644)
}

// ReadLog reads the log of a results folder and follows its chain. It asks for no
// signature.
func ReadLog(dir string) ([]Entry, error) {
	data, err := hostfile.ReadIn(dir, LogFile, maxLog)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NoneError{dir}
	}
	if err != nil {
		return nil, err
	}
	entries, _, _, err := parseLog(data)
	return entries, err
}

// Signed says whether a results folder has a signature over its log as it is, by
// whatever key.
func Signed(dir string) bool {
	log, err := hostfile.ReadIn(dir, LogFile, maxLog)
	if err != nil {
		return false
	}
	sig, err := hostfile.ReadIn(dir, SigFile, maxSig)
	if err != nil {
		return false
	}
	_, err = VerifySignature(Namespace, log, sig)
	return err == nil
}

// NoneError is a folder that holds no results.
type NoneError struct{ Dir string }

func (e *NoneError) Error() string { return "there are no results in " + e.Dir }

// Cure says which folder to give.
func (e *NoneError) Cure() string {
	return "give the folder that netdojo grade wrote: the one with " + LogFile
}
