package trial

import (
	"context"

	"github.com/netdojo/netdojo/labs/mutant"
)

// Engine judges connections by files of objects alone, as the datapath would. The
// policies of a lab's mutants are put to it before any is put on a cluster.
type Engine interface {
	// Compare returns what it found of each set. The error is its own, or that of
	// files that hold no objects.
	Compare(ctx context.Context, c Comparison) ([]Compared, error)
}

// Comparison asks the same of several sets of files, each read after Base.
type Comparison struct {
	Namespace string // of objects without one
	Base      []mutant.File
	Sets      [][]mutant.File
	Ask       []Question
	// Survey asks for what each set judges otherwise than the first.
	Survey bool
}

// Question is one connection, and what travels in it.
type Question struct {
	Namespace string // of From
	From      string // labels of a pod: app=web,tier=front
	To        string // svc/NAME.NAMESPACE, a DNS name, an address
	Port      uint16 // 0 for a protocol without ports
	Protocol  string // TCP, UDP or ICMP
	HTTP      *Request
	DNS       string // a name that is asked for
	SNI       string // the server that a TLS client names
}

// Request is an HTTP request.
type Request struct{ Method, Path, Host string }

// Compared is what was found of one set.
type Compared struct {
	Refused string // why a policy of it is not taken; nothing is said then
	Said    []Said // by question
	Differs []Difference
}

// Said is the answer to one question.
type Said struct {
	Known   bool // false where there is none, or several that differ
	Allowed bool
	L7      bool // a proxy refuses what travels
	Name    bool // the pod may not ask for the destination's name
}

// Difference is one connection that a set judges otherwise than the first.
type Difference struct {
	From, To, What string
	First, Here    string // what becomes of it
	Unseen         bool   // an end is a pod that the lab does not have
}
