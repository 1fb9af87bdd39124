package checks

import (
	"context"
	"errors"
	"io"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// Execer runs a command in a container.
type Execer interface {
	// Exec returns when the command ended. A command that ran and failed is no
	// error: its code is in the result. The error is ErrNoContainer (wrapped) when
	// there is nothing to run it in, ErrNoCommand when the container has no such
	// program, ErrStreamLost when the command's fate is unknown, or ctx's error
	// when ctx ended first. With any error the result holds what was read so far,
	// and ExitCode is meaningless.
	Exec(ctx context.Context, req ExecRequest) (ExecResult, error)
}

// ExecRequest says what to run and where.
type ExecRequest struct {
	Namespace, Pod, Container string // an empty container is the pod's first
	Command                   []string
	Stdin                     io.Reader // nil for none
	// Stderr, when set, gets a copy of the command's stderr while it runs. It is
	// called from one goroutine, and not after Exec returned.
	Stderr io.Writer
}

// ExecResult is what a command left.
type ExecResult struct {
	Stdout, Stderr []byte
	ExitCode       int
}

// Errors of Execer.
var (
	ErrNoContainer = errors.New("no such pod or container")
	ErrNoCommand   = errors.New("no such program in the container")
	ErrStreamLost  = errors.New("exec stream was lost")
)

// Objects reads objects of the API server.
type Objects interface {
	// Object returns an object's content, nil when there is none of that name. The
	// error is ErrNoResource (wrapped) when the server has no such kind.
	Object(ctx context.Context, ref ObjectRef) (map[string]any, error)
}

// ErrNoResource is a kind that the API server does not know.
var ErrNoResource = errors.New("no such kind of object")

// FlowSource is where a datapath tells its verdicts.
type FlowSource interface {
	// Subscribe streams verdicts from now on: one that is made after Subscribe
	// returned is in the stream. It returns nil, nil where the datapath tells none.
	Subscribe(ctx context.Context) (FlowStream, error)
}

// FlowStream yields flows in the order of their verdicts. Recv blocks, and
// returns an error after Close or when the source went away.
type FlowStream interface {
	Recv() (*flowpb.Flow, error)
	Close() error
}

// Inspector tells what a probe starts from and what it dials.
type Inspector interface {
	// Subject finds the pod that from selects, and what dest is inside the
	// cluster. A missing pod is a Subject with State PodMissing, not an error.
	Subject(ctx context.Context, from From, dest Destination) (Subject, error)
}
