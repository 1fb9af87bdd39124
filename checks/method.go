package checks

import (
	"slices"
	"strings"
)

// Method is the HTTP method that a check's curl asks with, by its arguments; ""
// for a check that is no HTTP request.
func Method(c Check) string { return MethodOf(c.To, c.CommandLine()) }

// MethodOf is the same of what a check dials and its command line.
func MethodOf(to string, command []string) string {
	if !strings.HasPrefix(to, "http://") && !strings.HasPrefix(to, "https://") {
		return ""
	}
	for i, arg := range command {
		switch {
		case (arg == "-X" || arg == "--request") && i+1 < len(command):
			return command[i+1]
		case strings.HasPrefix(arg, "-X"):
			return strings.TrimPrefix(arg, "-X")
		case arg == "--head", strings.HasPrefix(arg, "-I"):
			return "HEAD"
		}
	}
	if slices.ContainsFunc(command, func(arg string) bool { return arg == "-d" || strings.HasPrefix(arg, "--data") }) {
		return "POST"
	}
	return "GET"
}
