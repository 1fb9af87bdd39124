package control

import "github.com/netdojo/netdojo/datapath/explain"

// Offline is what `netdojo-cluster explain` reads as JSON on its standard input:
// one of the questions, and the files to answer it from.
type Offline struct {
	Files    []File                 `json:"files"`
	Explain  *explain.Request       `json:"explain,omitempty"`
	Matrix   *explain.MatrixRequest `json:"matrix,omitempty"`
	Variants *Variants              `json:"variants,omitempty"`
}

// Variants asks the same of several sets of files, each read after Offline.Files.
type Variants struct {
	Namespace string            `json:"namespace,omitempty"` // of objects without one; default when empty
	Sets      [][]File          `json:"sets"`
	Ask       []explain.Request `json:"ask,omitempty"` // of each set
	// Survey compares each set with the first, over all pods, pods that the files do
	// not have, and the outside.
	Survey bool `json:"survey,omitempty"`
}

// Variant is what was found of one set.
type Variant struct {
	// Refused is why the engine does not take a policy of the set as it is written; ""
	// when it takes all. Nothing was asked then.
	Refused string `json:"refused,omitempty"`
	// Refusals are the policies of which it takes nothing, one by one.
	Refusals []Refusal `json:"refusals,omitempty"`
	Said     []Said    `json:"said,omitempty"` // one for each question
	// Differs are connections that the set judges otherwise than the first: those
	// between pods of the files come first. There are not more than MostDiffers.
	Differs []Differs `json:"differs,omitempty"`
}

// Refusal is a policy that the engine refuses as a whole, as Cilium does.
type Refusal struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Object string `json:"object"` // KIND NAMESPACE/NAME
	Reason string `json:"reason"`
	Cure   string `json:"cure,omitempty"`
}

// MostDiffers bounds Variant.Differs.
const MostDiffers = 8

// Said is the answer to one question, in short. Fault is why there is none.
type Said struct {
	Outcome explain.Outcome `json:"outcome,omitempty"`
	Reason  explain.Reason  `json:"reason,omitempty"`
	Fault   string          `json:"fault,omitempty"`
}

// Differs is one connection that two sets judge otherwise.
type Differs struct {
	From string `json:"from"`
	To   string `json:"to"`
	What string `json:"what"` // protocol, port and what travels in it
	// First is what the first set gives, Here what this one does.
	First explain.Outcome `json:"first"`
	Here  explain.Outcome `json:"here"`
	// Unseen says that an end is a pod that the files do not have.
	Unseen bool `json:"unseen,omitempty"`
}

// File is a file of Kubernetes objects.
type File struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// OfflineResult is what it writes: the answer, or what is wrong with the question
// or the files.
type OfflineResult struct {
	Answer *explain.Answer `json:"answer,omitempty"`
	Matrix *explain.Matrix `json:"matrix,omitempty"`
	// Variants has one entry for each set.
	Variants []Variant `json:"variants,omitempty"`
	Fault    *Error    `json:"fault,omitempty"`
}
