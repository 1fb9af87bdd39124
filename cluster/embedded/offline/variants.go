package offline

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/inquiry"
	"github.com/netdojo/netdojo/manifests"
)

// variants asks each set of files, each of an engine of its own.
func variants(ctx context.Context, q control.Offline) ([]control.Variant, error) {
	var s *survey
	if q.Variants.Survey {
		var err error
		if s, err = newSurvey(q); err != nil {
			return nil, err
		}
		q.Files = append(slices.Clone(q.Files), s.unseen)
	}
	base, err := parse(q.Files)
	if err != nil {
		return nil, err
	}
	out := make([]control.Variant, len(q.Variants.Sets))
	for i, set := range q.Variants.Sets {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if out[i], err = variant(ctx, q, base, set, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// variant asks one set, which is read after the base.
func variant(ctx context.Context, q control.Offline, base []manifests.Object, set []control.File, s *survey) (control.Variant, error) {
	var out control.Variant
	own, err := parse(set)
	if err != nil {
		return out, err
	}
	one := control.Offline{Files: append(slices.Clone(q.Files), set...)}
	c, err := load(ctx, one, slices.Concat(base, own), cmp.Or(q.Variants.Namespace, "default"))
	if err != nil {
		return out, err
	}
	defer c.engine.Close()
	if len(c.refused) > 0 {
		out.Refused, out.Refusals = strings.Join(c.refused, "; "), c.refusals
		return out, nil
	}
	for _, req := range q.Variants.Ask {
		out.Said = append(out.Said, said(inquiry.Judge(c.engine, c.view, req)))
	}
	if s != nil {
		out.Differs, err = s.differs(c)
	}
	return out, err
}

// said shortens an answer: the outcome of all its connections, and the first
// reason of those that are denied.
func said(a *explain.Answer, err error) control.Said {
	if err != nil {
		return control.Said{Fault: err.Error()}
	}
	out := control.Said{Outcome: a.Outcome, Reason: a.Connections[0].Reason}
	for _, c := range a.Connections {
		if c.Outcome == explain.Denied {
			out.Reason = c.Reason
			break
		}
	}
	return out
}
