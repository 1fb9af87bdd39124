package report_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report"
)

// Whatever a lab, a cluster or a submission calls itself or says, the terminal obeys
// netdojo's own colours alone.
func TestOthersTextIsNotObeyed(t *testing.T) {
	const evil = "evil\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x1b\\\x1b[2J\u009b31m\u202e\rend"
	code := 7
	check := record.Check{
		To: evil, Expect: checks.Expect(evil), Detail: evil + "; " + evil, ExitCode: &code,
		Evidence: checks.Evidence{Message: evil},
	}
	for _, colour := range []bool{false, true} {
		var out bytes.Buffer
		p := report.NewPlain(&out, report.PlainOptions{Color: colour})
		for _, e := range []event.Event{
			event.RunStarted{Lab: evil, Title: evil, Cluster: evil},
			event.TaskStarted{ID: evil, Title: evil},
			event.StepUpdate{Update: step.Update{Name: evil, Detail: evil, State: step.Done}},
			event.StepUpdate{Update: step.Update{Name: evil, State: step.Failed}},
			event.CheckVerdict{Check: check},
			event.Applied{Object: record.Applied{Kind: evil, Name: evil, Namespace: evil, File: evil}},
			event.PolicyRejected{Object: record.Applied{Kind: evil, Name: evil, Rejected: evil}},
			event.Hint{Text: evil}, event.Notice{Text: evil},
			event.Finished{Err: errors.New(evil)},
		} {
			p.Listen(e)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		said := out.String()
		if n := strings.Count(said, `\x1b]0;owned\x07`); n < 10 {
			t.Errorf("the texts come %d times:\n%s", n, said)
		}
		for _, own := range []string{"\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[0m"} {
			if colour && !strings.Contains(said, own) {
				t.Errorf("%q of netdojo's own is lost", own)
			}
			said = strings.ReplaceAll(said, own, "")
		}
		if i := strings.IndexAny(said, "\x1b\x07\r\u009b\u202e"); i >= 0 {
			t.Errorf("with colours %v: %q", colour, said[i:min(i+40, len(said))])
		}
	}
}
