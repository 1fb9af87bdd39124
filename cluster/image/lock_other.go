//go:build !unix

package image

// lockFile does nothing here: without the embedded cluster one process at a
// time uses the store.
func lockFile(string, bool) (func(), error) { return func() {}, nil }

// noFollow is what there is against links and pipes in the place of files.
const noFollow = 0
