package saved

import (
	"encoding/json"
	"time"
)

// Forge encodes a file with the right digest, whatever is in it.
func Forge(f File) ([]byte, error) {
	f.Schema, f.Saved = Schema, f.Saved.UTC().Truncate(time.Second)
	var err error
	if f.Digest, err = f.digest(); err != nil {
		return nil, err
	}
	return json.Marshal(f)
}
