package tui

import (
	"reflect"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/datapath/explain"
)

func TestQuestion(t *testing.T) {
	from := checks.From{Namespace: "shop", App: "web"}
	for _, tc := range []struct {
		name  string
		check checks.Check
		want  explain.Request
	}{
		{"a site outside", checks.Check{From: from, To: "https://cilium.io"},
			explain.Request{From: "app=web", Namespace: "shop", To: "cilium.io", Port: "443"}},
		{"a Service by its short name", checks.Check{From: from, To: "http://backend:8080/public", Probe: checks.Probe{Curl: []string{"-s", "-X", "PUT"}}},
			explain.Request{From: "app=web", Namespace: "shop", To: "svc/backend", Port: "8080", HTTP: &explain.HTTP{Method: "PUT", Path: "/public", Host: "backend"}}},
		{"the page's command asks for the head", checks.Check{From: from, To: "http://backend.shop.svc"},
			explain.Request{From: "app=web", Namespace: "shop", To: "backend.shop.svc", Port: "80", HTTP: &explain.HTTP{Method: "HEAD", Path: "/", Host: "backend.shop.svc"}}},
		{"a port", checks.Check{From: from, To: "10.0.0.1:53", Probe: checks.Probe{Command: []string{"nc", "-z"}}},
			explain.Request{From: "app=web", Namespace: "shop", To: "10.0.0.1", Port: "53"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := question(tc.check)
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("asked %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}
