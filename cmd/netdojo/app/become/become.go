// Package become hands the process over to another program of netdojo's, which keeps
// terminal, signals and exit code.
package become
