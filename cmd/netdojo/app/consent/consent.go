// Package consent asks before netdojo works on a cluster that it did not make.
package consent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/existing"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/printable"
)

// Ask notes in spec that the user agrees, which it may say already. Without a
// terminal there is nobody to ask, and that is an error, as is a no. Specs of other
// providers are left alone.
func Ask(ctx context.Context, e *env.Env, spec *cluster.Spec) error {
	if spec.Provider != existing.Name || spec.Consent {
		return nil
	}
	target, err := existing.Find(ctx, spec.Context)
	if err != nil {
		return err
	}
	which := fmt.Sprintf("the cluster of context %s (%s), which netdojo did not make", target.Context, target.Server)
	if !e.InTTY || !e.ErrTTY {
		return exit.WithCure(exit.With(exit.Environment, errors.New("nobody can be asked about "+which)), "agree with --yes")
	}
	fmt.Fprintf(e.Err, "netdojo is to work on %s.\nIt makes namespaces called netdojo-LAB there", printable.Line(which))
	if spec.World == cluster.WorldSimulated {
		fmt.Fprint(e.Err, ", and has cluster DNS ask a simulated world for names outside")
	}
	fmt.Fprint(e.Err, ".\nnetdojo down takes all of it back. Go on? [y/N] ")
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(e.In).ReadString('\n') // its end is a no
		answer <- line
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case line := <-answer:
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			spec.Consent = true
			return nil
		}
	}
	return exit.With(exit.Environment, errors.New("the cluster of context "+target.Context+" was not touched"))
}
