package explain

import (
	"reflect"
	"testing"

	"github.com/netdojo/netdojo/datapath/explain"
)

func TestTakeEnds(t *testing.T) {
	type ask = explain.Request
	for _, tc := range []struct {
		name string
		o    Options
		want ask
	}{
		{"names alone", Options{Request: ask{From: "default/client", To: "svc/backend"}}, ask{From: "default/client", To: "svc/backend"}},
		{"as a lab's check is printed", Options{Request: ask{From: "shop/app=web", To: "https://cilium.io"}},
			ask{From: "shop/app=web", To: "cilium.io", Port: "443"}},
		{"a Service's URL", Options{Request: ask{From: "shop/app=web", To: "http://backend:8080/public?a=b"}},
			ask{From: "shop/app=web", To: "svc/shop/backend", Port: "8080", HTTP: &explain.HTTP{Method: "GET", Path: "/public?a=b", Host: "backend:8080"}}},
		{"labels whose key has a prefix", Options{Request: ask{From: "app.kubernetes.io/name=web", To: "http://backend"}},
			ask{From: "app.kubernetes.io/name=web", To: "svc/backend", Port: "80", HTTP: &explain.HTTP{Method: "GET", Path: "/", Host: "backend"}}},
		{"flags go before a URL", Options{Method: "PUT", Path: "/x", Request: ask{From: "a", To: "http://b.shop.svc/y", Port: "81"}},
			ask{From: "a", To: "b.shop.svc", Port: "81", HTTP: &explain.HTTP{Method: "PUT", Path: "/x", Host: "b.shop.svc"}}},
		{"as flows prints them", Options{Request: ask{From: "default/a-1:40112", To: "kube-system/coredns-2:53"}},
			ask{From: "default/a-1", To: "kube-system/coredns-2", Port: "53"}},
		{"an address of IPv6", Options{Request: ask{From: "a", To: "fd00::1"}}, ask{From: "a", To: "fd00::1"}},
		{"one with a port", Options{Request: ask{From: "a", To: "[fd00::1]:443"}}, ask{From: "a", To: "fd00::1", Port: "443"}},
		{"a label with its source", Options{Request: ask{From: "k8s:app=web", To: "any:app=db"}}, ask{From: "k8s:app=web", To: "any:app=db"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.o.Output = "plain"
			if err := tc.o.complete(); err != nil || !reflect.DeepEqual(tc.o.Request, tc.want) {
				t.Errorf("asked %+v, %v; want %+v", tc.o.Request, err, tc.want)
			}
		})
	}
	for _, to := range []string{"ftp://files", "http://", "http://a b"} {
		o := Options{Output: "plain", Request: ask{From: "a", To: to}}
		if err := o.complete(); err == nil {
			t.Errorf("%q is taken: %+v", to, o.Request)
		}
	}
}
