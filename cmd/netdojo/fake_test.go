package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

// fake is a provider whose clusters are files. Scripts steer it:
//
//	FAKE_API   the address of an API server, for the private kubeconfig
//	FAKE_UP    "fail": Up fails; "hang": Up waits until it is cancelled;
//	           "stuck": not even then it ends
type fake struct{ dir string }

func newFake(e *env.Env) (cluster.Provider, error) {
	return &fake{dir: filepath.Join(e.StateDir, "fake")}, nil
}

func (f *fake) file(name string) string { return filepath.Join(f.dir, name+".json") }

func (f *fake) Up(ctx context.Context, spec cluster.Spec, report step.Reporter) (cluster.Handle, error) {
	if st, _ := f.Status(ctx, spec.Name); st.Running {
		return nil, cluster.ErrAlreadyRunning
	}
	err := step.Run(ctx, report,
		step.Step{Name: "Write state", Run: func(context.Context, func(string)) (step.Undo, error) {
			undo := func(context.Context) error { return os.RemoveAll(f.dir) }
			if err := os.MkdirAll(f.dir, 0o755); err != nil {
				return undo, err
			}
			kubeconfig := filepath.Join(f.dir, spec.Name+".kubeconfig")
			api := os.Getenv("FAKE_API")
			if api == "" {
				api = "https://127.0.0.1:6443"
			}
			text := strings.ReplaceAll(fakeKubeconfig, "API", api)
			if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
				return undo, err
			}
			st := cluster.Status{
				Name: spec.Name, Provider: "fake", Datapath: spec.Datapath, World: spec.World,
				Running: true, Ready: true, Server: api, Kubeconfig: kubeconfig, Started: time.Now(),
			}
			data, err := json.Marshal(st)
			if err != nil {
				return undo, err
			}
			return undo, os.WriteFile(f.file(spec.Name), data, 0o600)
		}},
		step.Step{Name: "Wait", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
			switch os.Getenv("FAKE_UP") {
			case "fail":
				return nil, exit.WithCure(errors.New("the daemon ended"), "read its log")
			case "hang", "stuck":
				if err := os.WriteFile("hanging", nil, 0o644); err != nil {
					return nil, err
				}
				detail("nothing in particular")
				<-ctx.Done()
				if os.Getenv("FAKE_UP") == "hang" {
					return nil, context.Cause(ctx)
				}
				if err := os.WriteFile("stuck", nil, 0o644); err != nil {
					return nil, err
				}
				select {} // deaf
			}
			return nil, nil
		}},
	)
	if err != nil {
		return nil, err
	}
	return f.Open(ctx, spec.Name)
}

const fakeKubeconfig = `apiVersion: v1
kind: Config
clusters:
- name: c
  cluster: {server: "API"}
contexts:
- name: c
  context: {cluster: c, user: c}
users:
- name: c
  user: {token: secret}
current-context: c
`

func (f *fake) Open(ctx context.Context, name string) (cluster.Handle, error) {
	st, err := f.Status(ctx, name)
	if err != nil {
		return nil, err
	}
	if !st.Running {
		return nil, cluster.ErrNotRunning
	}
	config, err := clientcmd.BuildConfigFromFlags("", st.Kubeconfig)
	if err != nil {
		return nil, err
	}
	return &fakeHandle{status: st, config: config}, nil
}

func (f *fake) Down(_ context.Context, name string, purge bool, _ step.Reporter) error {
	return errors.Join(ignoreMissing(os.Remove(f.file(name))), ignoreMissing(os.Remove(filepath.Join(f.dir, name+".kubeconfig"))))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (f *fake) Status(_ context.Context, name string) (cluster.Status, error) {
	st := cluster.Status{Name: name, Provider: "fake"}
	data, err := os.ReadFile(f.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(data, &st)
}

func (f *fake) List(context.Context) ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

type fakeHandle struct {
	status cluster.Status
	config *rest.Config
}

func (h *fakeHandle) Status(context.Context) (cluster.Status, error) { return h.status, nil }
func (h *fakeHandle) RESTConfig() *rest.Config                       { return rest.CopyConfig(h.config) }

func (h *fakeHandle) Flows(context.Context, int) (cluster.FlowStream, error) {
	return nil, cluster.ErrNoFlows
}

func (h *fakeHandle) Enforced(_ context.Context, ref cluster.PolicyRef) error {
	return fmt.Errorf("%s is never enforced here", ref.Name)
}

func (h *fakeHandle) ServeNames(context.Context, []string) error { return nil }
func (h *fakeHandle) Close() error                               { return nil }
