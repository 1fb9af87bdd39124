package cure_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/netdojo/netdojo/cure"
)

func TestCures(t *testing.T) {
	inner := &cure.Problem{What: "no route", Fix: "add one"}
	outer := &cure.Problem{What: "no answer", Fix: "look at the pod", Err: fmt.Errorf("dial: %w", inner)}
	silent := &cure.Problem{What: "silent", Err: inner}
	for name, tc := range map[string]struct {
		err  error
		text string
		of   string
		all  []string
	}{
		"none":         {errors.New("x"), "x", "", nil},
		"one":          {fmt.Errorf("run: %w", inner), "run: no route", "add one", []string{"add one"}},
		"in order":     {outer, "no answer: dial: no route", "look at the pod", []string{"look at the pod", "add one"}},
		"joined":       {errors.Join(errors.New("x"), inner, outer), "x\nno route\nno answer: dial: no route", "add one", []string{"add one", "look at the pod"}},
		"silent one":   {silent, "silent: no route", "", []string{"add one"}},
		"not an error": {nil, "", "", nil},
	} {
		if tc.err != nil && tc.err.Error() != tc.text {
			t.Errorf("%s: %q", name, tc.err)
		}
		if got := cure.Of(tc.err); got != tc.of {
			t.Errorf("%s: Of is %q, want %q", name, got, tc.of)
		}
		if got := cure.All(tc.err); !slices.Equal(got, tc.all) {
			t.Errorf("%s: All is %q, want %q", name, got, tc.all)
		}
	}
}
