// Package cluster is what the rest of netdojo knows of a cluster: how to bring
// one up, find it, talk to it and take it down. Which kinds there are, only the
// commands know.
package cluster

import (
	"context"
	"errors"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/policies"
)

// DefaultName is the cluster that commands mean when none is named.
const DefaultName = "netdojo"

// Errors that callers branch on.
var (
	ErrNotRunning     = errors.New("cluster is not running")
	ErrAlreadyRunning = errors.New("cluster is already running")
	// ErrNoEngine is wrapped where what enforces policies answers no questions.
	ErrNoEngine = errors.New("what enforces its policies cannot be asked about connections")
)

// Spec is what a cluster is asked to be.
type Spec struct {
	Name     string    `json:"name"`
	Provider string    `json:"provider"` // embedded, kind or existing
	Datapath Datapath  `json:"datapath"`
	World    World     `json:"world"`
	Fresh    bool      `json:"fresh"`   // do not bring back objects of an earlier run
	APIPort  int       `json:"apiPort"` // on the host's loopback; 0 picks a free one
	Publish  []Publish `json:"publish,omitempty"`
	// DNSReject answers DNS questions that no rule allows: RejectRefused, which the
	// empty string means too, or RejectNameError.
	DNSReject DNSReject `json:"dnsReject,omitempty"`
	// IPFamily is which addresses pods and Services have: FamilyIPv4, which the empty
	// string means too, or FamilyDual.
	IPFamily IPFamily `json:"ipFamily,omitempty"`
	// CIDRMatch is Cilium's option policy-cidr-match-mode: what CIDRs in policies select
	// beside the outside, of CIDRMatchNodes and CIDRMatchPods.
	CIDRMatch []string `json:"cidrMatch,omitempty"`
	// PodSecurity is what pods may ask for; the empty string is PodsPrivileged.
	PodSecurity PodSecurity `json:"podSecurity,omitempty"`
	// MaxImageGiB is how many GiB an image may take; 0 is the image store's default.
	MaxImageGiB int `json:"maxImageGiB,omitempty"`
	// Nodes is how many it has; 0 means one, and of a cluster that comes back as many as
	// it had.
	Nodes int `json:"nodes,omitempty"`
	// Of the provider kind only.
	NodeImage  string `json:"nodeImage,omitempty"`  // empty picks one
	KindConfig string `json:"kindConfig,omitempty"` // a file of kind's configuration
	// Of the provider existing only.
	Context string `json:"context,omitempty"` // of the user's kubeconfig; empty is the current one
	// Consent tells that the user agreed to work on a cluster that netdojo did not
	// make. It is not kept.
	Consent bool `json:"-"`
	// Of the datapath cilium only.
	CiliumChart   string   `json:"ciliumChart,omitempty"`   // folder, .tgz or reference; empty is the packed chart
	CiliumVersion string   `json:"ciliumVersion,omitempty"` // empty takes what the chart is
	CiliumValues  []string `json:"ciliumValues,omitempty"`  // files of values that go over netdojo's
}

// Publish forwards a TCP port of the host's loopback to a Service.
type Publish struct {
	HostPort    int    `json:"hostPort"`
	Namespace   string `json:"namespace"`
	Service     string `json:"service"`
	ServicePort int    `json:"servicePort"`
}

// Status describes a cluster as it is now.
type Status struct {
	Name       string    `json:"name"`
	Provider   string    `json:"provider"`
	Datapath   Datapath  `json:"datapath"`
	World      World     `json:"world"`
	Running    bool      `json:"running"`
	Ready      bool      `json:"ready"`
	Server     string    `json:"server,omitempty"`     // https://127.0.0.1:PORT
	Kubeconfig string    `json:"kubeconfig,omitempty"` // a private file
	Started    time.Time `json:"started,omitzero"`
	ReadyMs    int64     `json:"readyMs,omitempty"` // from the daemon's start to ready
	Detail     string    `json:"detail,omitempty"`  // what is not ready, or why it stopped
	Unknown    bool      `json:"unknown,omitempty"` // its state cannot be told; Detail says why
}

// Provider makes clusters of one kind. Methods are safe for one caller at a time.
type Provider interface {
	// Up brings the cluster up and waits until its node is Ready and cluster DNS
	// answers. On error, or when ctx ends, nothing of it is left running.
	// A cluster of that name that runs already is ErrAlreadyRunning.
	Up(ctx context.Context, spec Spec, report step.Reporter) (Handle, error)
	// Open returns a running cluster, or ErrNotRunning.
	Open(ctx context.Context, name string) (Handle, error)
	// Down removes the cluster and all it left. Removing what is not there is no
	// error. With purge its saved objects go too.
	Down(ctx context.Context, name string, purge bool, report step.Reporter) error
	// Status reports on a cluster; one that does not run is no error.
	Status(ctx context.Context, name string) (Status, error)
	// List names the clusters that have state, running or not, sorted.
	List(ctx context.Context) ([]string, error)
}

// Handle is a running cluster. Close frees connections; the cluster runs on.
type Handle interface {
	Status(ctx context.Context) (Status, error)
	RESTConfig() *rest.Config // admin; a copy
	// Flows streams connection verdicts from now on, and the last ones before now
	// as asked. The stream is live when Flows returns. Nil, ErrNoFlows where the
	// datapath reports none.
	Flows(ctx context.Context, last int) (FlowStream, error)
	// Enforced waits until the datapath judges by the object as it is stored now:
	// a policy's present generation, or its deletion. It returns why a policy is
	// rejected as a *RejectedError.
	Enforced(ctx context.Context, ref PolicyRef) error
	// ServeNames makes the outside world serve these DNS names, beside those that
	// it learns from policies. A provider whose world is the internet ignores it.
	ServeNames(ctx context.Context, names []string) error
	Close() error
}

// ImageLoader is a Handle whose nodes take images from netdojo: those that it is
// asked for must be there before a pod names them. References are as pods have
// them. Images that netdojo does not have are left to the nodes.
type ImageLoader interface {
	EnsureImages(ctx context.Context, refs []string, detail func(string)) error
}

// DNSKeeper is a Handle on a cluster whose DNS is the Service kube-dns of kube-system,
// and is made sure of before a lab begins.
type DNSKeeper interface {
	// DNSObjects are the objects of cluster DNS in the order to create them, without
	// its configuration; none where netdojo does not bring it.
	DNSObjects() ([]*unstructured.Unstructured, error)
}

// Guest is a Handle on a cluster that netdojo did not make. Sessions keep to
// namespaces that are made for them, run what the cluster enforces, and say of the
// rest why it is not supported there. It is an Examiner too, which knows kinds of
// policies as features by their names.
type Guest interface {
	Examiner
	// Settle makes sure of the namespace that a lab works in, and returns its name.
	Settle(ctx context.Context, lab string) (string, error)
}

// Examiner is a Handle whose cluster may lack what labs need: real Cilium, as
// somebody set it up, or addresses of IPv6. What it says of a datapath is read back
// from the cluster, not from what the cluster was asked to be.
type Examiner interface {
	// Lacks gives, of features by the names that labs have for them, those that
	// are not enforced or not there. A feature that it does not know is one of them.
	Lacks(ctx context.Context, features []string) ([]Lack, error)
}

// Lack is a feature that a datapath does not enforce, or a cluster does not have.
type Lack struct {
	Feature string
	Why     string // what is missing
	Fix     string // what to do about it
	// Anew says that the cluster would have it, were it brought up for the lab from empty.
	Anew bool
}

// ErrMadeOtherwise is why a cluster cannot be what is asked of it while it has the nodes and
// the addresses that it was made with. One that begins empty can.
var ErrMadeOtherwise = errors.New("the cluster was made otherwise")

// FlowStream yields flows in the order of their verdicts. Recv blocks; it
// returns io.EOF after Close or when the cluster goes away.
type FlowStream interface {
	Recv() (*flowpb.Flow, error)
	Close() error
}

// Observer is a Handle whose flows can be asked for as Hubble's clients do, with their
// filters. The stream ends by itself unless the request follows.
type Observer interface {
	Observe(ctx context.Context, req *observerpb.GetFlowsRequest) (FlowStream, error)
}

// ErrNoFlows is returned where a datapath has no flow source.
var ErrNoFlows = errors.New("datapath reports no flows")

// PolicyRef names a policy object. Generation 0 with Deleted waits for its end.
type PolicyRef struct {
	Kind       string `json:"kind"` // the name of one of policies.Kinds
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
	Generation int64  `json:"generation,omitempty"`
	Deleted    bool   `json:"deleted,omitempty"`
}

// MarkerLabel is on policies that a provider makes for a moment, to see from
// their arrival how far the datapath has come. They select nothing, and are
// nobody's work.
const MarkerLabel = "netdojo.dev/marker"

// RejectedError is a policy that the datapath does not enforce as written. Its
// Rejection is never nil.
type RejectedError struct {
	Ref PolicyRef
	*policies.Rejection
}

func (e *RejectedError) Error() string {
	return e.Ref.Kind + " " + e.Ref.Name + " is rejected: " + e.Reason
}

// Problem is a failure with a cure.
type Problem = cure.Problem
