package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	_ "unsafe" // for go:linkname

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/version"
	"k8s.io/klog/v2"
)

// The linker sets these in a proper build (-X); a binary linked without would
// report v0.0.0-master as the node's version.
//
//go:linkname gitVersion k8s.io/component-base/version.gitVersion
var gitVersion string

//go:linkname gitMajor k8s.io/component-base/version.gitMajor
var gitMajor string

//go:linkname gitMinor k8s.io/component-base/version.gitMinor
var gitMinor string

// featureGates are process-wide: every component reads the same set.
var featureGates = map[string]bool{
	// The node has no cgroups of its own and may have no root.
	"KubeletInUserNamespace": true,
	// It would read pods' limits back from cgroups.
	"InPlacePodLevelResourcesVerticalScaling": false,
}

var setUp sync.Once

// SetUpProcess settles what all of Kubernetes' components share in a process:
// the version that they report, feature gates, logging. It is called by Start;
// calling it again does nothing.
func SetUpProcess(logger *slog.Logger) (err error) {
	setUp.Do(func() {
		parts := strings.SplitN(strings.TrimPrefix(Version, "v"), ".", 3)
		gitVersion, gitMajor, gitMinor = Version, parts[0], parts[1]
		if err = version.SetDynamicVersion(Version); err != nil {
			err = fmt.Errorf("set version: %w", err)
			return
		}
		logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
		rest.SetDefaultWarningHandler(rest.NoWarnings{})
		if logger != nil {
			klog.SetSlogLogger(logger)
		}
		utilruntime.PanicHandlers = append([]func(context.Context, any){tellPanic}, utilruntime.PanicHandlers...)
		if err = utilfeature.DefaultMutableFeatureGate.SetFromMap(featureGates); err != nil {
			err = fmt.Errorf("set feature gates: %w", err)
		}
	})
	return err
}

// tellPanic writes a component's panic where the process says why it ends. Of the
// handlers after it Cilium's ends the process, and says neither what nor where.
func tellPanic(_ context.Context, what any) {
	if err, ok := what.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return // by which a server ends one answer
	}
	fmt.Fprintf(os.Stderr, "panic: %v\n%s", what, debug.Stack())
}
