// Package conformance runs Kubernetes' end-to-end suite of network policies, from
// its own code, against the embedded cluster: `make conformance`. It is compiled
// with the build tag conformance alone, since the suite's framework takes minutes
// to compile.
package conformance
