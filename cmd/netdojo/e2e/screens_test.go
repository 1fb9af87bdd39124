//go:build linux && screens

package e2e

import (
	"fmt"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// theme is the colours of a terminal of which pictures are made, and where they go.
type theme struct {
	folder     string // of the pictures, below docs/screens
	text, back color.RGBA
}

var themes = map[string]theme{
	"dark":  {"", color.RGBA{201, 205, 212, 255}, color.RGBA{23, 23, 23, 255}},
	"light": {"light", color.RGBA{31, 35, 40, 255}, color.RGBA{252, 252, 252, 255}},
}

var sgr = regexp.MustCompile(`\x1b\[([0-9;]*)m`)

// spelled names the terminal's own colours, which what draws does not know.
func (c theme) spelled(text string) string {
	rgb := func(c color.RGBA) string { return fmt.Sprintf("2;%d;%d;%d", c.R, c.G, c.B) }
	fore, back := "38;"+rgb(c.text), "48;"+rgb(c.back)
	now := fore // what draws forgets it at bold
	named := sgr.ReplaceAllStringFunc(text, func(seq string) string {
		in := strings.Split(sgr.FindStringSubmatch(seq)[1], ";")
		var out []string
		for i := 0; i < len(in); i++ {
			switch p := in[i]; p {
			case "", "0":
				out, now = append(out, "0", fore, back), fore
			case "39":
				out, now = append(out, fore), fore
			case "49":
				out = append(out, back)
			case "38", "48": // 5 and a number, or 2 and three
				n := 3
				if i+1 < len(in) && in[i+1] == "2" {
					n = 5
				}
				n = min(n, len(in)-i)
				if out = append(out, in[i:i+n]...); p == "38" {
					now = strings.Join(in[i:i+n], ";")
				}
				i += n - 1
			case "1", "2":
				out = append(out, p, now)
			default:
				out = append(out, p)
			}
		}
		return "\x1b[" + strings.Join(out, ";") + "m"
	})
	return "\x1b[" + fore + ";" + back + "m" + named
}

func html(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// TestScreens makes the pictures of the documentation: each page of the real
// program on a real cluster, on a dark and a light terminal. NETDOJO_FREEZE is the
// program that draws a terminal's text as a picture.
func TestScreens(t *testing.T) {
	for name, c := range themes {
		t.Run(name, c.screens)
	}
}

func (c theme) screens(t *testing.T) {
	if _, err := exec.LookPath("convert"); err != nil {
		t.Fatal("convert is missing: install the package imagemagick")
	}
	freeze := os.Getenv("NETDOJO_FREEZE")
	if freeze == "" {
		t.Fatal("NETDOJO_FREEZE is not set: run `make screens`")
	}
	dir, err := filepath.Abs(filepath.Join("../../../docs/screens", c.folder))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	h := newHome(t, state)
	h.env = append(h.env, "HOME="+state)
	t.Cleanup(func() { h.must("down", "--purge") })

	program := "env -u NO_COLOR -u TMUX TERM=xterm-256color COLORTERM=truecolor " + filepath.Join(binDir, "netdojo")
	// tmux answers by its window's style when a program asks for the colours.
	conf := filepath.Join(state, "tmux.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "set -g window-style 'fg=%s,bg=%s'\n", html(c.text), html(c.back)), 0o600); err != nil {
		t.Fatal(err)
	}
	w := h.openWindowBy(t, conf, "120", "40", program)
	picture := func(name string) {
		t.Helper()
		time.Sleep(300 * time.Millisecond) // the last frame is drawn, and the shell has printed
		text, err := w.tmux("capture-pane", "-e", "-p").Output()
		if err != nil {
			t.Fatal(err)
		}
		png := filepath.Join(dir, name+".png")
		cmd := exec.Command(freeze, "--language", "ansi", "--window", "--padding", "16", "--margin", "0", "--border.radius", "6",
			"--line-height", "1.2", "--font.size", "14", "--background", html(c.back), "--output", png)
		file := filepath.Join(t.TempDir(), "screen.ansi")
		if err := os.WriteFile(file, []byte(c.spelled(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd.Args = append(cmd.Args, file)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("draw %s: %v\n%s", name, err, out)
		}
		// As large as a page shows it: the drawing is for paper.
		small := exec.Command("convert", png, "-resize", "1240x", "-dither", "None", "-colors", "96", "-strip", "PNG8:"+png)
		if out, err := small.CombinedOutput(); err != nil {
			t.Fatalf("make %s smaller: %v\n%s", name, err, out)
		}
		if err := os.Chmod(png, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	w.sees(20*time.Second, "Cilium network policies", "cluster netdojo not running")
	picture("start")
	w.keys("c")
	eventually(t, "every cluster was looked at", 60*time.Second, func() bool {
		text := w.screen()
		return strings.Contains(text, "kind with real Cilium") && !strings.Contains(text, "looking at it")
	})
	w.keys("Down")
	picture("choices")
	w.keys("Escape")
	w.choose("04")
	w.keys("Enter")
	w.sees(30*time.Second, "Provision the cluster", "running")
	picture("provisioning")
	w.sees(90*time.Second, "Now it is your turn.", "(netdojo-netdojo|default)")
	w.keys("3", "Down", "d", "2")
	w.sees(5*time.Second, "All keys are the shell's.")
	w.keys("kubectl get pods --show-labels", "Enter")
	w.sees(20*time.Second, "1/1     Running")
	picture("lab")
	answer := filepath.Join(state, "work", "netdojo", "04", "mine.yaml")
	policy, err := os.ReadFile("../../../labs/catalogue/04/solution/backend-egress-allow-fqdn.yaml")
	if err != nil {
		t.Fatal(err)
	}
	save := func(text string) {
		if err := os.WriteFile(answer, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save(strings.NewReplacer("app: backend", "app: backned", "matchName", "matchNme").Replace(string(policy)))
	w.keys("C-g", "F")
	w.sees(20*time.Second, "Problems in your files (")
	picture("problems")
	save(string(policy))
	w.sees(20*time.Second, "no problem found")
	w.keys("W")
	w.sees(20*time.Second, "2 of 2 checks as expected, by the policy engine")
	picture("preview")
	if err := os.Remove(answer); err != nil {
		t.Fatal(err)
	}
	w.keys("h", "h", "h")
	w.sees(5*time.Second, "Hint 3 of 4")
	picture("hints")
	w.keys("8", "y")
	w.sees(20*time.Second, "you have none yet")
	w.keys("z")
	picture("solution")
	w.keys("z", "s", "y")
	w.sees(30*time.Second, "All 2 checks as expected")
	w.keys("3")
	w.sees(5*time.Second, "you predicted denied: right")
	picture("checks")
	w.keys("4")
	w.sees(5*time.Second, "denied")
	picture("flows")
	w.keys("5")
	picture("matrix")
	w.keys("6")
	w.sees(5*time.Second, "Explanation of cilium-io")
	w.keys("z")
	w.sees(5*time.Second, "What the policy engine says now")
	picture("explanation")
	w.keys("z", ":", "r", "e", "s")
	w.sees(5*time.Second, "reset task: bring the task to its beginning")
	picture("commands")
	w.keys("Escape")
	w.sees(5*time.Second, "Explanation of cilium-io")
	w.keys("?")
	w.sees(5*time.Second, "Lab page")
	picture("help")
	w.keys("x")
	w.sees(5*time.Second, "Explanation of cilium-io")
	w.keys("Escape")

	// A lab with more than one workload, for its map.
	w.sees(20*time.Second, "Cilium network policies")
	w.choose("c1")
	w.keys("Enter")
	w.sees(90*time.Second, "Now it is your turn: what do you expect")
	w.keys("s", "y")
	w.sees(60*time.Second, "checks as expected: task c1.1 is done")
	w.keys("M")
	w.sees(20*time.Second, "Map of the network")
	w.keys("z")
	picture("map")
	w.keys("q")
	w.sees(20*time.Second, "left with 0")
}
