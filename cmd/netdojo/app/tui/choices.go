package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cluster/existing"
	"github.com/netdojo/netdojo/cluster/kind"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/session"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/tui/backend"
)

// IDs of the choices; that of a context has its name behind contextID.
const (
	embeddedID = embedded.Name
	kindID     = kind.Name
	ciliumID   = kind.Name + "-cilium"
	contextID  = "context:"
)

// made are the clusters that netdojo makes, in the order in which they are offered.
// How long each takes where nothing is known of this machine is in docs/benchmarks.md.
var made = []struct {
	provider string
	choice   backend.Choice
	takes    string
}{
	{embedded.Name, backend.Choice{
		ID: embeddedID, Title: "embedded",
		Good:  "Every lab, at once and without a container engine: Kubernetes and netdojo's datapath in Linux namespaces of your own.",
		Leave: "its objects are kept, and come back when it is chosen again",
	}, "some 2 s"},
	{kind.Name, backend.Choice{
		ID: kindID, Title: "kind with netdojo's datapath",
		Good:  "Every lab on kubeadm, containerd and the real kubelet: a kind cluster in a container engine, which kubectl and kind see too.",
		Leave: "it is deleted with its objects",
	}, "some 20 s"},
	{kind.Name, backend.Choice{
		ID: ciliumID, Title: "kind with real Cilium", Partial: true,
		Good:  "To see that real Cilium says the same: its agents from its own chart in a kind cluster, with its tools.",
		Leave: "it is deleted with its objects",
	}, "some 30 s"},
}

// choiceOf is the ID of the choice that a spec is.
func choiceOf(ctx context.Context, spec cluster.Spec) string {
	switch {
	case spec.Provider == existing.Name:
		if spec.Context == "" {
			if target, err := existing.Find(ctx, ""); err == nil {
				return contextID + target.Context
			}
		}
		return contextID + spec.Context
	case spec.Provider == kind.Name && spec.Datapath == cluster.DatapathCilium:
		return ciliumID
	}
	return spec.Provider
}

// specOf is what a choice is brought up as where nothing else is known of it.
func (b *world) specOf(id string) cluster.Spec {
	spec := session.Default(b.e, b.name)
	switch name, foreign := strings.CutPrefix(id, contextID); {
	case foreign:
		spec.Provider, spec.Context = existing.Name, name
	case id == ciliumID:
		spec.Provider, spec.Datapath = kind.Name, cluster.DatapathCilium
	default:
		spec.Provider = id
	}
	return spec
}

// title is what a choice is called.
func title(id string) string {
	if name, ok := strings.CutPrefix(id, contextID); ok {
		if name == "" {
			return "a cluster of your kubeconfig"
		}
		return "your context " + name
	}
	for _, m := range made {
		if m.choice.ID == id {
			return m.choice.Title
		}
	}
	return id
}

// Choices implements backend.Chooser.
func (b *world) Choices(ctx context.Context) ([]backend.Choice, error) {
	var all []backend.Choice
	r, err := recall(b.e, b.name)
	errs := []error{err}
	for _, provider := range b.e.KindNames() {
		known := false
		for _, m := range made {
			if m.provider == provider {
				known = true
				m.choice.Takes = takes(r, m.choice.ID, m.takes)
				all = append(all, m.choice)
			}
		}
		switch {
		case provider == existing.Name:
			contexts, err := b.contexts(ctx)
			errs = append(errs, err)
			for _, c := range contexts {
				c.Takes = takes(r, c.ID, "some seconds")
				all = append(all, c)
			}
		case !known:
			all = append(all, backend.Choice{ID: provider, Title: provider, Takes: takes(r, provider, "a while")})
		}
	}
	now, err := b.current(ctx)
	errs = append(errs, err)
	for i := range all {
		all[i].Chosen = all[i].ID == now.id
		if all[i].Foreign && !now.running && !b.agreed(all[i].ID) {
			name, _ := strings.CutPrefix(all[i].ID, contextID)
			all[i].Asks = "Work on the cluster of context " + name + ", which netdojo did not make?"
		}
	}
	return all, errors.Join(errs...)
}

// takes says how long a choice takes to come up.
func takes(r remembered, id, typical string) string {
	if ms := r.TookMs[id]; ms > 0 {
		return fmt.Sprintf("It took %.1f s when it last came up here.", time.Duration(ms*int64(time.Millisecond)).Seconds())
	}
	return "It takes " + typical + " on a machine with 2 processors; here it never came up."
}

// contexts are the user's own clusters, without those that netdojo made.
func (b *world) contexts(ctx context.Context) ([]backend.Choice, error) {
	files, err := kubeconfig.Default()
	if err != nil {
		return nil, nil //nolint:nilerr // without a home there is no kubeconfig
	}
	config, err := files.Load(ctx)
	if err != nil {
		return nil, err
	}
	var all []backend.Choice
	for name, c := range config.Contexts {
		server := config.Clusters[c.Cluster]
		if strings.HasPrefix(name, kubeconfig.ContextName("")) || server == nil {
			continue
		}
		all = append(all, backend.Choice{
			ID: contextID + name, Title: title(contextID + name), Partial: true, Foreign: true,
			Good: "Your own cluster at " + server.Server + ", as it is: netdojo makes namespaces called netdojo-LAB there, and has cluster DNS ask a " +
				"simulated world for names outside. Tasks that need more than one namespace are not judged.",
			Leave: "netdojo's namespaces and its change of cluster DNS are taken back",
		})
	}
	slices.SortFunc(all, func(x, y backend.Choice) int { return strings.Compare(x.ID, y.ID) })
	return all, nil
}

// standing is which choice labs are done on, and whether it runs.
type standing struct {
	id      string
	running bool
}

// current is what runs, whatever was chosen; else what is to be brought up.
func (b *world) current(ctx context.Context) (standing, error) {
	st, provider, found, err := b.e.Status(ctx, b.name)
	if err != nil {
		return standing{}, err
	}
	return b.standing(ctx, st, provider, found)
}

func (b *world) standing(ctx context.Context, st cluster.Status, provider cluster.Provider, found bool) (standing, error) {
	if st.Running {
		spec, err := session.Was(b.name, st, provider)
		return standing{id: choiceOf(ctx, spec), running: true}, err
	}
	spec, err := b.wanted(ctx, st, provider, found)
	return standing{id: choiceOf(ctx, spec)}, err
}

// wanted is what a cluster that does not run is brought up as: what the command line
// describes, what was chosen, what it was, or what netdojo up makes of its name.
func (b *world) wanted(ctx context.Context, st cluster.Status, provider cluster.Provider, found bool) (spec cluster.Spec, err error) {
	b.mu.Lock()
	given, chosen := b.given, b.chosen
	b.mu.Unlock()
	switch {
	case given != nil && (chosen == "" || chosen == choiceOf(ctx, *given)):
		return *given, nil
	case found:
		if spec, err = session.Was(b.name, st, provider); err != nil {
			return spec, err
		}
	default:
		spec = session.Default(b.e, b.name)
	}
	if chosen != "" && chosen != choiceOf(ctx, spec) {
		spec = b.specOf(chosen)
	}
	spec.Consent = spec.Consent || b.agreed(choiceOf(ctx, spec))
	return spec, nil
}

// Choose implements backend.Chooser.
func (b *world) Choose(ctx context.Context, id string, listen event.Listener) error {
	if _, err := b.e.Provider(b.specOf(id).Provider); err != nil {
		return err
	}
	now, err := b.current(ctx)
	if err != nil {
		return err
	}
	if now.running && now.id != id {
		if err := b.TakeDown(ctx, listen); err != nil {
			return fmt.Errorf("take cluster %s down: %w", b.name, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := remember(b.e, b.name, func(r *remembered) { r.Choice = id }); err != nil {
		return exit.WithCure(fmt.Errorf("remember the choice: %w", err), "make room in %s", b.e.StateDir)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.chosen = id
	return nil
}

// Agree implements backend.Chooser.
func (b *world) Agree(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.yes == nil {
		b.yes = map[string]bool{}
	}
	b.yes[id] = true
}

func (b *world) agreed(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.yes[id]
}

// TakeDown implements backend.Backend.
func (b *world) TakeDown(ctx context.Context, listen event.Listener) error {
	return b.down(ctx, false, listen)
}

// BeginEmpty implements backend.Backend.
func (b *world) BeginEmpty(ctx context.Context, listen event.Listener) error {
	return b.down(ctx, true, listen)
}

func (b *world) down(ctx context.Context, purge bool, listen event.Listener) error {
	_, provider, found, err := b.e.Status(ctx, b.name)
	if err != nil || !found {
		return err
	}
	report := func(u step.Update) { listen(event.StepUpdate{Update: u}) }
	if err := provider.Down(ctx, b.name, purge, report); err != nil {
		return err
	}
	// netdojo up may have put its context there.
	files, err := kubeconfig.Default()
	if err != nil {
		return nil //nolint:nilerr // without a home there is no kubeconfig
	}
	if _, err := files.Remove(ctx, b.name); err != nil {
		return fmt.Errorf("cluster %s is down, but its context stays in your kubeconfig: %w", b.name, err)
	}
	return nil
}

// came notes how long a cluster took that has come up.
func (b *world) came(ctx context.Context) {
	st, provider, _, err := b.e.Status(ctx, b.name)
	if err != nil || st.ReadyMs <= 0 {
		return
	}
	spec, err := session.Was(b.name, st, provider)
	if err == nil {
		err = remember(b.e, b.name, func(r *remembered) { r.TookMs[choiceOf(ctx, spec)] = st.ReadyMs })
	}
	if err != nil {
		b.e.Log.Warn("how long the cluster took is not remembered", "err", err)
	}
}
