package controlplane

import (
	"fmt"
	"log/slog"
	"sync"
	_ "unsafe" // for go:linkname

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
		gitVersion, gitMajor, gitMinor = Version, "1", "36"
		if err = version.SetDynamicVersion(Version); err != nil {
			err = fmt.Errorf("set version: %w", err)
			return
		}
		logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
		rest.SetDefaultWarningHandler(rest.NoWarnings{})
		if logger != nil {
			klog.SetSlogLogger(logger)
		}
		if err = utilfeature.DefaultMutableFeatureGate.SetFromMap(featureGates); err != nil {
			err = fmt.Errorf("set feature gates: %w", err)
		}
	})
	return err
}
