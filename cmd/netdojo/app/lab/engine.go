package lab

import (
	"context"
	"strconv"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/labs/mutant"
	"github.com/netdojo/netdojo/runner/trial"
)

// Engine is a trial.Engine over whoever asks the same of several sets of files, each
// read after base.
type Engine func(ctx context.Context, base []control.File, v control.Variants) ([]control.Variant, error)

// EngineOf asks the policy engine of a program that is run for the answer.
func EngineOf(daemon string) Engine {
	return func(ctx context.Context, base []control.File, v control.Variants) ([]control.Variant, error) {
		return embedded.CompareFiles(ctx, daemon, base, v)
	}
}

// Compare implements trial.Engine.
func (e Engine) Compare(ctx context.Context, c trial.Comparison) ([]trial.Compared, error) {
	v := control.Variants{Namespace: c.Namespace, Survey: c.Survey}
	for _, set := range c.Sets {
		v.Sets = append(v.Sets, files(set))
	}
	for _, q := range c.Ask {
		v.Ask = append(v.Ask, asked(q))
	}
	found, err := e(ctx, files(c.Base), v)
	if err != nil {
		return nil, err
	}
	out := make([]trial.Compared, len(found))
	for i, f := range found {
		out[i].Refused = f.Refused
		for _, s := range f.Said {
			out[i].Said = append(out[i].Said, said(s))
		}
		for _, d := range f.Differs {
			out[i].Differs = append(out[i].Differs, trial.Difference{
				From: d.From, To: d.To, What: d.What, First: string(d.First), Here: string(d.Here), Unseen: d.Unseen,
			})
		}
	}
	return out, nil
}

func files(in []mutant.File) []control.File {
	out := make([]control.File, len(in))
	for i, f := range in {
		out[i] = control.File{Name: f.Name, Data: f.Data}
	}
	return out
}

func asked(q trial.Question) explain.Request {
	r := explain.Request{Namespace: q.Namespace, From: q.From, To: q.To, Protocol: q.Protocol, DNS: q.DNS, SNI: q.SNI}
	if q.Port != 0 {
		r.Port = strconv.Itoa(int(q.Port))
	}
	if q.HTTP != nil {
		r.HTTP = &explain.HTTP{Method: q.HTTP.Method, Path: q.HTTP.Path, Host: q.HTTP.Host}
	}
	return r
}

func said(s control.Said) trial.Said {
	return trial.Said{
		Known:   s.Fault == "" && (s.Outcome == explain.Allowed || s.Outcome == explain.Denied),
		Allowed: s.Outcome == explain.Allowed, L7: s.Reason == explain.L7Rule, Name: s.Reason == explain.NoName,
	}
}
