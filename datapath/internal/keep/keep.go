// Package keep keeps a value in a file, for a later process of the same boot.
package keep

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// Save replaces the file, so that a crash leaves the old value or the new one.
func Save(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	next := path + ".next"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// Load reads the file into value, which stays as it is when there is none.
func Load(path string, value any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(data, value)
}
