// Package control is the protocol by which the client talks to what it started:
// HTTP with JSON bodies. It holds the types, the client and what servers share.
// The embedded cluster's daemon serves all of it on a unix socket; a node's agent
// in kind serves status, policies and questions, and the world's container names.
//
//	GET  /v1/status             Status
//	GET  /v1/trace              []Span: when each component started and was ready
//	POST /v1/shutdown           ends the daemon; answers before it does
//	POST /v1/policy/enforced    cluster.PolicyRef → 200, or 422 with Rejected
//	POST /v1/world/names        Names
//	POST /v1/explain            explain.Request → explain.Answer, or 422 for a question at fault
//	POST /v1/explain/each       explain.Request → explain.Answer of one node's agent, for explain.Join
//	POST /v1/matrix             explain.MatrixRequest → explain.Matrix
//	GET  /v1/images             []image.Info
//	POST /v1/images             body: a Docker or OCI archive → []image.Info
//
// Errors are Error bodies with a status of 400 or more.
package control

import "time"

// Socket file names in a cluster's folder.
const (
	SocketName = "control.sock"
	FlowSocket = "hubble.sock"
)

// Status is the daemon's state.
type Status struct {
	Ready   bool      `json:"ready"`
	Failed  string    `json:"failed,omitempty"`  // why it will never be ready
	Waiting []string  `json:"waiting,omitempty"` // components that are not ready yet
	Started time.Time `json:"started"`
	ReadyMs int64     `json:"readyMs,omitempty"`
	APIPort int       `json:"apiPort"`
	World   string    `json:"world"`
	Version string    `json:"version"` // Kubernetes' version
}

// Span is one component's way up, in milliseconds since the daemon started.
type Span struct {
	Component string `json:"component"`
	StartMs   int64  `json:"startMs"`
	ReadyMs   int64  `json:"readyMs"` // -1 while it is not ready
}

// Names asks the world to serve DNS names.
type Names struct {
	Names []string `json:"names"`
}

// Error is the body of every failed call.
type Error struct {
	Message string `json:"message"`
	Cure    string `json:"cure,omitempty"`
}
