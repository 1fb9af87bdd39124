// Package containers is what netdojo does with the containers of a kind cluster,
// whoever made it: it asks the container engine, loads images into nodes and runs
// the simulated world beside them.
package containers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	kindcluster "sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/cluster"
)

// engineVar chooses the container engine, as it does for the kind command.
const engineVar = "KIND_EXPERIMENTAL_PROVIDER"

// engines are those that kind knows, in the order in which it looks for them.
var engines = []string{"docker", "nerdctl", "podman"}

// Engine is the container engine's command on this machine. kind works by it
// too: its library has no way to what is no node.
type Engine struct{ Program string }

// answerTimeout bounds the one question that all engines understand: their version.
const answerTimeout = 20 * time.Second

// Find finds the engine that kind would take. None, or one whose daemon
// does not answer, is a *cluster.Problem.
func Find(ctx context.Context) (Engine, error) {
	candidates := engines
	if chosen := os.Getenv(engineVar); chosen != "" {
		candidates = []string{chosen}
	}
	for _, program := range candidates {
		if _, err := exec.LookPath(program); err != nil {
			continue
		}
		e := Engine{program}
		if err := e.Answers(ctx); err != nil {
			return Engine{}, err
		}
		return e, nil
	}
	return Engine{}, &cluster.Problem{
		What: "no container engine is installed: none of " + strings.Join(candidates, ", "),
		Fix:  "install Docker, or use the embedded cluster (--provider embedded), which needs none",
	}
}

// Answers is nil when the engine's daemon does, else a *cluster.Problem. kind's
// library asks without a deadline: this comes before.
func (e Engine) Answers(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	_, err := e.Run(asking, "version")
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && asking.Err() != nil {
		err = fmt.Errorf("no answer within %s", answerTimeout)
	}
	return &cluster.Problem{
		What: e.Program + " does not answer", Err: err,
		Fix: "start its daemon (on Linux: systemctl start docker), and see that your user may use it",
	}
}

// option makes kind use this engine.
func (e Engine) option() kindcluster.ProviderOption {
	switch e.Program {
	case "podman":
		return kindcluster.ProviderWithPodman()
	case "docker":
		return kindcluster.ProviderWithDocker()
	}
	return kindcluster.ProviderWithNerdctl(e.Program)
}

// Kind is kind's library on this engine.
func (e Engine) Kind(logger log.Logger) *kindcluster.Provider {
	return kindcluster.NewProvider(e.option(), kindcluster.ProviderWithLogger(logger))
}

// Network is the one that kind puts its nodes on.
func (e Engine) Network() string {
	for program, name := range map[string]string{
		"docker": "KIND_EXPERIMENTAL_DOCKER_NETWORK", "podman": "KIND_EXPERIMENTAL_PODMAN_NETWORK",
	} {
		if own := os.Getenv(name); own != "" && program == e.Program {
			return own
		}
	}
	return "kind"
}

// commandError is a command of the engine's that failed, with what it said.
type commandError struct {
	command, said string
	err           error
}

func (e *commandError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("%s: %v", e.command, e.err)
	}
	return e.command + ": " + e.said
}

func (e *commandError) Unwrap() error { return e.err }

// Run runs a command of the engine's and returns what it prints, trimmed.
func (e Engine) Run(ctx context.Context, args ...string) (string, error) {
	return e.Feed(ctx, nil, args...)
}

// Feed is Run with something to read.
func (e Engine) Feed(ctx context.Context, in io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, e.Program, args...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &said
	cmd.WaitDelay = time.Second // for programs of its own that outlive it
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", &commandError{command: e.Program + " " + args[0], said: lastLine(said.String()), err: err}
	}
	return strings.TrimSpace(out.String()), nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// Has says whether the engine has an object: an image, network or container.
func (e Engine) Has(ctx context.Context, kind, name string) (bool, error) {
	_, err := e.Run(ctx, kind, "inspect", "--format", "{{.ID}}", name)
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return false, nil
	}
	return err == nil, err
}

// Running says whether a cluster has a node container that runs.
func (e Engine) Running(ctx context.Context, cluster string) (bool, error) {
	ids, err := e.Run(ctx, "ps", "--quiet", "--filter", "label=io.x-k8s.kind.cluster="+cluster)
	return ids != "", err
}

// RemoveNetwork removes a network that no container uses.
func (e Engine) RemoveNetwork(ctx context.Context, name string) error {
	if there, err := e.Has(ctx, "network", name); err != nil || !there {
		return err
	}
	users, err := e.Run(ctx, "ps", "--all", "--quiet", "--filter", "network="+name)
	if err != nil || users != "" {
		return err
	}
	_, err = e.Run(ctx, "network", "rm", name)
	return err
}
