// Package progress names labs/progress for the screens.
package progress

import "github.com/netdojo/netdojo/labs/progress"

// FileName is the file's name in the state folder.
const FileName = progress.FileName

// States, in the words that the start page shows.
const (
	New        = progress.New
	InProgress = progress.InProgress
	Done       = progress.Done
)

// What is kept, and where.
type (
	State = progress.State
	Lab   = progress.Lab
	Task  = progress.Task
	Store = progress.Store
)

// Open reads the file in a state folder; see labs/progress.
func Open(stateDir string) (*Store, error) { return progress.Open(stateDir) }
