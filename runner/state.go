package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/event"
)

// stateSchema names the shape of the controls' file.
const stateSchema = "netdojo.dev/controls/v1"

// state is what Run leaves for Check: the probes that were allowed before the
// policy. It belongs to one cluster, known by the UID of its kube-system.
type state struct {
	Schema   string                    `json:"schema"`
	Cluster  string                    `json:"cluster"`
	Lab      string                    `json:"lab"`
	Saved    time.Time                 `json:"saved"`
	Controls map[string]checks.Control `json:"controls"` // by TASK/CHECK
}

func (s *session) statePath() string {
	return filepath.Join(s.o.StateDir, "sessions", s.o.Spec.Name, s.o.Lab.ID+".json")
}

func (s *session) clusterUID(ctx context.Context) (string, error) {
	u, err := s.conn.objects.Get(ctx, manifests.Ref{GVK: namespaceGVK, Name: "kube-system"})
	if err != nil {
		return "", fmt.Errorf("identify the cluster: %w", err)
	}
	return string(u.GetUID()), nil
}

// saveControls writes the file in one move. Only a session that keeps its pods
// leaves controls: others could never be compared.
func (s *session) saveControls(ctx context.Context) error {
	if s.o.StateDir == "" || !s.o.Keep {
		return nil
	}
	uid, err := s.clusterUID(ctx)
	if err != nil {
		return &EnvironmentError{During: "Save the controls", Err: err}
	}
	data, err := json.MarshalIndent(state{
		Schema: stateSchema, Cluster: uid, Lab: s.o.Lab.ID, Saved: time.Now().UTC(), Controls: s.controls,
	}, "", "  ")
	if err == nil {
		err = writeFile(s.statePath(), data)
	}
	if err != nil {
		return &EnvironmentError{During: "Save the controls", Err: err}
	}
	return nil
}

// loadControls reads the file. One that is missing, broken or another cluster's
// means that there are no controls, which the verdicts then say.
func (s *session) loadControls(ctx context.Context) {
	if s.o.StateDir == "" {
		return
	}
	data, err := os.ReadFile(s.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var st state
	if err == nil {
		err = json.Unmarshal(data, &st)
	}
	if err == nil && st.Schema != stateSchema {
		err = fmt.Errorf("schema %q is not %q", st.Schema, stateSchema)
	}
	if err != nil {
		s.emit(event.Notice{Text: fmt.Sprintf("the controls of the session before cannot be read: %v", err)})
		return
	}
	uid, err := s.clusterUID(ctx)
	if err != nil || uid != st.Cluster {
		s.emit(event.Notice{Text: "the controls of the session before are another cluster's; they do not count"})
		return
	}
	maps.Copy(s.controls, st.Controls)
}

// writeFile replaces a file in one move, readable by its owner only.
func writeFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
