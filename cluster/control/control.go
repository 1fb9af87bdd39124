// Package control is the protocol by which the client talks to what it started:
// HTTP with JSON bodies. It holds the types, the client and what servers share.
// The embedded cluster's daemon serves all of it on a unix socket, a further node of it to
// the first one what it knows of itself; a node's agent
// in kind serves status, policies and questions, and the world's container names.
//
//	GET  /v1/status             Status
//	GET  /v1/trace              []Span: when each component started and was ready
//	POST /v1/shutdown           ends the daemon; answers before it does
//	POST /v1/policy/enforced    cluster.PolicyRef → 200, or 422 with Error.Rejection
//	POST /v1/world/names        Names
//	POST /v1/explain            explain.Request → explain.Answer, or 422 for a question at fault
//	POST /v1/explain/each       explain.Request → explain.Answer of one node's agent, for explain.Join
//	POST /v1/matrix             explain.MatrixRequest → explain.Matrix
//	GET  /v1/credentials        Credentials
//	GET  /v1/images             []image.Info
//	GET  /v1/use                []ContainerUse of one node
//
// Errors are Error bodies with a status of 400 or more.
package control

import (
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/policies"
)

// Socket file names in a cluster's folder.
const (
	SocketName = "control.sock"
	FlowSocket = "hubble.sock"
)

// Status is the daemon's state.
type Status struct {
	Ready   bool          `json:"ready"`
	Failed  string        `json:"failed,omitempty"`  // why it will never be ready
	Waiting []string      `json:"waiting,omitempty"` // components that are not ready yet
	Started time.Time     `json:"started"`
	ReadyMs int64         `json:"readyMs,omitempty"`
	APIPort int           `json:"apiPort"`
	World   cluster.World `json:"world"`
	Version string        `json:"version"` // Kubernetes' version
}

// Span is one component's way up, in milliseconds since the daemon started.
type Span struct {
	Component string `json:"component"`
	StartMs   int64  `json:"startMs"`
	ReadyMs   int64  `json:"readyMs"` // -1 while it is not ready
}

// Credentials are what a client of the cluster's API needs, in PEM.
type Credentials struct {
	CA          []byte `json:"ca"`
	Certificate []byte `json:"certificate"` // of cluster-admin
	Key         []byte `json:"key"`
}

// Names asks the world to serve DNS names.
type Names struct {
	Names []string `json:"names"`
}

// Error is the body of every failed call.
type Error struct {
	Message string `json:"message"`
	Cure    string `json:"cure,omitempty"`
	// Rejection is why a policy is not enforced as written, of that call only.
	Rejection *policies.Rejection `json:"rejection,omitempty"`
}
