package linear

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/lesson"
)

// tellCluster says which cluster labs are done on, and how it is.
func (f *face) tellCluster(ctx context.Context) {
	c, err := f.o.Backend.Cluster(ctx)
	if err != nil || c.What == "" {
		return
	}
	end := ""
	if !c.Running {
		end = ", opening a lab brings it up"
	}
	f.say("Labs are done on cluster %s, %s: %s%s.", c.Name, c.What, c.Word(), end)
}

// change chooses another cluster, or takes the one that runs down.
func (f *face) change(ctx context.Context, what string) error {
	var err error
	if what == "cluster" {
		err = f.clusters(ctx)
	} else {
		err = f.takeDown(ctx)
	}
	if err == nil {
		f.tellCluster(ctx)
	}
	return err
}

// clusters tells which clusters can be chosen, and chooses one.
func (f *face) clusters(ctx context.Context) error {
	all, err := f.o.Backend.Choices(ctx)
	if err != nil {
		f.failed(err)
	}
	found := make([]backend.Findings, len(all))
	var looks sync.WaitGroup
	for i, c := range all {
		if !c.Foreign {
			looks.Go(func() { found[i] = f.o.Backend.Examine(ctx, c.ID) })
		}
	}
	looks.Wait()
	for i, c := range all {
		use := ""
		if c.Chosen {
			use = ", in use"
		}
		f.say("%d, %s%s. %s", i+1, c.Title, use, strings.TrimSpace(c.Good+" "+c.Takes))
		f.tellFindings(found[i])
	}
	answer, err := f.ask(ctx, "Which cluster? Its number, look and a number for what it needs, or nothing to leave it:")
	if err != nil {
		return err
	}
	look := false
	if rest, ok := strings.CutPrefix(answer, "look "); ok {
		look, answer = true, strings.TrimSpace(rest)
	}
	n, err := strconv.Atoi(answer)
	switch {
	case answer == "":
		return nil
	case err != nil || n < 1 || n > len(all):
		f.say("There is no cluster %q.", answer)
	case look:
		found := f.o.Backend.Examine(ctx, all[n-1].ID)
		if len(found.Missing) == 0 {
			f.say("Nothing is missing for %s.", all[n-1].Title)
		}
		f.tellFindings(found)
	case all[n-1].Chosen:
		f.say("Labs are done on it already.")
	default:
		return f.use(ctx, all, n-1)
	}
	return nil
}

func (f *face) tellFindings(found backend.Findings) {
	for _, miss := range found.Missing {
		word := "Warning"
		if miss.Fatal {
			word = "Missing"
		}
		f.say("%s: %s. Cure: %s.", word, miss.Cause, miss.Cure)
	}
	if text := found.Unable(); text != "" {
		f.say("%s", text)
	}
}

// use has labs be done on one of the choices. What becomes of the one that runs is
// said before.
func (f *face) use(ctx context.Context, all []backend.Choice, i int) error {
	c, err := f.o.Backend.Cluster(ctx)
	if err != nil {
		f.failed(err)
		return nil
	}
	if c.Running {
		leave := ""
		for _, was := range all {
			if was.Chosen && was.Leave != "" {
				leave = " " + strings.ToUpper(was.Leave[:1]) + was.Leave[1:] + "."
			}
		}
		if !f.yes(ctx, "Cluster "+c.Name+", "+c.What+", is taken down first."+leave+" Yes or no?") {
			return ctx.Err()
		}
	}
	err = f.o.Backend.Choose(ctx, all[i].ID, func(e event.Event) {
		if u, ok := e.(event.StepUpdate); ok && u.State == step.Done {
			f.say("%s: done.", u.Name)
		}
	})
	if err != nil {
		f.failed(err)
		return ctx.Err()
	}
	return nil
}

// consent asks before a lab is opened on a cluster that wants that. Labs that the
// cluster is known to refuse are the session's to refuse.
func (f *face) consent(ctx context.Context) bool {
	all, _ := f.o.Backend.Choices(ctx) // the session tells what is wrong
	for _, c := range all {
		if c.Chosen && c.Asks != "" {
			if !f.yes(ctx, c.Asks+" Yes or no?") {
				return false
			}
			f.o.Backend.Agree(c.ID)
		}
	}
	return true
}

// takeDown takes the cluster down, after a question.
func (f *face) takeDown(ctx context.Context) error {
	c, err := f.o.Backend.Cluster(ctx)
	if err != nil {
		f.failed(err)
		return nil
	}
	if !c.Running {
		f.say("No cluster runs.")
		return nil
	}
	if !f.yes(ctx, "Cluster "+c.Name+" is taken down; your progress and your files stay. Yes or no?") {
		return ctx.Err()
	}
	if err := f.o.Backend.TakeDown(ctx, func(event.Event) {}); err != nil {
		f.failed(err)
		return ctx.Err()
	}
	f.say("The cluster is down.")
	return nil
}

// mend brings back what does not work of what the lab needs, and the lab as it was
// left. Where the cluster goes for that, it asks before.
func (f *face) mend(ctx context.Context) {
	c, err := f.o.Backend.Cluster(ctx)
	ailing := f.following.missing()
	anew := err != nil || slices.ContainsFunc(ailing, func(a backend.Ailment) bool { return a.Anew })
	do := f.o.Backend.Resume
	switch {
	case anew:
		if !f.yes(ctx, "The cluster is taken down and brought up again. Yes or no?") {
			return
		}
		do = func(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
			if err := f.o.Backend.TakeDown(ctx, listen); err != nil {
				return record.Run{}, err
			}
			return f.o.Backend.Resume(ctx, lab, task, listen)
		}
	case c.Running && len(ailing) == 0:
		f.say("All that the lab needs works.")
		return
	}
	if f.session(ctx, lesson.Entering, do) && (anew || !c.Running) {
		f.following.close()
		f.following = follow(ctx, f.o.Backend, f.lesson.Lab)
	}
}
