// Package doctor says whether this machine can run a cluster: for each requirement
// its state, the cause where it is not met, and the cure. It changes nothing that
// stays.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
)

// State of a requirement.
type State string

// States. A warning lets a cluster come up with something missing; an unknown
// one could not be examined because of another that failed.
const (
	OK      State = "ok"
	Warning State = "warning"
	Failed  State = "failed"
	Unknown State = "unknown"
)

// Result is what was found about one requirement.
type Result struct {
	ID          string `json:"id"` // stable: user-namespaces
	Requirement string `json:"requirement"`
	State       State  `json:"state"`
	Cause       string `json:"cause,omitempty"` // why it is not ok
	Cure        string `json:"cure,omitempty"`
}

// Config says what is examined.
type Config struct {
	StateDir string
	Programs []string // paths of the programs that an embedded cluster is made of
	APIPort  int      // wanted for the API; 0 takes a free one
	Ports    []int    // further ports of the loopback that are wanted
	on       *system  // asked in place of this one where it is not nil
}

func (c Config) system() *system {
	if c.on != nil {
		return c.on
	}
	return thisSystem
}

// Problem is a requirement that is not met.
type Problem struct{ Result }

func (p *Problem) Error() string { return "requirement not met: " + p.Requirement + ": " + p.Cause }

// Cure says what to do about it.
func (p *Problem) Cure() string { return p.Result.Cure }

// Err joins a *Problem for each failed requirement; nil when none failed.
// Warnings are no errors.
func Err(results []Result) error {
	var errs []error
	for _, r := range results {
		if r.State == Failed {
			errs = append(errs, &Problem{r})
		}
	}
	return errors.Join(errs...)
}

// check examines one requirement. An error that is a *finding tells more than
// that it failed.
type check struct {
	id, requirement string
	run             func(context.Context, Config) error
}

// finding is the outcome of a check that is not ok.
type finding struct {
	state State
	cause string
	cure  string
}

func (f *finding) Error() string { return f.cause }

func failed(cure, format string, args ...any) error {
	return &finding{state: Failed, cause: fmt.Sprintf(format, args...), cure: cure}
}

func warning(cure, format string, args ...any) error {
	return &finding{state: Warning, cause: fmt.Sprintf(format, args...), cure: cure}
}

func (c check) result(ctx context.Context, cfg Config) Result {
	r := Result{ID: c.id, Requirement: c.requirement, State: OK}
	err := c.run(ctx, cfg)
	if err == nil {
		return r
	}
	r.State, r.Cause = Failed, err.Error()
	var f *finding
	if errors.As(err, &f) {
		r.State, r.Cure = f.state, f.cure
	}
	return r
}

// Quick examines what takes no process: some milliseconds. It is for before a
// cluster is started.
func Quick(ctx context.Context, cfg Config) []Result {
	return runAll(ctx, cfg, quick())
}

// All examines everything, the kernel in namespaces of their own too: some
// tenths of a second.
func All(ctx context.Context, cfg Config) []Result {
	var kernel []Result
	var wg sync.WaitGroup
	wg.Go(func() { kernel = examineKernel(ctx, cfg) })
	results := Quick(ctx, cfg)
	wg.Wait()
	return append(results, kernel...)
}

// Existing examines what is needed of this machine for a cluster that is there. The
// cluster itself, its provider examines.
func Existing(ctx context.Context, cfg Config) []Result {
	return runAll(ctx, cfg, []check{
		{"programs", "The programs of the simulated world and of stand-in images are beside netdojo", programs},
		{"state-dir", "The state folder can be written", stateDir},
	})
}

func runAll(ctx context.Context, cfg Config, checks []check) []Result {
	var results []Result
	for _, c := range checks {
		results = append(results, c.result(ctx, cfg))
	}
	return results
}

func quick() []check {
	return append(platform(),
		check{"programs", "The embedded cluster's programs are beside netdojo", programs},
		check{"state-dir", "The state folder can be written", stateDir},
		check{"disk-space", "The state folder's disk has room for a cluster", diskSpace},
		check{"ports", "The ports that are asked for are free", ports},
	)
}

func programs(_ context.Context, cfg Config) error {
	const cure = "build all programs with make build, and keep them in one folder"
	for _, path := range cfg.Programs {
		info, err := os.Stat(path)
		if err != nil {
			return failed(cure, "%v", err)
		}
		if info.IsDir() || info.Mode().Perm()&0o111 == 0 {
			return failed(cure, "%s is no program", path)
		}
	}
	return nil
}

func stateDir(_ context.Context, cfg Config) error {
	const cure = "set NETDOJO_STATE_DIR to a folder that you may write"
	if err := os.MkdirAll(cfg.StateDir, 0o755); err != nil {
		return failed(cure, "%v", err)
	}
	f, err := os.CreateTemp(cfg.StateDir, ".doctor-*")
	if err != nil {
		return failed(cure, "%v", err)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return failed(cure, "%v", err)
	}
	return nil
}

// What a cluster with a lab takes on the disk, about 25 MB, several times over:
// less than the first is refused, less than the second warned of.
const (
	minFree   = 64 << 20
	scarceFor = 256 << 20
)

func diskSpace(_ context.Context, cfg Config) error {
	free, err := cfg.system().free(cfg.StateDir)
	if err != nil || free >= scarceFor {
		return nil // what is wrong with the folder is a finding of its own
	}
	cure := fmt.Sprintf("make room, or set NETDOJO_STATE_DIR to a folder on a disk with %d MB free", scarceFor>>20)
	if free < minFree {
		return failed(cure, "only %d MB are free at %s", free>>20, cfg.StateDir)
	}
	return warning(cure, "only %d MB are free at %s", free>>20, cfg.StateDir)
}

func ports(ctx context.Context, cfg Config) error {
	wanted := cfg.Ports
	if cfg.APIPort != 0 {
		wanted = append([]int{cfg.APIPort}, wanted...)
	}
	for _, port := range wanted {
		var l net.ListenConfig
		ln, err := l.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return failed("stop what listens there, or choose another port", "port %d: %v", port, err)
		}
		ln.Close()
	}
	return nil
}
