//go:build linux

package userns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// Remove is the helper's role "remove": it deletes folders that hold files of
// ids which only the cluster's user namespace may touch. It starts itself in
// such a namespace, without any other.
func Remove(paths []string) int {
	if os.Getenv(envRemove) != "" {
		dieWithParent()
		var errs []error
		for _, p := range paths {
			errs = append(errs, hostfile.RemoveAll(p))
		}
		return report(errors.Join(errs...))
	}
	if fd := os.Getenv(envMapWait); fd != "" {
		os.Setenv(envRemove, "1")
		return report(waitForMapsAs(fd, append([]string{"remove"}, paths...)))
	}
	if os.Getuid() == 0 { // root may delete anything
		os.Setenv(envRemove, "1")
		return Remove(paths)
	}
	return report(removeInNamespace(paths))
}

func removeInNamespace(paths []string) error {
	ids := currentIDMap()
	cmd := exec.Command("/proc/self/exe", append([]string{"remove"}, paths...)...)
	cmd.Env = append(os.Environ(), envRemove+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = ids.attr()
	if !ids.external {
		return cmd.Run()
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer r.Close()
	cmd.ExtraFiles = []*os.File{r}
	cmd.Env = append(os.Environ(), envMapWait+"="+strconv.Itoa(3))
	if err := cmd.Start(); err != nil {
		w.Close()
		return namespaceProblem(err)
	}
	err = ids.write(cmd.Process.Pid)
	if err == nil {
		_, err = w.Write([]byte{1})
	}
	return errors.Join(err, w.Close(), cmd.Wait())
}
