// Package runner runs a session of a lab: from a cluster through its pods, the
// checks before the policy, the policy and the checks after it to a record. It
// knows no provider by name and prints nothing: it tells events.
package runner

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
)

// Options is what a session is asked to do.
type Options struct {
	// Provider opens the cluster Spec.Name, or brings it up when it does not run.
	// A cluster that the session brought up goes down with it unless Keep.
	Provider cluster.Provider
	Spec     cluster.Spec
	Lab      *labs.Lab
	Task     string // "" runs all tasks
	// Solve applies the lab's solution between the phases. Without it nothing is
	// applied, and the checks after it judge what there is.
	Solve bool
	// Wrong names a known wrong answer to apply instead of the solution.
	Wrong string
	// WaitTimeout lets every probe run to its own end, so that curl's exit code is
	// seen where the datapath's drop would have settled the check sooner.
	WaitTimeout bool
	// Keep leaves the cluster and the lab's objects as they are at the end.
	Keep bool
	// StateDir is netdojo's state folder; the controls of a session are kept in it
	// for Check. "" keeps nothing.
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
}

func (e *EnvironmentError) Error() string {
	if e.During == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%s: %v", e.During, e.Err)
}

func (e *EnvironmentError) Unwrap() error { return e.Err }

// Cure is the advice of this error, or that of the one it wraps.
func (e *EnvironmentError) Cure() string {
	if e.Advice != "" {
		return e.Advice
	}
	return cureOf(e.Err)
}
