// Package conformance runs Kubernetes' end-to-end tests of network policies, DNS,
// Services and EndpointSlices, from their own code, against the embedded cluster:
// `make conformance`. It is compiled with the build tag conformance alone, since the
// suite's framework takes minutes to compile.
package conformance
