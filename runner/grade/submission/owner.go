package submission

import (
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// named is what the name of a file or folder says.
type named struct {
	key, name string
	attempt   int
	at        time.Time
	late      bool
	file      string // the file's own name; "" for a folder
	exported  bool   // the name has the form of a platform's export
}

// Names of platforms' exports. Moodle writes its own in mod/assign/locallib.php,
// Canvas in app/models/content_zipper.rb, Blackboard in its manual on downloading
// assignments.
var (
	moodle     = regexp.MustCompile(`^(.*)_(\d+)_assignsubmission_(?:file|onlinetext)(?:_(.*))?$`)
	canvas     = regexp.MustCompile(`^([^_]+)(_LATE)?_(\d+)_(\d+)_(.+)$`)
	blackboard = regexp.MustCompile(`^.*_([^_]+)_attempt_(\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d)(?:_(.+)|(\.[^.]+))?$`)
	// again is what Canvas adds to a file that is handed in again.
	again = regexp.MustCompile(`^(.+)-(\d{1,3})$`)
	// attempted is for folders that a person made: KEY-attempt-2.
	attempted = regexp.MustCompile(`(?i)^(.+?)[ _.-]+attempt[ _.-]*(\d{1,6})$`)
)

// owner reads the name of what lies at the top of an export.
func owner(entry string, dir bool) named {
	if m := moodle.FindStringSubmatch(entry); m != nil {
		n := named{key: m[2], name: strings.TrimSpace(m[1]), exported: true}
		if !dir {
			n.file = m[3]
			if n.file == "" {
				n.file = "file" + path.Ext(entry)
			}
		}
		return n
	}
	if m := blackboard.FindStringSubmatch(entry); m != nil {
		n := named{key: m[1], file: m[3] + m[4], exported: true}
		if m[4] != "" {
			n.file = "file" + m[4]
		}
		n.at, _ = time.ParseInLocation("2006-01-02-15-04-05", m[2], time.Local)
		return n
	}
	if m := canvas.FindStringSubmatch(entry); m != nil && !dir {
		n := named{key: m[3], late: m[2] != "", file: m[5], exported: true}
		ext := extension(n.file)
		if a := again.FindStringSubmatch(strings.TrimSuffix(n.file, ext)); a != nil {
			n.attempt, _ = strconv.Atoi(a[2])
		}
		return n
	}
	stem := entry
	n := named{}
	if !dir {
		stem, n.file = strings.TrimSuffix(entry, extension(entry)), entry
	}
	if m := attempted.FindStringSubmatch(stem); m != nil {
		stem = m[1]
		n.attempt, _ = strconv.Atoi(m[2])
	}
	n.key = strings.TrimSpace(stem)
	if n.key == "" {
		n.key = entry
	}
	return n
}

// extension is what ends a name, .tar.gz as a whole.
func extension(name string) string {
	if strings.HasSuffix(strings.ToLower(name), ".tar.gz") {
		return name[len(name)-len(".tar.gz"):]
	}
	return path.Ext(name)
}
