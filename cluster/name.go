package cluster

import (
	"fmt"
	"regexp"
)

// nameForm is what may name a cluster: the name becomes a folder, a host name and a part
// of the names of containers and of a kubeconfig's context, which have 63 characters.
var nameForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`)

// CheckName says what is wrong with a cluster's name: a *Problem with its cure, or nil.
func CheckName(name string) error {
	if nameForm.MatchString(name) {
		return nil
	}
	return &Problem{
		What: fmt.Sprintf("%q cannot name a cluster", name),
		Fix:  "use up to 40 lower-case letters, digits and dashes, with no dash at the ends",
	}
}
