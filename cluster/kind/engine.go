package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	kindcluster "sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/log"
)

// engineVar chooses the container engine, as it does for the kind command.
const engineVar = "KIND_EXPERIMENTAL_PROVIDER"

// engines are those that kind knows, in the order in which it looks for them.
var engines = []string{"docker", "nerdctl", "podman"}

// engine is the container engine's command on this machine. kind works by it
// too: its library has no way to what is no node.
type engine struct{ program string }

// findEngine finds the engine that kind would take. None, or one whose daemon
// does not answer, is a *Problem.
func findEngine(ctx context.Context) (engine, error) {
	candidates := engines
	if chosen := os.Getenv(engineVar); chosen != "" {
		candidates = []string{chosen}
	}
	for _, program := range candidates {
		if _, err := exec.LookPath(program); err != nil {
			continue
		}
		e := engine{program}
		if _, err := e.run(ctx, "version"); err != nil { // the one question that all understand
			return engine{}, &Problem{
				What: program + " does not answer", Err: err,
				Fix: "start its daemon (on Linux: systemctl start docker), and see that your user may use it",
			}
		}
		return e, nil
	}
	return engine{}, &Problem{
		What: "no container engine is installed: none of " + strings.Join(candidates, ", "),
		Fix:  "install Docker, or use the embedded cluster (--provider embedded), which needs none",
	}
}

// option makes kind use this engine.
func (e engine) option() kindcluster.ProviderOption {
	switch e.program {
	case "podman":
		return kindcluster.ProviderWithPodman()
	case "docker":
		return kindcluster.ProviderWithDocker()
	}
	return kindcluster.ProviderWithNerdctl(e.program)
}

func (e engine) kind(logger log.Logger) *kindcluster.Provider {
	return kindcluster.NewProvider(e.option(), kindcluster.ProviderWithLogger(logger))
}

// network is the one that kind puts its nodes on.
func (e engine) network() string {
	for engine, name := range map[string]string{
		"docker": "KIND_EXPERIMENTAL_DOCKER_NETWORK", "podman": "KIND_EXPERIMENTAL_PODMAN_NETWORK",
	} {
		if own := os.Getenv(name); own != "" && engine == e.program {
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

// run runs a command of the engine's and returns what it prints, trimmed.
func (e engine) run(ctx context.Context, args ...string) (string, error) {
	return e.feed(ctx, nil, args...)
}

// feed is run with something to read.
func (e engine) feed(ctx context.Context, in io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, e.program, args...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", &commandError{command: e.program + " " + args[0], said: lastLine(said.String()), err: err}
	}
	return strings.TrimSpace(out.String()), nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// has says whether the engine has an object: an image, network or container.
func (e engine) has(ctx context.Context, kind, name string) (bool, error) {
	_, err := e.run(ctx, kind, "inspect", "--format", "{{.ID}}", name)
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return false, nil
	}
	return err == nil, err
}
