//go:build linux && screens

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// defaults spell the terminal's own colours, which what draws does not know.
var defaults = strings.NewReplacer("\x1b[39m", "\x1b[38;2;201;205;212m", "\x1b[49m", "\x1b[48;2;23;23;23m")

// TestScreens makes the pictures of the documentation: each page of the real
// program on a real cluster. NETDOJO_FREEZE is the program that draws a terminal's
// text as a picture.
func TestScreens(t *testing.T) {
	if _, err := exec.LookPath("convert"); err != nil {
		t.Fatal("convert is missing: install the package imagemagick")
	}
	freeze := os.Getenv("NETDOJO_FREEZE")
	if freeze == "" {
		t.Fatal("NETDOJO_FREEZE is not set: run `make screens`")
	}
	dir, err := filepath.Abs("../../../docs/screens")
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
	w := h.openWindow(t, "120", "40", program)
	picture := func(name string) {
		t.Helper()
		time.Sleep(300 * time.Millisecond) // the last frame is drawn, and the shell has printed
		text, err := w.tmux("capture-pane", "-e", "-p").Output()
		if err != nil {
			t.Fatal(err)
		}
		png := filepath.Join(dir, name+".png")
		cmd := exec.Command(freeze, "--language", "ansi", "--window", "--padding", "16", "--margin", "0", "--border.radius", "6",
			"--line-height", "1.2", "--font.size", "14", "--background", "#171717", "--output", png)
		file := filepath.Join(t.TempDir(), "screen.ansi")
		if err := os.WriteFile(file, []byte(defaults.Replace(string(text))), 0o600); err != nil {
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
	w.keys("Enter")
	w.sees(30*time.Second, "Provision the cluster", "running")
	picture("provisioning")
	w.sees(90*time.Second, "Now it is your turn.", "(netdojo-netdojo|default)")
	w.keys("3", "Down", "d", "2")
	w.sees(5*time.Second, "All keys are the shell's.")
	w.keys("kubectl get pods --show-labels", "Enter")
	w.sees(20*time.Second, "1/1     Running")
	picture("lab")
	w.keys("C-g", "h", "h", "h")
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
	w.keys("q")
	w.sees(20*time.Second, "left with 0")
}
