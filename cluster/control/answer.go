package control

import (
	"encoding/json"
	"errors"
	"net/http"
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
		f := &Failure{http.StatusInternalServerError, Error{Message: err.Error()}}
		var cured interface{ Cure() string }
		if errors.As(err, &cured) {
			f.Body.Cure = cured.Cure()
		}
		errors.As(err, &f)
		w.WriteHeader(f.Code)
		_ = json.NewEncoder(w).Encode(f.Body)
	}
}

// Decode reads a call's body.
func Decode[T any](r *http.Request) (T, error) {
	var v T
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		return v, &Failure{http.StatusBadRequest, Error{Message: "decode the call: " + err.Error()}}
	}
	return v, nil
}
