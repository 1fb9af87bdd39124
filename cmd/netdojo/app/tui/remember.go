package tui

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/netdojo/netdojo/cluster/records"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
)

// choiceSchema names the form of what is remembered.
const choiceSchema = "netdojo.dev/choice/v1"

// remembered is what the screens keep of a cluster's name.
type remembered struct {
	Schema string `json:"schema"`
	Name   string `json:"name"` // the cluster's
	// Choice is the ID of the choice that was made on the start page, absent for none.
	Choice string `json:"choice,omitempty"`
	// Seed is that of labs which differ from person to person, absent for none.
	Seed string `json:"seed,omitempty"`
	// TookMs is how long choices took when each came up last, by their ID.
	TookMs map[string]int64 `json:"tookMs,omitempty"`
}

func choiceRecords(e *env.Env) records.Store[remembered] {
	root := filepath.Join(e.StateDir, "choices")
	return records.Store[remembered]{
		Root:   root,
		Remedy: func(name string) string { return "choose a cluster anew, which replaces " + filepath.Join(root, name) },
		Check: func(name string, r remembered) error {
			switch {
			case r.Schema != choiceSchema:
				return fmt.Errorf("schema %q is not %q", r.Schema, choiceSchema)
			case r.Name != name:
				return fmt.Errorf("it is the record of %q", r.Name)
			}
			return nil
		},
	}
}

// recall reads what is remembered of a name. There being nothing is no error; with
// an error it is as if there were nothing.
func recall(e *env.Env, name string) (remembered, error) {
	r, err := choiceRecords(e).Read(name)
	if err != nil {
		r = remembered{Schema: choiceSchema, Name: name}
	}
	if r.TookMs == nil {
		r.TookMs = map[string]int64{}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return r, err
}

// remember changes what is remembered of a name. One that cannot be read is replaced.
func remember(e *env.Env, name string, change func(*remembered)) error {
	r, _ := recall(e, name)
	change(&r)
	return choiceRecords(e).Write(name, r)
}
