// Package topics holds the help pages that belong to no command.
package topics

import "github.com/spf13/cobra"

// All gives the pages as commands that only have help: `netdojo help TOPIC`.
func All() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What netdojo's exit codes mean", Long: exitCodes},
		{Use: "environment", Short: "The environment variables that netdojo reads", Long: environment},
	}
}

const exitCodes = `Exit codes of netdojo:

  0    all is as expected
  1    a verdict differs from what the lab expects, or a linted lab has problems
  2    the command line is wrong: unknown command, flag, lab or name
  3    the machine or the cluster does not allow it; the message says why,
       a line that begins with "cure:" says what to do
  130  SIGINT or SIGTERM ended it; what it had begun is cleaned up.
       A second signal ends it at once.

netdojo kubectl ends with kubectl's own code (a command in a pod: that
command's code), netdojo shell with the shell's.`

const environment = `Environment variables that netdojo reads:

  NETDOJO_STATE_DIR  where clusters, images and work folders are kept
                     (default: $XDG_STATE_HOME/netdojo, else
                     ~/.local/state/netdojo)
  NETDOJO_CLUSTER    the cluster that is meant when --name is not given. Without
                     either, up, down and run mean the one called netdojo; the
                     other commands that of the current context, then the only
                     one that runs, and say which. netdojo kubectl and hubble
                     pass every flag on, so this is how they are told
  KUBECONFIG         the kubeconfig files that up and down keep the context in;
                     of a list, the first that exists (default: ~/.kube/config)
  NETDOJO_LOG        a file to append a log to, for finding faults in netdojo
  NETDOJO_PREFIX     the key that is netdojo's while the shell on the screen has
                     the focus: ctrl- or alt- with a letter, or f1 to f12
                     (default: ctrl-g)
  NETDOJO_MAX_IMAGE_GIB  how many GiB an image may take, unpacked (default: 8);
                     an archive may hold four times as much
  NO_COLOR           when not empty: no colours

netdojo shell sets KUBECONFIG, NETDOJO_CLUSTER, NETDOJO_LAB and NETDOJO_SEED for
what runs in it.`
