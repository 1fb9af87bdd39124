package httpmock

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/busybox"
	"github.com/netdojo/netdojo/cluster/image"
)

var mocked = regexp.MustCompile(`httpmock -as ([a-z-]+)`)

// port is where a stand-in listens without flags and variables: that of its mock.
func port(t *testing.T, s *image.StandIn) string {
	t.Helper()
	texts := []string{strings.Join(s.Config.Entrypoint, " ")}
	for _, text := range s.Files {
		texts = append(texts, text)
	}
	for _, text := range texts {
		if strings.Contains(text, "netdojo-helper redis ") {
			return "6379"
		}
		if strings.Contains(text, "netdojo-helper echo-advanced ") {
			return echoAdvancedPort
		}
		m := mocked.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		if _, listen, given := strings.Cut(texts[0], " -listen :"); given {
			return listen
		}
		known, ok := mocks[m[1]]
		if !ok {
			t.Fatalf("%s starts the mock %q, which is none", s.Name, m[1])
		}
		return known.port
	}
	return "none"
}

// TestStandIns: each stand-in has the port, user and command that docs/stand-ins.md
// says its image has, and each has a row there.
func TestStandIns(t *testing.T) {
	for _, v := range []string{"PORT", "HTTP_PORT", "WHOAMI_PORT_NUMBER"} {
		t.Setenv(v, "")
	}
	data, err := os.ReadFile("../../../../../docs/stand-ins.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.Trim(line, "|\n "), " | ")
		if len(cells) != 5 || cells[0] == "image" {
			continue
		}
		s, err := image.StandInFor(cells[0])
		if err != nil || s == nil {
			t.Errorf("%s has no stand-in (%v)", cells[0], err)
			continue
		}
		seen[s.Name] = true
		user := s.Config.User
		if user == "" {
			user = "root"
		}
		command := "the server"
		switch {
		case strings.Join(s.Config.Cmd, " ") == "/netdojo-helper pause":
			command = "waits"
		case len(s.Config.Cmd) > 0:
			command = "`" + strings.Join(s.Config.Cmd, " ") + "`"
		case !strings.HasSuffix(s.Config.Entrypoint[0], "/netdojo-helper"):
			command = "`" + s.Config.Entrypoint[0] + "`"
		}
		if got, want := [3]string{port(t, s), user, command}, [3]string(cells[1:4]); got != want {
			t.Errorf("%s has port, user and command %q, docs/stand-ins.md says %q", cells[0], got, want)
		}
	}
	for _, s := range image.StandIns() {
		if !seen[s.Name] && s.Name != "cilium" { // netdojo's own
			t.Errorf("%s is not in docs/stand-ins.md", s.Name)
		}
		for at, target := range s.Links {
			if name := at[strings.LastIndex(at, "/")+1:]; target == "/netdojo-helper" && !busybox.Has(name) {
				t.Errorf("%s: the helper is no %s", s.Name, name)
			}
		}
	}
}
