package lesson

import (
	"strings"

	"github.com/netdojo/netdojo/checks"
)

// Request is what a check asks for: its destination, with the method where a
// policy can see it.
func Request(c checks.Check) string {
	if strings.HasPrefix(c.To, "http://") {
		return checks.Method(c) + " " + c.To
	}
	return c.To
}
