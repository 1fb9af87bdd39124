package page

import "testing"

func TestConnectionOf(t *testing.T) {
	for _, tc := range []struct {
		words   []string
		to      string
		limited bool
	}{
		{[]string{"curl", "-Ik", "--connect-timeout", "5", "https://kubernetes.io"}, "https://kubernetes.io", true},
		{[]string{"/usr/bin/curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "backend:8080/x"}, "http://backend:8080/x", false},
		{[]string{"curl", "-sm5", "-XPUT", "http://a/b"}, "http://a/b", true},
		{[]string{"sh", "-c", "echo x; curl -s 'http://a' || true"}, "http://a", false},
		{[]string{"timeout", "3", "curl", "http://a"}, "http://a", true},
		{[]string{"wget", "-qO-", "--timeout=2", "web"}, "http://web", true},
		{[]string{"nc", "-zv", "-w", "2", "db", "5432"}, "db:5432", true},
		{[]string{"ping", "-c", "1", "10.0.0.1"}, "10.0.0.1", true},
		{[]string{"cat", "/etc/hosts"}, "", false},
		{[]string{"sh"}, "", false},
		{[]string{"curl", "--version"}, "", false},
	} {
		c, ok := ConnectionOf(tc.words)
		if c.To != tc.to || c.Limited != tc.limited || ok != (tc.to != "") {
			t.Errorf("%q dials %q (limited %v, %v), want %q (%v)", tc.words, c.To, c.Limited, ok, tc.to, tc.limited)
		}
	}
}

func TestCompare(t *testing.T) {
	table := "NAME                        AGE   VALID\nbackend-egress-allow-fqdn   12s   True\n"
	for name, tc := range map[string]struct {
		want  []string
		shown string
		lacks int // offset of the line that is missing, -1 for none
	}{
		"a further column":       {[]string{"NAME                        AGE", "backend-egress-allow-fqdn   2s"}, table, -1},
		"another name":           {[]string{"NAME                        AGE", "backend-ingress   2s"}, table, 1},
		"a column that is not":   {[]string{"NAME                        STATUS", "backend-egress-allow-fqdn   x"}, table, 0},
		"no table":               {[]string{"NAME   AGE", "x   2s"}, "No resources found in default namespace.\n", 0},
		"another value":          {[]string{"NAME   READY   STATUS", "a-7d9f8c6b5-x2k4z   1/1   Running"}, "NAME   READY   STATUS\na-5c689d88bb-qwrtz   0/1   Pending\n", 1},
		"a hash":                 {[]string{"NAME   READY   STATUS", "a-7d9f8c6b5-x2k4z   1/1   Running"}, "NAME   READY   STATUS\na-5c689d88bb-qwrtz   1/1   Running\n", -1},
		"elided rows":            {[]string{"NAME   AGE", "...", "b   1m"}, "NAME   AGE\na   1s\nb   2s\n", -1},
		"a kind before a name":   {[]string{"NAME           AGE", "pod/mediabot   14s"}, "NAME       AGE\nmediabot   2s\n", -1},
		"two tables":             {[]string{"NAME   READY", "a      1/1", "NAME   TYPE", "svc    ClusterIP"}, "NAME   READY\na      1/1\n\nNAME   TYPE        AGE\nsvc    ClusterIP   2s\n", -1},
		"the second differs":     {[]string{"NAME   READY", "a      1/1", "NAME   TYPE", "svc    NodePort"}, "NAME   READY\na      1/1\n\nNAME   TYPE        AGE\nsvc    ClusterIP   2s\n", 3},
		"a daemon's pod":         {[]string{"NAME           READY", "cilium-5ngzd   1/1"}, "NAME           READY\ncilium-gl2tj   1/1\n", -1},
		"no generated name":      {[]string{"NAME           READY", "cilium-agent   1/1"}, "NAME           READY\ncilium-relay   1/1\n", 1},
		"in order":               {[]string{"one", "two"}, "zero\none\nx\ntwo\n", -1},
		"out of order":           {[]string{"two", "one"}, "one\ntwo\n", 1},
		"times and addresses":    {[]string{"at 2024-01-02T03:04:05Z from 10.0.0.1 after 5001 milliseconds"}, "at 2026-11-28T00:00:00Z from 10.244.0.9 after 5003 milliseconds\n", -1},
		"not what changes":       {[]string{"replicas 3"}, "replicas 4\n", 0},
		"kubectl's older words":  {[]string{`networkpolicy "web" created`}, "networkpolicy.networking.k8s.io/web unchanged\n", -1},
		"created and patched":    {[]string{"pod/x created"}, "pod/x patched\n", 0},
		"of what is patched":     {[]string{`networkpolicy "web" patched`}, "networkpolicy.networking.k8s.io/web patched\n", -1},
		"what is awaited":        {[]string{`Waiting for daemon set "x" rollout to finish: 0 of 1 updated pods are available...`, "x is there"}, "x is there\n", -1},
		"hubble's flows":         {[]string{"Feb  7 12:53:39.168: a/b:54134 (ID:31028) -> a/c:80 (ID:16530) none DENIED"}, "Nov 29 05:18:36.142: a/b:55006 (ID:1025) -> a/c:80 (ID:1026) none DENIED\n", -1},
		"another port of hubble": {[]string{"a/b:54134 (ID:31028) -> a/c:80 (ID:16530) none DENIED"}, "a/b:55006 (ID:1025) -> a/c:81 (ID:1026) none DENIED\n", 0},
		"created and deleted":    {[]string{"pod/x deleted"}, "pod/x created\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := Compare(tc.want, tc.shown)
			got := -1
			if m != nil {
				got = m.Offset
			}
			if got != tc.lacks {
				t.Errorf("missing %+v, want offset %d", m, tc.lacks)
			}
		})
	}
}
