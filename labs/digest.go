package labs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io/fs"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs/progress"
)

// Digest is that of the lab's files, in the form sha256:HEX: labs with the same
// digest are the same.
func (l *Lab) Digest() (string, error) { return DigestOf(l.FS) }

// DigestOf is that of a lab's folder, which need not be a lab. What lab.yaml declares
// of values is not in it: without a seed it changes nothing, and with one the files that
// it makes are.
func DigestOf(fsys fs.FS) (string, error) {
	sum := sha256.New()
	for _, name := range files(fsys) {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return "", fmt.Errorf("read the lab: %w", err)
		}
		if name == FileName {
			data = withoutValues(data)
		}
		fmt.Fprintf(sum, "%q %d\n", name, len(data))
		sum.Write(data)
	}
	return digestText(sum), nil
}

// Digest is that of what a task is judged by: its checks, pairs and quiz. A page
// or a hint that is reworded leaves it as it is.
func (t Task) Digest() string {
	type judged struct {
		ID, From, Target string
		Commands         []checks.CommandLine
		Before, After    checks.Expect
		Status           int
	}
	var all []judged
	for _, c := range t.cells() {
		all = append(all, judged{c.ID, c.From.String(), c.Target(), c.Commands(), c.Before, c.After, c.Status})
	}
	sum := sha256.New()
	// Plain data of ours always encodes, and a hash takes every write.
	_ = json.NewEncoder(sum).Encode([]any{all, t.Pairs, t.Quiz})
	return digestText(sum)
}

// Version is the lab as a learner's progress is compared with.
func (l *Lab) Version() (progress.Version, error) {
	digest, err := l.Digest()
	v := progress.Version{Lab: l.ID, Digest: digest, Tasks: map[string]string{}}
	for _, t := range l.Tasks {
		v.Tasks[t.ID] = t.Digest()
	}
	return v, err
}

func digestText(sum hash.Hash) string { return "sha256:" + hex.EncodeToString(sum.Sum(nil)) }
