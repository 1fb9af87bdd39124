package policy

import (
	"context"
	"sync"

	"github.com/netdojo/netdojo/policies"
)

// PolicyState is how far the engine is with a policy object.
type PolicyState struct {
	UID        string
	Generation int64               // of the object that the engine has seen last
	Rejection  *policies.Rejection // why it is not enforced as written; nil when it is
	Enforced   bool                // decisions are made by it, as far as it is served
	Revision   uint64              // of the engine, that holds it
	Epoch      uint32              // connections judged before this one are judged again
}

// Ref asks for a state of an object. UID may be empty.
type Ref struct {
	Key
	UID        string
	Generation int64 // the least that is waited for
	Deleted    bool  // wait for its end instead
}

// RejectedError is a policy that is not enforced as written. Its Rejection is
// never nil.
type RejectedError struct {
	Key Key
	*policies.Rejection
}

func (e *RejectedError) Error() string { return e.Key.String() + " is rejected: " + e.Reason }

type states struct {
	mu      sync.Mutex
	m       map[Key]PolicyState
	changed chan struct{} // closed and replaced with each change
}

func (s *states) init() {
	s.m, s.changed = map[Key]PolicyState{}, make(chan struct{})
}

func (s *states) set(k Key, st PolicyState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[k] = st
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *states) remove(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.m[k]; !ok {
		return
	}
	delete(s.m, k)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *states) get(k Key) (st PolicyState, known bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, known = s.m[k]
	return st, known, s.changed
}

// PolicyState tells how far the engine is with an object; known is false for
// one that it has not seen, or that is deleted.
func (e *Engine) PolicyState(k Key) (st PolicyState, known bool) {
	st, known, _ = e.states.get(k)
	return st, known
}

// Enforced waits until decisions are made by the state that ref asks for. A
// policy that is not enforced as written is a *RejectedError.
func (e *Engine) Enforced(ctx context.Context, ref Ref) error {
	for {
		st, known, changed := e.states.get(ref.Key)
		same := known && (ref.UID == "" || ref.UID == st.UID)
		switch {
		case ref.Deleted && !same:
			return nil
		case !ref.Deleted && same && st.Generation >= ref.Generation:
			if st.Rejection != nil {
				return &RejectedError{ref.Key, st.Rejection}
			}
			if st.Enforced {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
