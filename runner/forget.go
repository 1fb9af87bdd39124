package runner

import (
	"fmt"
	"os"
	"path/filepath"
)

// Forget removes what sessions on a cluster keep in the state folder for Check.
// There being nothing is no error.
func Forget(stateDir, cluster string) error {
	if err := os.RemoveAll(filepath.Join(stateDir, "sessions", cluster)); err != nil {
		return fmt.Errorf("forget the sessions on cluster %s: %w", cluster, err)
	}
	return nil
}
