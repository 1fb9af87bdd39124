package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath/explain"
)

// ExplainFiles answers a question from files instead of a cluster: daemon, the
// program that has the policy engine, is run for the one answer. A path is a
// file, a folder, whose YAML and JSON files are read but not its folders', or -
// for stdin. A question or a file at fault is an error that says so by Question.
func ExplainFiles(ctx context.Context, daemon string, stdin io.Reader, paths []string, req explain.Request) (*explain.Answer, error) {
	r, err := offline(ctx, daemon, stdin, paths, control.Offline{Explain: &req})
	if err != nil {
		return nil, err
	}
	return r.Answer, nil
}

// MatrixOfFiles does so for all pairs of workloads.
func MatrixOfFiles(ctx context.Context, daemon string, stdin io.Reader, paths []string, req explain.MatrixRequest) (*explain.Matrix, error) {
	r, err := offline(ctx, daemon, stdin, paths, control.Offline{Matrix: &req})
	if err != nil {
		return nil, err
	}
	return r.Matrix, nil
}

func offline(ctx context.Context, daemon string, stdin io.Reader, paths []string, in control.Offline) (control.OfflineResult, error) {
	var out control.OfflineResult
	for _, p := range paths {
		files, err := readFiles(p, stdin)
		if err != nil {
			return out, err
		}
		in.Files = append(in.Files, files...)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("encode the question: %w", err)
	}
	if _, err := os.Stat(daemon); err != nil {
		return out, &Problem{What: "find " + daemon, Err: err, Fix: "build it with `make build`, and keep the programs of bin/ together"}
	}
	cmd := exec.CommandContext(ctx, daemon, "explain")
	cmd.Stdin = bytes.NewReader(body)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	answer, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		return out, fmt.Errorf("run %s explain: %w\n%s", daemon, err, strings.TrimSpace(stderr.String()))
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, fmt.Errorf("decode the answer of %s: %w", daemon, err)
	}
	if out.Fault != nil {
		return out, atFault(*out.Fault)
	}
	return out, nil
}

// atFault is the error for a question that cannot be answered as it is put.
func atFault(e control.Error) error {
	return &control.CallError{Code: http.StatusUnprocessableEntity, Body: e}
}

// readFiles reads a file, the files of a folder, or standard input.
func readFiles(path string, stdin io.Reader) ([]control.File, error) {
	if path == "-" {
		data, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return []control.File{{Name: "standard input", Data: data}}, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, atFault(control.Error{Message: "there is no file " + path, Cure: "name a file or a folder of Kubernetes objects"})
	}
	if err != nil {
		return nil, fmt.Errorf("read objects: %w", err)
	}
	names := []string{path}
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, fmt.Errorf("read objects: %w", err)
		}
		names = nil
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, ext) {
				names = append(names, filepath.Join(path, e.Name()))
			}
		}
		if len(names) == 0 {
			return nil, atFault(control.Error{Message: path + " holds no YAML or JSON file", Cure: "name the folder that does; its folders are not read"})
		}
	}
	var out []control.File
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read objects: %w", err)
		}
		out = append(out, control.File{Name: name, Data: data})
	}
	return out, nil
}
