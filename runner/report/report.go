// Package report renders a session: plain lines while it runs, JSON and JUnit
// from its record. It decides nothing.
package report
