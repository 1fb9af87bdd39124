//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/netdojo/netdojo/labs"
)

// sitExam takes a lab as an exam, in a terminal: the screen is closed, the shell has the
// pages, and until its end nothing that netdojo says tells how it goes.
func sitExam(t *testing.T, w *walker, lab *labs.Lab) {
	t.Helper()
	w.h.must("up")
	p := &plainWalk{walker: w, window: w.h.openWindow(t, "200", "400", "PATH="+binDir+":$PATH PS1='outside> ' bash --norc -i"), lab: lab}
	p.sees(20*time.Second, "outside>")
	says := func(line string, texts ...string) {
		t.Helper()
		p.say(line, texts...)
		tellsNothing(t, line, result{stdout: p.screen()})
	}
	says("netdojo exam start "+lab.ID, "Your seed, as you were told it")
	says("", "min left", "outside>")
	for _, closed := range []string{"netdojo", "netdojo --accessible", "netdojo check " + lab.ID} {
		says(closed, "is closed in the exam "+lab.ID, "outside>")
	}
	t.Cleanup(func() { w.h.run("exam", "end", "--without-hand-in") }) // of one that failed
	says("netdojo shell "+lab.ID, "leave it with exit", "(netdojo-netdojo|")
	for _, task := range lab.Tasks {
		p.say("cat "+task.Page, "Write your answer into a file `"+task.AnswerFile()+"`")
		a := answerTo(t, lab, task)
		apply := "kubectl apply -f " + a.file + " && echo appl''ied"
		if len(a.removals) > 0 {
			says(apply, "applied")
		}
		p.write(a)
		says(apply, "applied")
	}
	says("exit", "outside>")
	says("netdojo save "+filepath.Join(w.h.state, lab.ID+".json"), "outside>")
	says("netdojo exam end", "outside>")
	p.say("exit", "left with 0")
	// Its files hold the answers by now; the lab is done from those that it gives.
	if err := os.RemoveAll(filepath.Join(w.work, lab.Folder())); err != nil {
		t.Fatal(err)
	}
}
