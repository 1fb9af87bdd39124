package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/netdojo/netdojo/cure"
)

// Failure is an error with the HTTP status that it is answered with.
type Failure struct {
	Code int
	Body Error
}

func (f *Failure) Error() string { return f.Body.Message }

// TooEarly is the failure of a call that needs what is not there yet.
func TooEarly(what string) error {
	return &Failure{http.StatusServiceUnavailable, Error{Message: what + " is not ready yet", Cure: "wait until `netdojo status` says ready"}}
}

// Answer turns a function into a handler of JSON. Errors are answered with the
// status and the cure that they know.
func Answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		out, err := f(r)
		if err == nil {
			_ = json.NewEncoder(w).Encode(out) // a reader that went away needs no answer
			return
		}
		f := &Failure{http.StatusInternalServerError, Error{Message: err.Error(), Cure: cure.Of(err)}}
		errors.As(err, &f)
		w.WriteHeader(f.Code)
		_ = json.NewEncoder(w).Encode(f.Body)
	}
}

// MaxCall bounds a call's body but for archives of images, in bytes: a question
// holds at most some policies.
const MaxCall = 16 << 20

// Decode reads a call's body.
func Decode[T any](r *http.Request) (T, error) {
	var v T
	err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, MaxCall)).Decode(&v)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return v, &Failure{http.StatusRequestEntityTooLarge, Error{
			Message: fmt.Sprintf("the call is larger than %d MiB", MaxCall>>20), Cure: "ask about fewer policies at once"}}
	}
	if err != nil {
		return v, &Failure{http.StatusBadRequest, Error{Message: "decode the call: " + err.Error()}}
	}
	return v, nil
}
