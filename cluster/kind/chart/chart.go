// Package chart is how the client has a Helm chart rendered or installed: by
// netdojo-helm, a program of its own, since Helm would double what the client
// links. It knows the program's questions and answers, and nothing of Helm.
package chart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Roles of netdojo-helm: its first argument. It reads a Request from standard
// input and writes an Answer to standard output.
const (
	Render  = "render"  // says what would be installed, and touches no cluster
	Install = "install" // installs it, and does not wait for its pods
)

// Request says which chart, with which values, goes where.
type Request struct {
	// Chart is a folder, a packed chart, or a reference that Helm can fetch
	// (oci://…, https://…). Empty means the one that the program was built with.
	Chart   string `json:"chart,omitempty"`
	Version string `json:"version,omitempty"` // empty takes what Chart has
	// Values are ours; those of ValueFiles, the later over the earlier, go over them.
	Values     map[string]any `json:"values,omitempty"`
	ValueFiles []string       `json:"valueFiles,omitempty"`
	Release    string         `json:"release"`
	Namespace  string         `json:"namespace"`
	// KubeVersion is what the chart is told that the cluster is; for Render.
	KubeVersion string `json:"kubeVersion,omitempty"`
	Kubeconfig  string `json:"kubeconfig,omitempty"` // for Install
}

// Answer is what a chart is with its values.
type Answer struct {
	Version string `json:"version"` // the chart's
	// Images are what a workload's containers run, by kind and name of the
	// workload: DaemonSet/cilium.
	Images map[string][]string `json:"images"`
	Error  *Error              `json:"error,omitempty"` // instead of all else
}

// Error is why a chart could not be had, rendered or installed.
type Error struct {
	Message string `json:"message"`
	Fix     string `json:"cure,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Cure says what to do about it; it may be empty.
func (e *Error) Cure() string { return e.Fix }

// Run asks the program. What Helm refuses is an *Error.
func Run(ctx context.Context, program, role string, req Request) (Answer, error) {
	var answer Answer
	in, err := json.Marshal(req)
	if err != nil {
		return answer, fmt.Errorf("ask %s: %w", program, err)
	}
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, role)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &said
	err = cmd.Run()
	if ctx.Err() != nil {
		return answer, ctx.Err()
	}
	if err != nil {
		return answer, fmt.Errorf("%s %s: %w: %s", program, role, err, strings.TrimSpace(said.String()))
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return answer, fmt.Errorf("read the answer of %s: %w", program, err)
	}
	if answer.Error != nil {
		return answer, answer.Error
	}
	if answer.Version == "" {
		return answer, errors.New(program + " says nothing of the chart")
	}
	return answer, nil
}
