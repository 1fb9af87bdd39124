package l7

import (
	"testing"
)

func TestServerNamePattern(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"kubernetes.io", []string{"kubernetes.io"}, []string{"xkubernetes.io", "kubernetesxio", "a.kubernetes.io", ""}},
		{"Kubernetes.IO.", []string{"kubernetes.io"}, []string{"kubernetes.io."}},
		{"*.kubernetes.io", []string{"a.kubernetes.io", ".kubernetes.io"}, []string{"a.b.kubernetes.io", "kubernetes.io"}},
		{"**.kubernetes.io", []string{"a.kubernetes.io", "a.b.kubernetes.io"}, []string{"kubernetes.io", ".kubernetes.io"}},
		{"***.kubernetes.io", []string{"a.b.kubernetes.io"}, []string{"kubernetes.io"}},
		{"kube*.io", []string{"kubernetes.io", "kube.io"}, []string{"kube.rnetes.io"}},
		{"a**b.io", []string{"ab.io", "axb.io"}, []string{"a.b.io"}},
		{"*", []string{"a", "a.b.c"}, []string{"", "a..b"}},
	} {
		re := serverNamePattern(c.pattern)
		for _, name := range c.yes {
			if !re.MatchString(name) {
				t.Errorf("%q does not match %q", c.pattern, name)
			}
		}
		for _, name := range c.no {
			if re.MatchString(name) {
				t.Errorf("%q matches %q", c.pattern, name)
			}
		}
	}
}
