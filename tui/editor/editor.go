// Package editor knows the programs in which a learner writes an answer: which one
// is theirs, and how it is left again.
package editor

import (
	"path/filepath"
	"strings"
)

// usual are editors that are tried where the learner has chosen none: the first is
// what the standard promises.
var usual = []string{"vi", "nano", "vim", "ed"}

// Choose is the command that opens files: what the environment names, else an
// editor that lookPath finds, else "".
func Choose(getenv func(string) string, lookPath func(string) (string, error)) string {
	for _, name := range []string{"VISUAL", "EDITOR"} {
		if v := strings.TrimSpace(getenv(name)); v != "" {
			return v
		}
	}
	for _, name := range usual {
		if _, err := lookPath(name); err == nil {
			return name
		}
	}
	return ""
}

// Name is the program of a command: vi for "/usr/bin/vi -u NONE".
func Name(command string) string {
	fields := strings.Fields(command)
	if len(fields) == 0 {
		return ""
	}
	return filepath.Base(fields[0])
}

// WayOut says how an editor is left, "" for a program that is not known as one.
func WayOut(name string) string {
	switch {
	case name == "vi", strings.HasPrefix(name, "vim"), strings.HasPrefix(name, "nvim"), name == "view", name == "busybox":
		return "Esc, then :wq and Enter saves and leaves; :q! leaves without saving"
	case name == "nano", name == "pico":
		return "ctrl-o and Enter saves, ctrl-x leaves"
	case strings.HasPrefix(name, "emacs"), name == "mg", name == "zile":
		return "ctrl-x ctrl-s saves, ctrl-x ctrl-c leaves"
	case name == "micro":
		return "ctrl-s saves, ctrl-q leaves"
	case name == "hx", name == "helix", name == "kak":
		return "Esc, then :wq and Enter saves and leaves; :q! leaves without saving"
	case name == "joe":
		return "ctrl-k x saves and leaves, ctrl-c leaves"
	case name == "mcedit":
		return "F2 saves, F10 leaves"
	case name == "ed":
		return "a line with . alone, then w and Enter saves, q and Enter leaves"
	}
	return ""
}

// plain are the characters of a word that a shell takes as it is.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./"

// Word spells a file's name as one word of a shell's command.
func Word(name string) string {
	if name != "" && strings.Trim(name, plain) == "" {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
