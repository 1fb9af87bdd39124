package lint

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	crds "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/netdojo/netdojo/internal/typo"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
)

const ciliumGroup = "cilium.io"

// ciliumFiles are the kinds of Cilium whose fields are judged, with the definition
// that holds them.
var ciliumFiles = map[string]string{
	policies.CiliumNetworkPolicy:            "ciliumnetworkpolicies.yaml",
	policies.CiliumClusterwideNetworkPolicy: "ciliumclusterwidenetworkpolicies.yaml",
	"CiliumCIDRGroup":                       "ciliumcidrgroups.yaml",
}

// ciliumOthers are its kinds that are no policies. They are told apart from mistyped
// ones, and not judged.
var ciliumOthers = []string{
	"CiliumBGPAdvertisement", "CiliumBGPClusterConfig", "CiliumBGPNodeConfig", "CiliumBGPNodeConfigOverride",
	"CiliumBGPPeerConfig", "CiliumClusterwideEnvoyConfig", "CiliumDatapathPlugin", "CiliumEgressGatewayPolicy",
	"CiliumEndpoint", "CiliumEndpointSlice", "CiliumEnvoyConfig", "CiliumGatewayClassConfig", "CiliumIdentity",
	"CiliumL2AnnouncementPolicy", "CiliumLoadBalancerIPPool", "CiliumLocalRedirectPolicy", "CiliumNode",
	"CiliumNodeConfig", "CiliumPodIPPool",
}

type definition struct {
	Spec struct {
		Versions []struct {
			Name   string `yaml:"name"`
			Schema struct {
				OpenAPI *shape `yaml:"openAPIV3Schema"`
			} `yaml:"schema"`
		} `yaml:"versions"`
	} `yaml:"spec"`
}

// shapes are read at their first use: a definition of Cilium's takes some tens of
// milliseconds.
var shapes = struct {
	sync.Mutex // guards all below
	cilium     map[string]*definition
	gotypes    map[reflect.Type]*shape
}{cilium: map[string]*definition{}, gotypes: map[reflect.Type]*shape{}}

func ciliumShape(o object.Object) (*shape, *misnamed) {
	gvk := o.GroupVersionKind()
	file, ok := ciliumFiles[gvk.Kind]
	if !ok {
		if slices.Contains(ciliumOthers, gvk.Kind) {
			return nil, nil
		}
		known := slices.Sorted(maps.Keys(ciliumFiles))
		cure := "known kinds: " + strings.Join(known, ", ")
		if near := typo.Nearest(gvk.Kind, append(known, ciliumOthers...)); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, &misnamed{"kind", fmt.Sprintf("unknown kind %s in %s", gvk.Kind, o.GetAPIVersion()), cure}
	}
	shapes.Lock()
	defer shapes.Unlock()
	def := shapes.cilium[gvk.Kind]
	if def == nil {
		data, err := crds.EmbedFS.ReadFile(file)
		if err != nil {
			return nil, nil // TestShapes proves that they are there
		}
		def = &definition{}
		if err := yaml.Unmarshal(data, def); err != nil {
			return nil, nil
		}
		shapes.cilium[gvk.Kind] = def
	}
	for _, v := range def.Spec.Versions {
		if v.Name == gvk.Version {
			return v.Schema.OpenAPI, nil
		}
	}
	return nil, &misnamed{"apiVersion", fmt.Sprintf("%s has no version %s", gvk.Kind, gvk.Version), "write apiVersion: cilium.io/v2"}
}

// typedShape is the schema of a kind of Kubernetes itself, by its Go type.
func typedShape(gvk schema.GroupVersionKind) *shape {
	typed, err := scheme.Scheme.New(gvk)
	if err != nil {
		return nil
	}
	return goShape(typed)
}

func goShape(typed any) *shape {
	shapes.Lock()
	defer shapes.Unlock()
	return shapeOfType(reflect.TypeOf(typed))
}

// opaque are types whose JSON is not that of their fields.
var opaque = map[reflect.Type]*shape{
	reflect.TypeFor[intstr.IntOrString]():   {IntOrStr: true},
	reflect.TypeFor[resource.Quantity]():    {IntOrStr: true},
	reflect.TypeFor[metav1.Time]():          {Type: "string"},
	reflect.TypeFor[metav1.MicroTime]():     {Type: "string"},
	reflect.TypeFor[metav1.Duration]():      {Type: "string"},
	reflect.TypeFor[metav1.FieldsV1]():      {Open: true},
	reflect.TypeFor[runtime.RawExtension](): {Open: true},
}

// shapeOfType makes a shape of a Go type, once: types may hold themselves.
func shapeOfType(t reflect.Type) *shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s := opaque[t]; s != nil {
		return s
	}
	if s := shapes.gotypes[t]; s != nil {
		return s
	}
	s := &shape{}
	shapes.gotypes[t] = s
	switch t.Kind() {
	case reflect.Struct:
		s.Type, s.Properties = "object", map[string]*shape{}
		s.properties(t)
		s.Open = len(s.Properties) == 0 && t.NumField() > 0
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			s.Type = "string" // base64
			break
		}
		s.Type, s.Items = "array", shapeOfType(t.Elem())
	case reflect.Map:
		s.Type, s.Values = "object", shapeOfType(t.Elem())
	case reflect.String:
		s.Type, s.Enum = "string", enums[t.Name()]
	case reflect.Bool:
		s.Type = "boolean"
	case reflect.Int, reflect.Int32, reflect.Int64:
		s.Type = "integer"
	default:
		s.Open = true
	}
	return s
}

// properties adds the fields of a struct, embedded ones included.
func (s *shape) properties(t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && f.Anonymous:
			inner := f.Type
			for inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			s.properties(inner)
		case name != "":
			s.Properties[name] = shapeOfType(f.Type)
		}
	}
}

// enums are the values of the types of text that policies have: Go's types do not
// tell them.
var enums = map[string][]string{
	"PolicyType":                     {"Ingress", "Egress"},
	"Protocol":                       {"TCP", "UDP", "SCTP"},
	"LabelSelectorOperator":          {"In", "NotIn", "Exists", "DoesNotExist"},
	"Tier":                           {"Admin", "Baseline"},
	"ClusterNetworkPolicyRuleAction": {"Accept", "Deny", "Pass"},
}
