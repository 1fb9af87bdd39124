package run

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/netdojo/netdojo/cluster/apart"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/runner/pagerun"
)

// starter starts the shell of a page.
func starter(o *Options) func(pagerun.Room) (pagerun.Shell, error) {
	begin := apart.Start
	if o.Page.HostShell {
		begin = apart.StartOnHost
	}
	// A page may show netdojo's own commands, which find no cluster and no state in there.
	start := starting(o.Env, begin, map[string]string{"kubectl": kubectl, "netdojo-kubectl": kubectl, "netdojo": "netdojo", "hubble": "netdojo-cilium"})
	return func(room pagerun.Room) (pagerun.Shell, error) {
		s, err := start(room)
		if errors.Is(err, apart.ErrUnsupported) {
			return nil, exit.WithCure(fmt.Errorf("start the page's shell: %w", err),
				"with --host-shell its commands run on this machine itself and can do whatever you can: read the page first")
		}
		return s, err
	}
}

// kubectl is the program that is kubectl in a shell.
const kubectl = "netdojo-kubectl"

// Apart starts shells apart from the host, for commands that are not a page's: netdojo,
// which knows the labs' answers, is not among their programs.
func Apart(e *env.Env) func(pagerun.Room) (pagerun.Shell, error) {
	return starting(e, apart.Start, map[string]string{"kubectl": kubectl})
}

// starting starts shells with some of netdojo's programs, by the names that they have
// there.
func starting(e *env.Env, start func(apart.Config) (*apart.Shell, error), programs map[string]string) func(pagerun.Room) (pagerun.Shell, error) {
	return func(room pagerun.Room) (pagerun.Shell, error) {
		c := apart.Config{Kubeconfig: room.Kubeconfig, Programs: map[string]string{}}
		for _, f := range room.Files {
			c.Files = append(c.Files, apart.File(f))
		}
		// netdojo's own, whose executions in pods can be watched, whatever kubectl the
		// machine has.
		for name, program := range programs {
			if path := filepath.Join(filepath.Dir(e.Daemon), program); exists(path) {
				c.Programs[name] = path
			}
		}
		s, err := start(c)
		if err != nil {
			return nil, err
		}
		return shell{s}, nil
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// shell is an apart.Shell as a session takes it.
type shell struct{ *apart.Shell }

func (s shell) API() net.Listener   { return s.Shell.API }
func (s shell) Prefix() string      { return s.Shell.Prefix }
func (s shell) Terminal() *os.File  { return s.Shell.Terminal }
func (s shell) Ends() <-chan int    { return s.Shell.Ends }
func (s shell) Told() <-chan string { return s.Shell.Told }
