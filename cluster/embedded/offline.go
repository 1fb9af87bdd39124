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
	"github.com/netdojo/netdojo/internal/hostfile"
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

// CompareFiles asks the same of several sets of files, each read after the base.
func CompareFiles(ctx context.Context, daemon string, base []control.File, v control.Variants) ([]control.Variant, error) {
	r, err := askOffline(ctx, daemon, control.Offline{Files: base, Variants: &v})
	if err != nil {
		return nil, err
	}
	return r.Variants, nil
}

func offline(ctx context.Context, daemon string, stdin io.Reader, paths []string, in control.Offline) (control.OfflineResult, error) {
	room := int64(maxObjects)
	for _, p := range paths {
		files, err := readFiles(ctx, p, stdin, &room)
		if err != nil {
			return control.OfflineResult{}, err
		}
		in.Files = append(in.Files, files...)
	}
	return askOffline(ctx, daemon, in)
}

// askOffline runs daemon for the one answer.
func askOffline(ctx context.Context, daemon string, in control.Offline) (control.OfflineResult, error) {
	var out control.OfflineResult
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

// Bounds of what is read for one question.
const (
	maxObjects = 64 << 20 // bytes in all
	maxEntries = 10000    // files of a folder
)

// readFiles reads a file or stream, the files of a folder, or standard input. Room is
// how many bytes may still be read; it is lessened by what was.
func readFiles(ctx context.Context, path string, stdin io.Reader, room *int64) ([]control.File, error) {
	if path == "-" {
		if *room <= 0 {
			return nil, unread(ctx, fmt.Errorf("standard input: %w", &hostfile.SizeError{Limit: maxObjects}))
		}
		data, err := io.ReadAll(hostfile.Stream(ctx, "standard input", stdin, hostfile.Limits{Size: *room}))
		if err != nil {
			return nil, unread(ctx, err)
		}
		*room -= int64(len(data))
		return []control.File{{Name: "standard input", Data: data}}, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, atFault(control.Error{Message: "there is no file " + path, Cure: "name a file or a folder of Kubernetes objects"})
	}
	if err != nil {
		return nil, fmt.Errorf("read objects: %w", err)
	}
	names, limits := []string{path}, hostfile.Limits{}
	if info.IsDir() {
		// Nobody names the files of a folder one by one to have them waited for.
		limits.Regular = true
		if names, err = objectFiles(path); err != nil {
			return nil, err
		}
	}
	var out []control.File
	for _, name := range names {
		if limits.Size = *room; limits.Size <= 0 { // which would be no bound
			return nil, unread(ctx, fmt.Errorf("%s: %w", name, &hostfile.SizeError{Limit: maxObjects}))
		}
		data, err := hostfile.ReadNamed(ctx, name, limits)
		if err != nil {
			return nil, unread(ctx, err)
		}
		*room -= int64(len(data))
		out = append(out, control.File{Name: name, Data: data})
	}
	return out, nil
}

// objectFiles are the YAML and JSON files of a folder.
func objectFiles(path string) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read objects: %w", err)
	}
	defer dir.Close()
	entries, err := dir.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read objects: %w", err)
	}
	if len(entries) > maxEntries {
		return nil, atFault(control.Error{Message: fmt.Sprintf("%s holds more than %d files", path, maxEntries), Cure: "name the folder that holds the objects alone"})
	}
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, ext) {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, atFault(control.Error{Message: path + " holds no YAML or JSON file", Cure: "name the folder that does; its folders are not read"})
	}
	slices.Sort(names)
	return names, nil
}

// unread is the error for a file that was not read: the question's fault, when it
// names what is no file of objects.
func unread(ctx context.Context, err error) error {
	var kind *hostfile.KindError
	var size *hostfile.SizeError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &size):
		return atFault(control.Error{Message: err.Error(), Cure: "ask with fewer objects: all files together have at most " + hostfile.Size(maxObjects)})
	case errors.As(err, &kind):
		return atFault(control.Error{Message: err.Error(), Cure: "name files of Kubernetes objects"})
	}
	return fmt.Errorf("read objects: %w", err)
}
