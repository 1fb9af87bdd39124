package trial

import (
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/mutant"
	"github.com/netdojo/netdojo/manifests/object"
)

// asked is a check as the engine is asked: it is allowed when all questions are.
// The last is about what the check dials, those before about names.
type asked struct {
	check     checks.Check
	questions []Question
	first     int // of the questions in all that are asked
}

// interview words a task's checks as questions. Checks that ask the cluster what no
// engine knows are left out: those of objects, commands, and what is of a node of several.
func interview(task labs.Task, s setting) (all []asked, questions []Question) {
	for _, c := range task.Checks {
		if c.After != checks.ExpectAllowed && c.After != checks.ExpectDenied && c.After != checks.ExpectDeniedL7 {
			continue
		}
		found := questionsOf(c, s.services)
		if found == nil || s.ofNodes[c.ID] {
			continue
		}
		all = append(all, asked{check: c, questions: found, first: len(questions)})
		questions = append(questions, found...)
	}
	return all, questions
}

// questionsOf are what the engine is asked about a check; nil where it cannot be.
// Services are NAMESPACE/NAME.
func questionsOf(c checks.Check, services map[string]bool) []Question {
	d, err := c.Destination()
	if err != nil || !c.InPod() || c.From.Selector() == "" {
		return nil
	}
	q := Question{Namespace: c.From.Namespace, From: c.From.Selector(), Port: d.Port, Protocol: "TCP"}
	switch p := c.Probe.Probe.(type) {
	case nil:
		q.HTTP, q.SNI = request(checks.DefaultCurl, c.To, d)
	case *checks.Curl:
		if q.HTTP, q.SNI = request(argsOf(p), c.To, d); q.HTTP == nil {
			return nil
		}
	case *checks.TCP:
	case *checks.UDP:
		q.Protocol = "UDP"
	case *checks.ICMP:
		q.Protocol = "ICMP"
	case *checks.DNS:
		q.DNS, q.Protocol = strings.TrimSuffix(p.Name, "."), "UDP"
		if p.Protocol == "tcp" {
			q.Protocol = "TCP"
		}
		if d.Host == "" {
			d.Host = "kube-dns.kube-system"
		}
	default:
		return nil // a command dials what it likes
	}
	if strings.HasPrefix(c.To, "https:") {
		q.HTTP = nil // a proxy sees the name alone
	}
	if d.IsIP() {
		q.To = d.Host
		return []Question{q}
	}
	name, isService := serviceOf(d.Host, c.From.Namespace, services)
	if !isService {
		if !strings.Contains(d.Host, ".") {
			return nil
		}
		q.To = d.Host
		return []Question{q}
	}
	q.To = "svc/" + name
	if name == "kube-dns.kube-system" && c.To == "" {
		return []Question{q}
	}
	// The pod asks for the Service's name first, by its full name: the engine knows
	// no search list, and rules are written for that.
	lookup := Question{
		Namespace: q.Namespace, From: q.From, To: "svc/kube-dns.kube-system", Port: 53, Protocol: "UDP", DNS: name + ".svc.cluster.local",
	}
	return []Question{lookup, q}
}

// serviceOf reads a host as a pod's resolver does: NAME, NAME.NAMESPACE, and these
// with .svc and the cluster's domain. It returns NAME.NAMESPACE.
func serviceOf(host, namespace string, services map[string]bool) (string, bool) {
	host = strings.TrimSuffix(strings.TrimSuffix(host, ".cluster.local"), ".svc")
	name, ns, ok := strings.Cut(host, ".")
	if !ok {
		ns = namespace
	}
	return name + "." + ns, services[ns+"/"+name]
}

func argsOf(p *checks.Curl) []string {
	if p.Args == nil {
		return checks.DefaultCurl
	}
	return p.Args
}

// elsewhere are curl's options by which it dials somebody else than the URL says.
var elsewhere = []string{"--resolve", "--connect-to", "-x", "--proxy", "--unix-socket", "--interface", "-L", "--location", "--http3", "--next"}

// request is what curl asks with these arguments, and the name by TLS. It is nil
// where curl does not go where the URL says.
func request(args []string, to string, d checks.Destination) (*Request, string) {
	r := Request{Method: "GET", Path: d.Path, Host: d.Host}
	for i, a := range args {
		value := func() string {
			if i+1 < len(args) {
				return args[i+1]
			}
			return ""
		}
		switch {
		case slices.Contains(elsewhere, a):
			return nil, ""
		case a == "-X" || a == "--request":
			r.Method = value()
		case strings.HasPrefix(a, "-X"):
			r.Method = strings.TrimPrefix(a, "-X")
		case a == "-d" || strings.HasPrefix(a, "--data"):
			if r.Method == http.MethodGet {
				r.Method = "POST"
			}
		case a == "--head" || strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Contains(a, "I"):
			r.Method = "HEAD"
		}
	}
	sni := ""
	if strings.HasPrefix(to, "https:") && !d.IsIP() {
		sni = d.Host
	}
	return &r, sni
}

// setting is what the mutants of a task are put into.
type setting struct {
	base     []mutant.File // the lab's workloads, and what solves the tasks before
	solution []mutant.File
	known    mutant.Known
	services map[string]bool // NAMESPACE/NAME
	ofNodes  map[string]bool // checks that the engine cannot foresee
}

// settingOf reads the files that a task's solution stands on.
func settingOf(lab *labs.Lab, task labs.Task) (setting, error) {
	s := setting{
		known:    mutant.Known{Labels: map[string][]string{}, Teams: map[string][]string{}},
		services: map[string]bool{"kube-system/kube-dns": true, "default/kubernetes": true},
	}
	names := slices.Clone(lab.Workloads)
	_, before, err := lab.Select(task.ID)
	if err != nil {
		return s, err
	}
	for _, t := range before {
		names = append(names, t.Solution...)
	}
	if s.ofNodes, err = OfNodes(lab, task); err != nil {
		return s, err
	}
	if s.base, err = read(lab.FS, names); err != nil {
		return s, err
	}
	if s.solution, err = read(lab.FS, task.Solution); err != nil {
		return s, err
	}
	for _, f := range slices.Concat(s.base, s.solution) {
		objects, err := object.Parse(f.Name, f.Data)
		if err != nil {
			return s, err
		}
		for _, o := range objects {
			s.learn(o, lab.Namespace)
		}
	}
	s.known.Namespaces = appendNew(s.known.Namespaces, lab.Namespace, "default")
	return s, nil
}

func read(fsys fs.FS, names []string) ([]mutant.File, error) {
	var files []mutant.File
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		files = append(files, mutant.File{Name: name, Data: data})
	}
	return files, nil
}

// learn notes what an object adds to what mutants may say.
func (s *setting) learn(o object.Object, namespace string) {
	ns := o.Ref(namespace).Namespace
	add := func(to map[string][]string, lbls any) {
		m, _ := lbls.(map[string]any)
		for k, v := range m {
			if text, ok := v.(string); ok {
				to[k] = appendNew(to[k], text)
			}
		}
	}
	metadata, _ := o.Object["metadata"].(map[string]any)
	switch o.GetKind() {
	case "Namespace":
		s.known.Namespaces = appendNew(s.known.Namespaces, o.GetName())
		add(s.known.Teams, metadata["labels"])
		return
	case "Service":
		s.services[ns+"/"+o.GetName()] = true
	case "Pod":
		add(s.known.Labels, metadata["labels"])
	}
	s.walk(o.Object, add)
}

// walk notes the labels of pod templates, and the ports of containers and Services.
func (s *setting) walk(v any, add func(map[string][]string, any)) {
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			if template, ok := below.(map[string]any); ok && key == "template" {
				metadata, _ := template["metadata"].(map[string]any)
				add(s.known.Labels, metadata["labels"])
			}
			if number, ok := below.(int64); ok && (key == "containerPort" || key == "port" || key == "targetPort") && !slices.Contains(s.known.Ports, number) {
				s.known.Ports = append(s.known.Ports, number)
				slices.Sort(s.known.Ports)
			}
			s.walk(below, add)
		}
	case []any:
		for _, below := range v {
			s.walk(below, add)
		}
	}
}

func appendNew(to []string, values ...string) []string {
	for _, v := range values {
		if !slices.Contains(to, v) {
			to = append(to, v)
		}
	}
	slices.Sort(to)
	return to
}
