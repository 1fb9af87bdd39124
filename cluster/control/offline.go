package control

import "github.com/netdojo/netdojo/datapath/explain"

// Offline is what `netdojo-cluster explain` reads as JSON on its standard input:
// one of the two questions, and the files to answer it from.
type Offline struct {
	Files   []File                 `json:"files"`
	Explain *explain.Request       `json:"explain,omitempty"`
	Matrix  *explain.MatrixRequest `json:"matrix,omitempty"`
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
	Fault  *Error          `json:"fault,omitempty"`
}
