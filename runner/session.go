package runner

import (
	"context"
	"errors"

	"github.com/netdojo/netdojo/runner/record"
)

// Run runs a lab headless: provision, deploy, baseline, solution, checks,
// record. A verdict that differs is in the record, not an error. Errors are
// *UsageError, *labs.UnknownError, *EnvironmentError, or ctx's.
func Run(ctx context.Context, o Options) (record.Run, error) {
	return record.Run{}, errors.ErrUnsupported
}

// Check judges the cluster as it is now and applies nothing: the checks after
// the policy, with controls from the session that ran before, or from sibling
// probes that are allowed now.
func Check(ctx context.Context, o Options) (record.Run, error) {
	return record.Run{}, errors.ErrUnsupported
}

// cureOf is the advice of the first error in a tree that knows one.
func cureOf(err error) string {
	var c interface {
		error
		Cure() string
	}
	if errors.As(err, &c) {
		return c.Cure()
	}
	return ""
}

type objects interface{}
