// Package runner runs sessions of labs. A session is opened on a cluster; its verbs
// deploy a lab, take its baseline, apply an answer, check and compare; closing it
// gives the record. It knows no provider by name and prints nothing: it tells
// events.
package runner

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
)

// Target is the lab and the cluster that a session is opened on.
type Target struct {
	// Provider opens the cluster Spec.Name.
	Provider cluster.Provider
	Spec     cluster.Spec
	// Provision brings the cluster up when it does not run. Without it the cluster
	// is taken as it is, and has to run.
	Provision bool
	// Keep leaves the cluster and the lab's objects as they are at the end. Without
	// it what the session made is removed when it is closed, a cluster that it
	// brought up included.
	Keep bool

	Lab  *labs.Lab
	Task string // "" is all tasks

	// WaitTimeout lets every probe run to its own end, so that curl's exit code is
	// seen where the datapath's drop would have settled the check sooner.
	WaitTimeout bool
	// StateDir is netdojo's state folder, where a session that keeps its pods keeps
	// its controls for a later one. "" keeps nothing.
	StateDir string
	Listener event.Listener
	Log      *slog.Logger // nil discards

	// DeployTimeout bounds the wait for the lab's pods; 0 means 2 minutes.
	DeployTimeout time.Duration
	// CheckTimeout replaces the checks' default timeout when set.
	CheckTimeout time.Duration

	// connect replaces how the session talks to the cluster's API; tests set it.
	connect func(cluster.Handle) (*connection, error)
}

// UsageError is a session that was asked for what does not exist.
type UsageError struct {
	Message, Advice string
}

func (e *UsageError) Error() string { return e.Message }

// Cure says what to ask for instead.
func (e *UsageError) Cure() string { return e.Advice }

// EnvironmentError is a session that could not come to its verdicts because the
// machine or the cluster failed it.
type EnvironmentError struct {
	During string // what it was about, "" when Err says so itself
	Err    error
	Advice string
	Kind   error // what errors.Is knows it as, beside Err, or nil
}

func (e *EnvironmentError) Error() string {
	if e.During == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%s: %v", e.During, e.Err)
}

func (e *EnvironmentError) Unwrap() error { return e.Err }

// Is says what kind of error it is.
func (e *EnvironmentError) Is(target error) bool { return e.Kind != nil && e.Kind == target }

// Cure is the advice of this error, or that of the one it wraps.
func (e *EnvironmentError) Cure() string {
	if e.Advice != "" {
		return e.Advice
	}
	return cure.Of(e.Err)
}
