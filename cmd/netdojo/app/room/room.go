// Package room is what is closed in an exam: commands that tell a verdict, an
// expectation or an answer. It knows which exam goes on, by the learner's progress,
// and the copy of the lab that it is taken in.
package room

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/progress"
)

// Commands are all of netdojo's, by their paths, and whether they stay open in an
// exam. One that is not here is closed, and fails a test.
var Commands = map[string]bool{
	"netdojo":                       false, // the screen, with or without --accessible
	"netdojo bundle":                false, // it has the labs with their answers
	"netdojo bundle open":           false,
	"netdojo check":                 false,
	"netdojo completion":            true,
	"netdojo completion bash":       true,
	"netdojo completion fish":       true,
	"netdojo completion powershell": true,
	"netdojo completion zsh":        true,
	"netdojo __complete":            true,
	"netdojo __completeNoDesc":      true,
	"netdojo course":                false,
	"netdojo course export":         false, // its pages expect, and its key solves
	"netdojo doctor":                true,
	"netdojo down":                  true,
	"netdojo environment":           true,
	"netdojo exam":                  true,
	"netdojo exam end":              true,
	"netdojo exam pack":             false,
	"netdojo exam start":            true, // says that one goes on
	"netdojo exam status":           true,
	"netdojo exit-codes":            true,
	"netdojo explain":               false,
	"netdojo flows":                 false,
	"netdojo grade":                 false,
	"netdojo grade browse":          false,
	"netdojo grade forget":          false,
	"netdojo grade override":        false,
	"netdojo grade replay":          false,
	"netdojo grade rescore":         false,
	"netdojo grade show":            false,
	"netdojo grade worker":          false,
	"netdojo grade worker-image":    false,
	"netdojo help":                  true,
	"netdojo hubble":                false,
	"netdojo image":                 true,
	"netdojo image ls":              true,
	"netdojo image load":            true,
	"netdojo kubeconfig":            true,
	"netdojo kubectl":               true,
	"netdojo lab":                   false,
	"netdojo lab import":            false,
	"netdojo lab lint":              false,
	"netdojo lab lock":              false,
	"netdojo lab new":               false,
	"netdojo lab test":              false,
	"netdojo lab watch":             false,
	"netdojo labs":                  true,
	"netdojo labs update":           false, // the exam has a copy of its own
	"netdojo lint":                  false, // what a policy does is its answer's verdict
	"netdojo map":                   false,
	"netdojo matrix":                false,
	"netdojo open":                  true, // of this exam's hand-in only
	"netdojo page":                  false,
	"netdojo page explain":          false,
	"netdojo run":                   false,
	"netdojo save":                  true,
	"netdojo shell":                 true, // of this exam's lab only
	"netdojo status":                true,
	"netdojo up":                    true,
	"netdojo verify":                false,
	"netdojo version":               true,
}

// ErrorSchema names the form of an error on standard output, where JSON was asked
// for: {schema, error: {type, command, lab, message, cure}}.
const ErrorSchema = "netdojo.dev/error/v1"

// RefusedError is a command that is closed in an exam.
type RefusedError struct{ Command, Lab string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s is closed in the exam %s: until the exam ends, netdojo tells no verdict, no expectation and no answer", e.Command, e.Lab)
}

// Cure says what is open.
func (e *RefusedError) Cure() string {
	return fmt.Sprintf("try your answer with kubectl and curl in netdojo shell %s; netdojo exam status tells the time and the tasks; netdojo save FILE hands in, and then netdojo exam end ends the exam", e.Lab)
}

// refused is the error of a command in the exam of a lab.
func refused(command, lab string) error {
	return exit.With(exit.Environment, &RefusedError{command, lab})
}

// Running is the exam that goes on, and its lab; nil where there is none.
func Running(e *env.Env) (lab string, x *progress.Exam) {
	lab, x, _ = progress.ExamIn(e.StateDir) // Enter has told what is wrong with it
	return lab, x
}

// Closed is a *RefusedError while an exam goes on.
func Closed(e *env.Env, command string) error {
	if lab, x := Running(e); x != nil {
		return refused(command, lab)
	}
	return nil
}

// Enter is what precedes each command. In an exam it lets the time run on, tells what
// is to be told of it, and returns a *RefusedError for a command that is closed.
func Enter(e *env.Env, cmd *cobra.Command) error {
	lab, x, err := progress.ExamIn(e.StateDir)
	if err != nil {
		fmt.Fprintf(e.Err, "netdojo: %v: tell whoever gives the exam\n", err)
	}
	if x == nil {
		return nil
	}
	// One of a later netdojo is read, and not written to.
	store, sealed := progress.Open(e.StateDir)
	moved := x.Observe(progress.Now())
	store.SetExam(lab, x)
	if err := store.Save(lab, x.Seen.Wall); err != nil && sealed == nil {
		fmt.Fprintf(e.Err, "netdojo: the exam's time is not kept: %s\n", printable.Line(err.Error()))
	}
	if moved != 0 {
		fmt.Fprintf(e.Err, "netdojo: the clock was set by %s; the exam's time runs on, and the hand-in tells of it\n", signed(moved))
	}
	path := cmd.CommandPath()
	if strings.HasPrefix(path, "netdojo __complete") {
		return nil
	}
	if !x.Intact() {
		fmt.Fprintln(e.Err, "netdojo: the exam's record was changed by something else than netdojo; the hand-in tells of it")
	}
	if over := -x.Left(); over >= 0 {
		fmt.Fprintf(e.Err, "netdojo: the time of the exam %s is over since %s; what is handed in is late\n", lab, Brief(over))
	}
	if Commands[path] {
		return nil
	}
	err = refused(path, lab)
	if f := cmd.Flags().Lookup("output"); f != nil && f.Value.String() == "json" {
		return tell(e, path, lab, err)
	}
	return err
}

// tell writes the refusal for programs, beside the error for people.
func tell(e *env.Env, path, lab string, err error) error {
	type problem struct {
		Type    string `json:"type"`
		Command string `json:"command"`
		Lab     string `json:"lab"`
		Message string `json:"message"`
		Cure    string `json:"cure"`
	}
	r := &RefusedError{path, lab}
	enc := json.NewEncoder(e.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if werr := enc.Encode(struct {
		Schema string  `json:"schema"`
		Error  problem `json:"error"`
	}{ErrorSchema, problem{"exam", path, lab, r.Error(), r.Cure()}}); werr != nil {
		return werr
	}
	return err
}

// Folder is where the copy of a lab lies that an exam is taken in.
func Folder(e *env.Env, lab string) string { return filepath.Join(e.StateDir, "exam", lab) }

// Lab opens the copy of the lab that the exam is taken in: the pack as it was at the
// beginning, whatever has become of the lab since. It holds nothing to judge by.
func Lab(e *env.Env, id string, x *progress.Exam) (*labs.Lab, error) {
	dir := Folder(e, id)
	cure := "copy the exam's pack to " + dir + " again; its files are those of the beginning"
	lab, err := labs.Open(dir)
	if err != nil {
		return nil, exit.WithCure(fmt.Errorf("open the lab of the exam: %w", err), "%s", cure)
	}
	pack, err := lab.Pack()
	if err != nil {
		return nil, fmt.Errorf("open the lab of the exam: %w", err)
	}
	if lab.ID != id || pack.Digest != x.Pack {
		return nil, exit.WithCure(exit.With(exit.Environment, fmt.Errorf("the lab of the exam in %s is another than at the beginning", dir)), "%s", cure)
	}
	return lab, nil
}

// Taking is the exam's own lab for a command that works on a lab: nil where no exam
// goes on, and a *RefusedError for another lab.
func Taking(e *env.Env, command, lab string) (*labs.Lab, error) {
	id, x := Running(e)
	if x == nil {
		return nil, nil
	}
	if !strings.EqualFold(lab, id) {
		return nil, refused(command+" "+lab, id)
	}
	return Lab(e, id, x)
}

// Brief is a duration as people tell it, in minutes and seconds.
func Brief(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case h > 0:
		return fmt.Sprintf("%d h %d min", h, m)
	case m > 0:
		return fmt.Sprintf("%d min %d s", m, s)
	}
	return fmt.Sprintf("%d s", s)
}

// signed is Brief of a duration with its direction.
func signed(d time.Duration) string {
	if d < 0 {
		return Brief(-d) + " back"
	}
	return Brief(d) + " forward"
}

// Moves tells of the times at which the clock was set, a line each.
func Moves(x *progress.Exam) []string {
	var all []string
	for _, m := range x.Moved {
		all = append(all, fmt.Sprintf("the clock was set by %s, noticed at %s", signed(time.Duration(m.ByMs)*time.Millisecond), m.Seen.Format(time.RFC3339)))
	}
	return all
}
