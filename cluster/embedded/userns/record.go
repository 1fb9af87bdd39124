package userns

import (
	"encoding/json"
	"io"
	"path/filepath"
	"time"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// End is how a cluster ended that nobody asked to.
type End struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	Lines  []string  `json:"lines,omitempty"` // the log's last ones; as the node wrote them
	Said   string    `json:"said,omitempty"`  // the one of the node's lines that tells most
	What   string    `json:"what,omitempty"`  // why, where netdojo itself knows
	Cure   string    `json:"cure,omitempty"`  // of that
}

// RecordedEnd reads how the cluster of a folder ended; nil after an end that was
// asked for.
func RecordedEnd(dir string) *End {
	f, err := hostfile.Open(filepath.Join(dir, EndFile))
	if err != nil {
		return nil
	}
	defer f.Close()
	var e End
	if json.NewDecoder(io.LimitReader(f, 64<<10)).Decode(&e) != nil || e.Reason == "" {
		return nil
	}
	return &e
}
