//go:build linux

package e2e

import (
	"path/filepath"
	"testing"
	"time"
)

// TestCourseLab goes through a lab of the course with the keys that the screen
// proposes, from the map to the lab that is next: predictions, the skeleton in vi,
// a question. Then the same lab anew in plain lines.
func TestCourseLab(t *testing.T) {
	state := t.TempDir()
	h := newHome(t, state)
	h.env = append(h.env, "HOME="+state, "VISUAL=", "EDITOR=vi")
	t.Cleanup(func() { h.must("down", "--purge") })

	w := h.openWindow(t, "120", "40", filepath.Join(binDir, "netdojo"))
	w.sees(10*time.Second, "Network policies, from", "→ next", "▸ 01  Reading failure", "beginner", "0/4")
	w.choose("02")
	w.keys("Enter")
	w.sees(90*time.Second, "Now it is your turn: what do you expect of 4 checks?", "a predict allow  d predict deny")
	w.keys("d", "a", "d", "a")
	w.sees(10*time.Second, "That was the last; write your policy.")

	w.keys("e")
	w.sees(10*time.Second, "Out of vi: Esc, then :wq and Enter saves and leaves")
	w.keys("y")
	w.sees(20*time.Second, "app: choose-your-pods", "vi has the keys: Esc, then :wq")
	w.keys(`:%s/name: default.*/&\r  namespace: vault/`, "Enter")
	w.keys(`:g/matchLabels\|app:/d`, "Enter")
	w.keys(`:%s/podSelector:/podSelector: {}\r  policyTypes: [Ingress]/`, "Enter")
	w.sees(10*time.Second, "policyTypes: [Ingress]")
	w.keys(":wq", "Enter")
	w.sees(10*time.Second, "All keys are the shell's.")
	w.keys("C-g", "A")
	w.sees(60*time.Second, "default-deny-ingress created", "All 6 checks as expected: task 2.1 is done. 9 asks about what you saw.")

	w.keys("C-g", "n")
	w.sees(10*time.Second, "Question 1 of 1", "A second namespace is to be closed")
	w.keys("Down", "Enter")
	w.sees(10*time.Second, "✓ Right. A NetworkPolicy selects pods of its own namespace only.", "1 of 1 right.")
	w.keys("n")
	w.sees(10*time.Second, "Lab 02, Default deny, is done.", "Solved on your own, without a hint.", "Points: 4 of 4.",
		"Predictions: 4 of 4 came true. Questions: 1 of 1 answered right.", "There is no global default deny", "Next: lab 03, Labels")
	w.keys("Escape")
	w.sees(10*time.Second, "4/4     ✓ done, open", "1 done, 4 of")
	w.keys("q")
	w.sees(20*time.Second, "left with 0", "Lab 02, Default deny: 1 of 1 task done.", "Next: lab 03, Labels", "Cluster netdojo runs on; netdojo down takes it down.")

	p := h.openWindow(t, "120", "200", filepath.Join(binDir, "netdojo")+" --accessible")
	p.sees(10*time.Second, "Lab 02, Default deny: done, beginner, 10 minutes, 1 of 1 task done, 4 of 4 points.", "Which lab?")
	p.keys("02", "Enter")
	p.sees(60*time.Second, "6 of 6 checks as expected.", "Command:")
	p.keys("reset lab", "Enter", "yes", "Enter")
	p.sees(60*time.Second, "The lab begins anew", "Before the policy")
	p.keys("apply", "Enter")
	p.sees(30*time.Second, "With your policy, vault/app=clerk to GET http://ledger.vault:8080/public:")
	p.keys("denied", "Enter", "allowed", "Enter", "denied", "Enter", "allowed", "Enter")
	p.sees(30*time.Second, "networkpolicy.networking.k8s.io/default-deny-ingress created")
	p.keys("check", "Enter")
	p.sees(60*time.Second, "You predicted denied for reach.clerk.ledger: right.", "Task 2.1 is done.", "Question 1 of 1: A second namespace", "Which? Its number, or later:")
	p.keys("2", "Enter")
	p.sees(10*time.Second, "Right. A NetworkPolicy selects", "Lab 02, Default deny, is done.", "Solved on your own, without a hint.", "Predictions: 4 of 4 came true.")

	// Everything is deleted, cluster DNS too: beginning anew brings all of it back.
	h.must("kubectl", "delete", "all", "--all", "--all-namespaces", "--wait=false")
	p.keys("reset", "Enter", "yes", "Enter")
	p.sees(90*time.Second, "cluster DNS was gone; it was brought back")
	p.keys("matrix", "Enter")
	p.sees(60*time.Second, "From vault/app=clerk to http://ledger.vault:8080/public: without the policy allowed, expected denied, now not")
	p.keys("quit", "Enter")
	p.sees(10*time.Second, "Your progress is kept.", "Cluster netdojo runs on; netdojo down takes it down.", "left with 0")
}
