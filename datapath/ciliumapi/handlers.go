package ciliumapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"github.com/cilium/cilium/api/v1/models"
	endpointid "github.com/cilium/cilium/pkg/endpoint/id"
	"github.com/cilium/cilium/pkg/fqdn/matchpattern"
	"github.com/cilium/cilium/pkg/labels"
)

// handler returns the answer to a request, a *refusal, or another error, which is
// a bad request.
type handler func(*http.Request) (any, error)

// refusal is an answer that is none. Without a message it has no body.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

var errNotFound = &refusal{status: http.StatusNotFound}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := h(r)
	var no *refusal
	switch {
	case err == nil:
		reply(w, http.StatusOK, answer)
	case errors.As(err, &no) && no.message == "":
		w.WriteHeader(no.status)
	case no != nil:
		reply(w, no.status, models.Error(no.message))
	default:
		reply(w, http.StatusBadRequest, models.Error(err.Error()))
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that left reads nothing
}

// maxLabels bounds the labels that a client may ask for.
const maxLabels = 64 << 10

// asked reads the labels in a request's body, where Cilium's API has them; nil
// when it has none.
func asked(r *http.Request) (models.Labels, error) {
	var lbls models.Labels
	err := json.NewDecoder(io.LimitReader(r.Body, maxLabels)).Decode(&lbls)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return lbls, err
}

// holds says whether an identity has all the labels, whatever their source where
// none is asked for.
func holds(have []string, want models.Labels) bool {
	set := labels.NewLabelsFromModel(have)
	for _, l := range labels.NewLabelsFromModel(want) {
		mine, ok := set[l.Key]
		if !ok || mine.Value != l.Value || l.Source != labels.LabelSourceUnspec && l.Source != labels.LabelSourceAny && l.Source != mine.Source {
			return false
		}
	}
	return true
}

func (s *Server) health(r *http.Request) (any, error) { return s.cfg.Status(r.Context()), nil }

// debugInfo has the version only: cilium-dbg looks for it here.
func (s *Server) debugInfo(*http.Request) (any, error) {
	return &models.DebugInfo{CiliumVersion: s.cfg.Version}, nil
}

func (s *Server) nodes(*http.Request) (any, error)    { return s.cfg.Nodes(), nil }
func (s *Server) services(*http.Request) (any, error) { return s.cfg.Services(), nil }
func (s *Server) policy(*http.Request) (any, error)   { return s.cfg.Engine.PolicyModel(), nil }
func (s *Server) names(*http.Request) (any, error)    { return s.cfg.Engine.NameModel(), nil }

func (s *Server) selectors(subjects bool) handler {
	return func(*http.Request) (any, error) { return s.cfg.Engine.SelectorModels(subjects), nil }
}

func (s *Server) endpoints(r *http.Request) (any, error) {
	want, err := asked(r)
	if err != nil {
		return nil, err
	}
	list := s.cfg.Engine.EndpointModels()
	if want == nil {
		return list, nil
	}
	list = slices.DeleteFunc(list, func(m *models.Endpoint) bool { return !holds(m.Status.Labels.SecurityRelevant, want) })
	if len(list) == 0 {
		return nil, errNotFound
	}
	return list, nil
}

// find returns the endpoint that the path names.
func (s *Server) find(r *http.Request) (*models.Endpoint, error) {
	prefix, id, err := endpointid.Parse(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	number, ok := s.cfg.Engine.EndpointID(string(prefix), id)
	if !ok {
		return nil, errNotFound
	}
	for _, m := range s.cfg.Engine.EndpointModels() {
		if m.ID == int64(number) {
			return m, nil
		}
	}
	return nil, errNotFound // it went meanwhile
}

func (s *Server) endpoint(r *http.Request) (any, error) { return s.find(r) }

func (s *Server) endpointHealth(r *http.Request) (any, error) {
	m, err := s.find(r)
	if err != nil {
		return nil, err
	}
	return m.Status.Health, nil
}

func (s *Server) endpointLabels(r *http.Request) (any, error) {
	m, err := s.find(r)
	if err != nil {
		return nil, err
	}
	return &models.LabelConfiguration{Spec: m.Spec.LabelConfiguration, Status: m.Status.Labels}, nil
}

func (s *Server) identities(r *http.Request) (any, error) {
	want, err := asked(r)
	if err != nil {
		return nil, err
	}
	if want == nil {
		return s.cfg.Engine.IdentityModels(), nil
	}
	m := s.cfg.Engine.IdentityModel(want)
	if m == nil {
		return nil, errNotFound
	}
	return []*models.Identity{m}, nil
}

func (s *Server) identityUsers(*http.Request) (any, error) { return s.cfg.Engine.IdentityUsers(), nil }

func (s *Server) identity(r *http.Request) (any, error) {
	number, err := strconv.ParseInt(r.PathValue("id"), 0, 64)
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest}
	}
	for _, m := range s.cfg.Engine.IdentityModels() {
		if m.ID == number {
			return m, nil
		}
	}
	return nil, errNotFound
}

func (s *Server) addresses(r *http.Request) (any, error) {
	want, err := asked(r)
	if err != nil {
		return nil, err
	}
	within := netip.Prefix{}
	if text := r.URL.Query().Get("cidr"); text != "" {
		if within, err = netip.ParsePrefix(text); err != nil {
			return nil, err
		}
	}
	ids := map[int64][]string{}
	for _, m := range s.cfg.Engine.IdentityModels() {
		ids[m.ID] = m.Labels
	}
	list := slices.DeleteFunc(s.cfg.Engine.AddressModels(), func(m *models.IPListEntry) bool {
		p, err := netip.ParsePrefix(*m.Cidr)
		outside := within.IsValid() && (err != nil || p.Bits() < within.Bits() || !within.Contains(p.Addr()))
		return outside || want != nil && !holds(ids[*m.Identity], want)
	})
	if len(list) == 0 {
		return nil, errNotFound
	}
	slices.SortFunc(list, func(a, b *models.IPListEntry) int { return cmp.Compare(*a.Cidr, *b.Cidr) })
	return list, nil
}

// lookups filters what DNS answered by source, name pattern, range and endpoint.
func (s *Server) lookups(r *http.Request) (any, error) {
	q := r.URL.Query()
	matches := func(string) bool { return true }
	if pattern := q.Get("matchpattern"); pattern != "" {
		re, err := matchpattern.ValidateWithoutCache(matchpattern.Sanitize(pattern))
		if err != nil {
			return nil, err
		}
		matches = re.MatchString
	}
	within := netip.Prefix{}
	if text := q.Get("cidr"); text != "" {
		var err error
		if within, err = netip.ParsePrefix(text); err != nil {
			return nil, err
		}
	}
	of := int64(0)
	if r.PathValue("id") != "" {
		m, err := s.find(r)
		if err != nil {
			return nil, err
		}
		of = m.ID
	}
	source := q.Get("source")
	switch source {
	case "", "lookup", "connection":
	default:
		return nil, fmt.Errorf("source %q is neither lookup nor connection", source)
	}
	list := slices.DeleteFunc(s.cfg.Engine.LookupModels(), func(m *models.DNSLookup) bool {
		inside := !within.IsValid() || slices.ContainsFunc(m.Ips, func(text string) bool {
			a, err := netip.ParseAddr(text)
			return err == nil && within.Contains(a)
		})
		return !inside || !matches(m.Fqdn) || source != "" && m.Source != source || of != 0 && m.EndpointID != of
	})
	if len(list) == 0 {
		return nil, errNotFound
	}
	return list, nil
}
