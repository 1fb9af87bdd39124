package tui

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/tui"
)

// Explain implements tui.Backend.
func (b *backend) Explain(ctx context.Context, lab *labs.Lab, c checks.Check) ([]string, error) {
	h, err := b.e.Open(ctx, b.name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	x, ok := h.(interface {
		Explain(context.Context, explain.Request) (*explain.Answer, error)
	})
	if !ok {
		return nil, tui.ErrNoEngine
	}
	here, err := runner.At(ctx, h, lab)
	if err != nil {
		return nil, err
	}
	if c.From.Namespace == lab.Namespace {
		c.From.Namespace = here.Namespace
	}
	req, err := question(c)
	if err != nil {
		return nil, err
	}
	answer, err := x.Explain(ctx, req)
	if errors.Is(err, cluster.ErrNoEngine) {
		return nil, tui.ErrNoEngine
	}
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := answer.Write(&text); err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimRight(text.String(), "\n"), "\n"), nil
}

// question is a check's probe as the policy engine is asked about it.
func question(c checks.Check) (explain.Request, error) {
	d, err := checks.ParseDestination(c.To)
	if err != nil {
		return explain.Request{}, err
	}
	req := explain.Request{From: c.From.Selector(), Namespace: c.From.Namespace, To: d.Host, Port: strconv.Itoa(int(d.Port))}
	if !strings.Contains(d.Host, ".") && !d.IsIP() {
		req.To = "svc/" + d.Host
	}
	// What is asked in a connection that is encrypted, no policy sees.
	if strings.HasPrefix(c.To, "http://") {
		req.HTTP = &explain.HTTP{Method: method(c.CommandLine()), Path: d.Path, Host: d.Host}
		if req.HTTP.Path == "" {
			req.HTTP.Path = "/"
		}
	}
	return req, nil
}

// method is what curl asks with, by its arguments.
func method(command []string) string {
	for i, arg := range command {
		switch {
		case (arg == "-X" || arg == "--request") && i+1 < len(command):
			return command[i+1]
		case strings.HasPrefix(arg, "-X"):
			return strings.TrimPrefix(arg, "-X")
		case arg == "--head", strings.HasPrefix(arg, "-I"):
			return "HEAD"
		}
	}
	if slices.ContainsFunc(command, func(arg string) bool { return arg == "-d" || strings.HasPrefix(arg, "--data") }) {
		return "POST"
	}
	return "GET"
}
