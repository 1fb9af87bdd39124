package manifests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/netdojo/netdojo/manifests/object"
)

// FieldManager is who netdojo is in an object's managed fields.
const FieldManager = "netdojo"

// Client applies, reads and deletes objects of any kind. It is safe for
// concurrent use.
type Client struct {
	dynamic dynamic.Interface
	mapper  meta.ResettableRESTMapper
}

// New returns a client of the cluster that config names. It talks to nobody yet.
func New(config *rest.Config) (*Client, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // a cluster of one learner; the server has its own limits
	config.WarningHandler = rest.NoWarnings{}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	return NewFor(dyn, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))), nil
}

// NewFor returns a client over the parts it needs.
func NewFor(dyn dynamic.Interface, mapper meta.ResettableRESTMapper) *Client {
	return &Client{dynamic: dyn, mapper: mapper}
}

// Result is an object as the server has it after an apply.
type Result struct {
	*unstructured.Unstructured
	Created bool      // it was not there before
	Changed bool      // the server holds something else than before
	At      time.Time // when the server had answered
}

// ApplyError is an object that the API does not take.
type ApplyError struct {
	Object Object
	Err    error
}

func (e *ApplyError) Error() string {
	pos := ""
	if e.Object.File != "" {
		pos = fmt.Sprintf("%s:%d: ", e.Object.File, e.Line())
	}
	return fmt.Sprintf("%sapply %s %s: %v", pos, e.Object.GetKind(), e.Object.GetName(), e.Err)
}

// Line is where in the object's file the first field is that the API names, or
// the object itself.
func (e *ApplyError) Line() int {
	if path := namedField(e.Err); path != "" && len(e.Object.Node.Content) > 0 {
		key, _ := object.NodeAt(e.Object.Node.Content[0], object.SplitPath(path))
		return key.Line
	}
	return e.Object.Line
}

// unknownField is how the API's decoder names a field; it says so in words only.
var unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)

// namedField is the path of the first field that an error of the API is about.
func namedField(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return ""
	}
	if details := status.Status().Details; details != nil {
		for _, c := range details.Causes {
			if c.Field != "" {
				return c.Field
			}
		}
	}
	if m := unknownField.FindStringSubmatch(status.Status().Message); m != nil {
		return m[1]
	}
	return ""
}

func (e *ApplyError) Unwrap() error { return e.Err }

// Rejected says whether the object itself is at fault, rather than the cluster.
func (e *ApplyError) Rejected() bool {
	return apierrors.IsInvalid(e.Err) || apierrors.IsBadRequest(e.Err) || meta.IsNoMatchError(e.Err) || apierrors.IsForbidden(e.Err)
}

// Cure says what to change.
func (e *ApplyError) Cure() string {
	switch {
	case meta.IsNoMatchError(e.Err):
		return fmt.Sprintf("check apiVersion and kind: the cluster has no %s in %s", e.Object.GetKind(), e.Object.GetAPIVersion())
	case apierrors.IsNotFound(e.Err):
		return "create the namespace first"
	case e.Rejected():
		return "correct the field that the message names; `netdojo kubectl explain " + e.Object.GetKind() + "` lists the fields"
	}
	return ""
}

// Apply creates or changes an object by server-side apply. A field that the
// kind does not have is refused. namespace is for objects that name none.
// Errors are *ApplyError.
func (c *Client) Apply(ctx context.Context, obj Object, namespace string) (Result, error) {
	fail := func(err error) (Result, error) { return Result{}, &ApplyError{Object: obj, Err: err} }
	ref := obj.Ref(namespace)
	res, ref, err := c.resource(ref)
	if err != nil {
		return fail(err)
	}
	before, err := res.Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fail(err)
	}
	want := obj.DeepCopy()
	want.SetNamespace(ref.Namespace)
	body, err := json.Marshal(want)
	if err != nil {
		return fail(err)
	}
	force := true
	after, err := res.Patch(ctx, ref.Name, types.ApplyPatchType, body, metav1.PatchOptions{
		FieldManager: FieldManager, Force: &force, FieldValidation: metav1.FieldValidationStrict,
	})
	if err != nil && (apierrors.IsInternalError(err) || apierrors.ReasonForError(err) == metav1.StatusReasonUnknown) {
		err = explain(ctx, res, want, err)
	}
	if err != nil {
		return fail(err)
	}
	created := before == nil || before.GetUID() != after.GetUID()
	return Result{
		Unstructured: after, Created: created, At: time.Now(),
		Changed: created || before.GetResourceVersion() != after.GetResourceVersion(),
	}, nil
}

// Defaulted is an object as the API would store it, with its defaults, were it
// created under a name that nothing has. Nothing is stored. Errors are
// *ApplyError.
func (c *Client) Defaulted(ctx context.Context, obj Object, namespace string) (*unstructured.Unstructured, error) {
	ref := obj.Ref(namespace)
	res, ref, err := c.resource(ref)
	if err != nil {
		return nil, &ApplyError{Object: obj, Err: err}
	}
	want := obj.DeepCopy()
	want.SetNamespace(ref.Namespace)
	want.SetName("")
	want.SetGenerateName("netdojo-")
	got, err := res.Create(ctx, want, metav1.CreateOptions{
		DryRun: []string{metav1.DryRunAll}, FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict,
	})
	if err != nil {
		return nil, &ApplyError{Object: obj, Err: err}
	}
	got.SetGenerateName("")
	got.SetName(ref.Name)
	return got, nil
}

// explain finds out whether the object itself is at fault: server-side apply
// reports a field that a CRD does not have as the server's own failure, where a
// create, tried and not done, names it as a bad request.
func explain(ctx context.Context, res dynamic.ResourceInterface, want *unstructured.Unstructured, err error) error {
	_, tried := res.Create(ctx, want, metav1.CreateOptions{
		DryRun: []string{metav1.DryRunAll}, FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict,
	})
	if apierrors.IsBadRequest(tried) || apierrors.IsInvalid(tried) {
		return tried
	}
	return err
}

// Get reads an object; apierrors.IsNotFound tells that it is not there.
func (c *Client) Get(ctx context.Context, ref Ref) (*unstructured.Unstructured, error) {
	res, ref, err := c.resource(ref)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", ref, err)
	}
	return res.Get(ctx, ref.Name, metav1.GetOptions{})
}

// List reads the objects of a kind in a namespace ("" for all) that the label
// selector takes. A kind that the cluster does not have gives an empty list.
func (c *Client) List(ctx context.Context, gvk schema.GroupVersionKind, namespace, selector string) ([]unstructured.Unstructured, error) {
	mapping, err := c.mapping(gvk)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", gvk.Kind, err)
	}
	var res dynamic.ResourceInterface = c.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace && namespace != "" {
		res = c.dynamic.Resource(mapping.Resource).Namespace(namespace)
	}
	list, err := res.List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", gvk.Kind, err)
	}
	return list.Items, nil
}

// EndPod tells a pod to end within a second, whatever time it wants for that, and does
// not wait for it. One that is gone is no error.
func (c *Client) EndPod(ctx context.Context, ref Ref) error {
	res, ref, err := c.resource(ref)
	if err != nil {
		return fmt.Errorf("end %s: %w", ref, err)
	}
	soon := int64(1)
	if err := res.Delete(ctx, ref.Name, metav1.DeleteOptions{GracePeriodSeconds: &soon}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("end %s: %w", ref, err)
	}
	return nil
}

// Delete removes an object and waits until it is gone from the API; what it
// owns goes after it. It returns the removed object's UID, "" when it was not
// there.
func (c *Client) Delete(ctx context.Context, ref Ref) (types.UID, error) {
	res, ref, err := c.resource(ref)
	if meta.IsNoMatchError(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("delete %s: %w", ref, err)
	}
	there, err := res.Get(ctx, ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("delete %s: %w", ref, err)
	}
	uid, background := there.GetUID(), metav1.DeletePropagationBackground
	err = res.Delete(ctx, ref.Name, metav1.DeleteOptions{
		PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &uid},
	})
	if apierrors.IsNotFound(err) {
		return uid, nil
	}
	if err != nil {
		return "", fmt.Errorf("delete %s: %w", ref, err)
	}
	if len(there.GetFinalizers()) == 0 && there.GetKind() != "Pod" {
		return uid, nil
	}
	err = c.until(ctx, ref, func(u *unstructured.Unstructured) (bool, error) {
		return u == nil || u.GetUID() != uid, nil
	})
	if err != nil {
		return "", fmt.Errorf("wait until %s is gone: %w", ref, err)
	}
	return uid, nil
}

// Namespaced says whether objects of a kind live in namespaces.
func (c *Client) Namespaced(gvk schema.GroupVersionKind) (bool, error) {
	mapping, err := c.mapping(gvk)
	if err != nil {
		return false, err
	}
	return mapping.Scope.Name() == meta.RESTScopeNameNamespace, nil
}

func (c *Client) resource(ref Ref) (dynamic.ResourceInterface, Ref, error) {
	mapping, err := c.mapping(ref.GVK)
	if err != nil {
		return nil, ref, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if ref.Namespace == "" {
			ref.Namespace = metav1.NamespaceDefault
		}
		return c.dynamic.Resource(mapping.Resource).Namespace(ref.Namespace), ref, nil
	}
	ref.Namespace = ""
	return c.dynamic.Resource(mapping.Resource), ref, nil
}

// mapping asks discovery a second time before it gives up: a CRD may be new.
func (c *Client) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		mapping, err = c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	if err != nil {
		return nil, err
	}
	if mapping == nil {
		return nil, errors.New("the API gave no mapping for " + gvk.String())
	}
	return mapping, nil
}
