package grade

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/pagerun"
	"github.com/netdojo/netdojo/runner/record"
)

// What a script asks of the API is what a submission may hold, and reading.
func TestScriptGuard(t *testing.T) {
	l := lab(t, "02")
	l.Accepts = []string{"NetworkPolicy", "CiliumNetworkPolicy", "Deployment"}
	r, err := rulesOf(l)
	if err != nil {
		t.Fatal(err)
	}
	in := handed{lab: l, rules: r}
	own := in.own()
	if !own["Deployment vault/clerk"] {
		t.Fatalf("the lab's own are %v", own)
	}
	told := &refusals{}
	guard := told.guard(r, own)
	policy := pagerun.Request{Method: http.MethodPost, Group: "networking.k8s.io", Resource: "networkpolicies", Namespace: "vault"}
	with := func(change func(*pagerun.Request)) pagerun.Request {
		q := policy
		change(&q)
		return q
	}
	get := func(path, resource, sub string) pagerun.Request {
		return pagerun.Request{Method: http.MethodGet, Path: path, Resource: resource, Sub: sub}
	}
	for name, tt := range map[string]struct {
		ask  pagerun.Request
		want string // "" is let through
	}{
		"a policy":           {policy, ""},
		"a policy that goes": {with(func(q *pagerun.Request) { q.Method, q.Name = http.MethodDelete, "x" }), ""},
		"the lab's workload": {with(func(q *pagerun.Request) { q.Method, q.Resource, q.Name = http.MethodPatch, "deployments", "clerk" }), ""},
		"its scale": {with(func(q *pagerun.Request) {
			q.Method, q.Resource, q.Name, q.Sub = http.MethodPatch, "deployments", "clerk", "/scale"
		}), ""},
		"may I":                         {pagerun.Request{Method: http.MethodPost, Group: "authorization.k8s.io", Resource: "selfsubjectaccessreviews"}, ""},
		"pods":                          {get("/api/v1/pods", "pods", ""), ""},
		"a log":                         {get("/api/v1/namespaces/vault/pods/x/log", "pods", "/log"), ""},
		"kinds":                         {get("/apis", "", ""), ""},
		"a group's kinds":               {get("/apis/cilium.io/v2", "", ""), ""},
		"schemas":                       {get("/openapi/v3", "", ""), ""},
		"another workload":              {with(func(q *pagerun.Request) { q.Resource = "deployments" }), "make or change a Deployment that is not the lab's"},
		"another's name":                {with(func(q *pagerun.Request) { q.Method, q.Resource, q.Name = http.MethodPatch, "deployments", "evil" }), "make or change a Deployment that is not the lab's"},
		"another namespace":             {with(func(q *pagerun.Request) { q.Namespace = "kube-system" }), "change anything in namespace kube-system"},
		"a kind that the lab takes not": {with(func(q *pagerun.Request) { q.Resource = "configmaps" }), "change configmaps: the lab takes"},
		"webhooks":                      {pagerun.Request{Method: http.MethodPost, Resource: "validatingwebhookconfigurations"}, "change validatingwebhookconfigurations"},
		"clusterwide policies":          {pagerun.Request{Method: http.MethodPost, Resource: "ciliumclusterwidenetworkpolicies"}, "change ciliumclusterwidenetworkpolicies"},
		"a namespace":                   {pagerun.Request{Method: http.MethodDelete, Resource: "namespaces", Name: "vault"}, "change namespaces"},
		"a token":                       {with(func(q *pagerun.Request) { q.Resource, q.Name, q.Sub = "serviceaccounts", "default", "/token" }), "change serviceaccounts/token"},
		"a status":                      {with(func(q *pagerun.Request) { q.Method, q.Name, q.Sub = http.MethodPatch, "x", "/status" }), "change networkpolicies/status"},
		"nothing known":                 {pagerun.Request{Method: http.MethodPost, Path: "/x"}, "change : the lab takes"},
		"secrets":                       {get("/api/v1/secrets", "secrets", ""), "read Secrets"},
		"a proxy":                       {get("/api/v1/nodes/n/proxy/x", "nodes", "/proxy/x"), "ask for nodes/proxy/x"},
		"the server's inside":           {get("/debug/pprof/heap", "", ""), "ask for /debug/pprof/heap"},
		"a group's inside":              {get("/apis/a/b/c", "", ""), "ask for /apis/a/b/c"},
		"exec":                          {pagerun.Request{Method: http.MethodGet, Resource: "pods", Sub: "/exec", Upgrade: true}, "enter a pod"},
		"another spelling":              {with(func(q *pagerun.Request) { q.Odd = true }), "spell a path"},
	} {
		got := guard(tt.ask)
		if tt.want == "" && got != "" || !strings.HasPrefix(got, map[bool]string{true: "", false: "netdojo lets no submission " + tt.want}[tt.want == ""]) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	all := len(told.all())
	guard(get("/api/v1/secrets", "secrets", ""))
	if all == 0 || len(told.all()) != all {
		t.Errorf("%d are told, and then %v", all, told.all())
	}
	var many sync.WaitGroup
	for range 100 {
		many.Go(func() { guard(get("/x"+strings.Repeat("y", len(told.all())), "", "")) })
	}
	many.Wait()
	if len(told.all()) > maxTold {
		t.Errorf("%d are told", len(told.all()))
	}
}

// What scripts leave is judged as if it had been handed in, and is the last word on what
// was.
func TestScriptsLeave(t *testing.T) {
	l := lab(t, "02")
	r, err := rulesOf(l)
	if err != nil {
		t.Fatal(err)
	}
	h := handed{lab: l, rules: r, objects: parse(t, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: {}}\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: b, namespace: lobby}\n")}
	state := []map[string]any{
		{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": map[string]any{"name": "a", "namespace": r.home}, "spec": map[string]any{"new": true}},
		{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": map[string]any{"name": "c", "namespace": "vault", "labels": map[string]any{"netdojo.dev/marker": "x"}}},
		{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "clerk", "namespace": "vault"}},
	}
	if err := h.take(state, "file2.sh"); err != nil {
		t.Fatal(err)
	}
	name := func(o object.Object) string { return o.File + ":" + o.GetNamespace() + "/" + o.GetName() }
	var names []string
	for _, o := range h.objects {
		names = append(names, name(o))
	}
	if got := strings.Join(names, " "); got != "file1.yaml:"+r.home+"/a file1.yaml:lobby/b file2.sh:vault/c" {
		t.Errorf("got %s", got)
	}
	if spec, _ := h.objects[0].Object["spec"].(map[string]any); spec["new"] != true {
		t.Errorf("the manifest is the last word: %v", spec)
	}
	if taken, problems := r.admit(h.objects); len(taken) != 2 || len(problems) != 1 || !strings.Contains(problems[0].Message, "netdojo's own") {
		t.Errorf("%d are taken, %v", len(taken), problems)
	}
}

func TestScriptsRan(t *testing.T) {
	zero, three := 0, 3
	c := submission.Content{Scripts: []submission.Script{{Name: "file1.sh"}, {Name: "file2.sh"}, {Name: "file3.sh"}, {Name: "file4.sh"}}}
	pages := record.Pages{Pages: []record.Page{{Commands: []record.PageCommand{
		{Exit: &zero, State: record.CommandDone, Output: "Jane was here"}, {Exit: &three, State: record.CommandFailed, Why: "and the page does not say so"}, {Why: "it showed more than 8 MiB"},
	}}}}
	var got []string
	for _, s := range scriptsRan(c, pages) {
		got = append(got, s.File+": "+s.Why)
	}
	want := "file1.sh: |file2.sh: it ended with exit code 3|file3.sh: it was ended: it showed more than 8 MiB|file4.sh: it was not run: the ones before it took too long"
	if strings.Join(got, "|") != want {
		t.Errorf("got %q", got)
	}
}

// A script is run where it lies, whatever it is called.
func TestScriptsOf(t *testing.T) {
	l := lab(t, "02")
	r, err := rulesOf(l)
	if err != nil {
		t.Fatal(err)
	}
	in := &handed{lab: l, rules: r}
	c := submission.Content{
		Scripts: []submission.Script{{Name: "file1.sh"}, {Name: "file2.sh"}},
		Given:   map[string]string{"file1.sh": "run.sh", "file2.sh": "it's; rm -rf ~/$(id) -x.sh"},
		Work:    map[string][]byte{"run.sh": nil, "a/p.yaml": nil, "../out": nil, "/abs": nil, "new\nline": nil},
	}
	c.Given["file2.sh"] = "d/" + c.Given["file2.sh"]
	target := (&judge{}).scriptsOf(in, c, &refusals{})
	var commands []string
	for _, s := range target.Pages[0].Steps {
		commands = append(commands, s.Commands[0].Text)
	}
	want := `(cd ~/'.' && exec bash ./'run.sh')|(cd ~/'d/it'\''s; rm -rf ~' && exec bash ./'$(id) -x.sh')`
	if got := strings.Join(commands, "|"); got != want {
		t.Errorf("got %s", got)
	}
	var files []string
	for _, f := range target.Files[0] {
		files = append(files, f.Name)
	}
	if got := strings.Join(files, " "); got != "a/p.yaml run.sh" {
		t.Errorf("the work folder has %s", got)
	}
}
