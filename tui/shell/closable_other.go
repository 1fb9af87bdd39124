//go:build !linux

package shell

import "os"

func closable(blocking *os.File) *os.File { return blocking }
