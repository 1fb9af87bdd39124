// Package manifests applies Kubernetes objects on the server's side, waits until
// they are ready and deletes them again. It knows no lab; objects are read by
// manifests/object, and what netdojo itself brings is in manifests/builtin.
package manifests

import "github.com/netdojo/netdojo/manifests/object"

// Object is a Kubernetes object as a file declares it.
type Object = object.Object

// Ref names an object of the API.
type Ref = object.Ref
