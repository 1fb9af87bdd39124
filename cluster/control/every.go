package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/netdojo/netdojo/datapath/explain"
)

// Agent is a node's agent, and how it is asked something.
type Agent[T any] struct {
	Node string
	Ask  func(context.Context) (T, error)
}

// Agents learn of another node's pods by their status, moments after the node does.
const (
	evenTries = 10
	evenPause = 200 * time.Millisecond
)

// AskAll asks the agents of all nodes and joins their answers, again while they do not
// know the same pods. There is at least one.
func AskAll[T any](ctx context.Context, agents []Agent[T], join func([]explain.Part[T]) (T, error)) (T, error) {
	for try := 1; ; try++ {
		var out T
		parts, err := askEach(ctx, agents)
		if err == nil {
			out, err = join(parts)
		}
		var uneven *explain.UnevenError
		if !errors.As(err, &uneven) || try == evenTries {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(evenPause):
		}
	}
}

// askEach asks the agents side by side. What some of them do not find, and others
// do, is an *explain.UnevenError.
func askEach[T any](ctx context.Context, agents []Agent[T]) ([]explain.Part[T], error) {
	parts, errs := make([]explain.Part[T], len(agents)), make([]error, len(agents))
	var wg sync.WaitGroup
	for i, a := range agents {
		wg.Go(func() {
			parts[i].Node = a.Node
			parts[i].Says, errs[i] = a.Ask(ctx)
		})
	}
	wg.Wait()
	misses := 0
	for i, err := range errs {
		switch {
		case err == nil:
		case isQuestion(err):
			misses++
		default:
			return nil, fmt.Errorf("ask the agent of node %s: %w", parts[i].Node, err)
		}
	}
	switch misses {
	case 0:
		return parts, nil
	case len(agents):
		return nil, errs[0]
	}
	return nil, &explain.UnevenError{What: "the nodes' agents do not know the same pods yet"}
}

// isQuestion says that the fault is the question's, whoever says so: a server that was
// called, or one in this process.
func isQuestion(err error) bool {
	var call *CallError
	var failure *Failure
	return errors.As(err, &call) && call.Question() ||
		errors.As(err, &failure) && failure.Code == http.StatusUnprocessableEntity
}
