package page

import (
	"regexp"
	"strings"
)

// leftOut is a comment of an author who knows netdojo, before a block that is not to be
// run.
var leftOut = regexp.MustCompile(`netdojo:\s*not run[,:]?\s+([^\n]*?)\s*(?:-->)?\s*$`)

// reasonBefore is why the comment before a step says that it is not run; "" for none.
func reasonBefore(steps []Step, i int) string {
	if i == 0 || steps[i-1].Kind != Hidden {
		return ""
	}
	if m := leftOut.FindStringSubmatch(strings.TrimSpace(steps[i-1].Text)); m != nil {
		return m[1]
	}
	return ""
}

// A command with what it does beside it, as lists of commands have it: a gap, and words.
var (
	gap    = regexp.MustCompile(`\S(\s{2,})\S`)
	remark = regexp.MustCompile(`^[A-Za-z]\S*(?:\s+\S+){2,}$`)
)

// cutRemark is a line without what it says beside its command.
func cutRemark(line string) (string, bool) {
	for _, m := range gap.FindAllStringSubmatchIndex(line, -1) {
		command, beside := line[:m[2]], line[m[3]:]
		quoted := strings.Count(command, `"`)%2 != 0 || strings.Count(command, "'")%2 != 0
		if !quoted && remark.MatchString(beside) {
			return command, true
		}
	}
	return line, false
}

// withoutRemarks takes from a list of commands what it says beside each; false where a
// text is no such list. Lines keep their numbers.
func withoutRemarks(text string) (string, bool) {
	lines := strings.Split(text, "\n")
	found := false
	for i, line := range lines {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !knownProgram(line) {
			return "", false
		}
		command, ok := cutRemark(strings.TrimRight(line, " \t\r"))
		if ok {
			lines[i], found = command, true
		}
	}
	return strings.Join(lines, "\n"), found
}

// inList is a word that such a list has in place of the reader's own.
var inList = regexp.MustCompile(`(?:^|[\s=./-])([A-Z]{3,})(?:$|[\s=./-])`)

// Why netdojo's own commands are not run on a page.
const (
	makesCluster = "it makes clusters of its own, and there is one"
	asksDaemon   = "it asks what runs the cluster, which no page reaches"
	takesScreen  = "it takes the terminal"
	looksAround  = "it is about the machine, of which a page sees nothing"
)

// ownCommands are netdojo's that are not run, by their first words. Those with "", and
// those that are not here, work on the files of the work folder alone.
var ownCommands = map[string]string{
	"": takesScreen, "shell": takesScreen, "open": takesScreen, "lab watch": takesScreen,
	"up": makesCluster, "down": makesCluster, "run": makesCluster, "lab test": makesCluster, "exam start": makesCluster,
	"grade": makesCluster, "grade show": "", "grade override": "", "grade rescore": "", "grade forget": "",
	"check": asksDaemon, "explain": asksDaemon, "flows": asksDaemon, "hubble": asksDaemon, "matrix": asksDaemon, "map": asksDaemon,
	"status": asksDaemon, "save": asksDaemon, "kubeconfig": asksDaemon,
	"doctor": looksAround, "image": looksAround, "bundle": looksAround,
}

// ownReason is why a command of netdojo's is not run; "" where it is.
func ownReason(words []string) string {
	if len(words) == 0 || base(words[0]) != "netdojo" {
		return ""
	}
	if len(words) == 1 || strings.HasPrefix(words[1], "-") && words[1] != "--help" && words[1] != "--version" {
		return ownCommands[""]
	}
	if len(words) > 2 {
		if why, ok := ownCommands[words[1]+" "+words[2]]; ok {
			return why
		}
	}
	return ownCommands[words[1]]
}
