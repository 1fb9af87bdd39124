// Package cure is about errors that know what can be done about them: they have a
// method Cure, which gives the advice, or "" where there is none.
package cure

import "errors"

// curer is an error that knows its cure.
type curer interface {
	error
	Cure() string
}

// Of is the advice of the first error in err's tree that knows one; "" when none
// does.
func Of(err error) string {
	var c curer
	if errors.As(err, &c) {
		return c.Cure()
	}
	return ""
}

// All is the advice of every error in err's tree, in order and without repetition.
func All(err error) []string {
	var cures []string
	seen := map[string]bool{}
	var walk func(error)
	walk = func(err error) {
		if err == nil {
			return
		}
		if c, ok := err.(curer); ok {
			if text := c.Cure(); text != "" && !seen[text] {
				seen[text] = true
				cures = append(cures, text)
			}
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner)
			}
		}
	}
	walk(err)
	return cures
}

// Problem is a failure with a cure.
type Problem struct {
	What string
	Fix  string
	Err  error // may be nil
}

func (p *Problem) Error() string {
	if p.Err == nil {
		return p.What
	}
	return p.What + ": " + p.Err.Error()
}

// Cure says what the user can do about it.
func (p *Problem) Cure() string { return p.Fix }

func (p *Problem) Unwrap() error { return p.Err }
