package page

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// elision is a line by which a page leaves lines out.
var elision = regexp.MustCompile(`^\s*[\[(<]?\s*(?:\.{3,}|…)\s*(?:\w+\s*)*[\])>]?\s*(?:\.{3}|…)?\s*$`)

// progress is a line that is shown only while something is awaited.
var progress = regexp.MustCompile(`^Waiting for .*(?:rollout|spec update|condition|to be running, status is)|^If you don't see a command prompt`)

// Missing is a line that a page promises and that was not shown.
type Missing struct {
	Offset  int    // of the line in the claim's
	Want    string // the line
	Nearest string // the shown line that is most like it; "" where none is
	Why     string // what differs, in a few words
}

// Compare looks for the lines that a claim wants in what was shown, in their order.
// What changes from run to run is passed over: ages, addresses, hashes in names, times.
// Of tables the columns that the page has are compared; others may be there. It
// returns nil when all are there.
func Compare(want []string, shown string) *Missing {
	got := nonEmpty(shown)
	if m, ok := compareTables(want, got); ok {
		return m
	}
	at := 0
	for i, w := range want {
		if elision.MatchString(w) || progress.MatchString(w) {
			continue
		}
		found := slices.IndexFunc(got[at:], func(g string) bool { return sameLine(w, g) })
		if found < 0 {
			if slices.ContainsFunc(got[:at], func(g string) bool { return sameLine(w, g) }) {
				return &Missing{Offset: i, Want: w, Why: "it is shown, but earlier than the page says"}
			}
			return &Missing{Offset: i, Want: w, Nearest: nearest(w, got), Why: "no line that is shown is like it"}
		}
		at += found + 1
	}
	return nil
}

// row is a table's row by the heads of its columns.
type row map[string]string

// compareTables compares what kubectl get prints, one table or several; ok is false
// where the page shows none at its first line.
func compareTables(want, got []string) (m *Missing, ok bool) {
	if len(want) < 2 || !tableHead.MatchString(want[0]) {
		return nil, false
	}
	shown := tables(got)
	at := 0
	for _, w := range tables(want) {
		var best *Missing
		for _, g := range shown {
			m := compareTable(w, g)
			if m == nil {
				best = nil
				break
			}
			if best == nil || m.Offset > best.Offset {
				best = m
			}
		}
		switch {
		case len(shown) == 0:
			return &Missing{Offset: at, Want: w[0], Nearest: nearest(w[0], got), Why: "no table is shown"}, true
		case best != nil:
			best.Offset += at
			return best, true
		}
		at += len(w)
	}
	return nil, true
}

// tables cuts lines before each head of a table. Lines before the first are left out.
func tables(lines []string) [][]string {
	var all [][]string
	for _, l := range lines {
		if tableHead.MatchString(l) {
			all = append(all, nil)
		}
		if len(all) > 0 {
			all[len(all)-1] = append(all[len(all)-1], l)
		}
	}
	return all
}

// compareTable compares a table with one that is shown.
func compareTable(want, got []string) *Missing {
	wantHead, wantRows := table(want)
	gotHead, gotRows := table(got)
	for _, h := range wantHead {
		if !slices.Contains(gotHead, h) {
			return &Missing{Want: want[0], Nearest: got[0], Why: "no column is called " + h}
		}
	}
	for i, w := range wantRows {
		if w == nil {
			continue
		}
		differs, like, same := "the table has no rows", "", false
		for j, g := range gotRows {
			bad := difference(wantHead, w, g)
			if same = bad == ""; same {
				break
			}
			if like == "" || sameCell(wantHead[0], w[wantHead[0]], g[wantHead[0]]) {
				differs, like = bad, got[1+j]
			}
		}
		if !same {
			return &Missing{Offset: i + 1, Want: want[i+1], Nearest: like, Why: differs}
		}
	}
	return nil
}

// difference is the first column in which two rows differ, in words; "" for none.
func difference(head []string, want, got row) string {
	for _, h := range head {
		if !sameCell(h, want[h], got[h]) {
			return fmt.Sprintf("%s is %q and not %q", h, got[h], want[h])
		}
	}
	return ""
}

var columnGap = regexp.MustCompile(`\s{2,}|\t`)

// table reads rows by the places of their columns' heads. Elisions are nil.
func table(lines []string) (head []string, rows []row) {
	var starts []int
	at := 0
	for _, h := range columnGap.Split(strings.TrimSpace(lines[0]), -1) {
		i := strings.Index(lines[0][at:], h) + at
		starts, head, at = append(starts, i), append(head, h), i+len(h)
	}
	for _, l := range lines[1:] {
		if elision.MatchString(l) {
			rows = append(rows, nil)
			continue
		}
		r := row{}
		cells := columnGap.Split(strings.TrimSpace(l), -1)
		for i, h := range head {
			if len(cells) == len(head) {
				r[h] = cells[i]
				continue
			}
			from, to := min(starts[i], len(l)), len(l)
			if i+1 < len(starts) {
				to = min(starts[i+1], len(l))
			}
			r[h] = strings.TrimSpace(l[from:to])
		}
		rows = append(rows, r)
	}
	return head, rows
}

// volatileColumns change from run to run.
var volatileColumns = []string{
	"AGE", "IP", "NODE", "CLUSTER-IP", "EXTERNAL-IP", "INTERNAL-IP", "RESTARTS", "NOMINATED NODE", "READINESS GATES", "PORT(S)",
	"ENDPOINT", "IDENTITY", "ENDPOINT ID", "SECURITY IDENTITY", "IDENTITY ID", "LAST SEEN", "VERSION", "OS-IMAGE", "KERNEL-VERSION", "CONTAINER-RUNTIME",
	"IPV4", "IPV6", "INTERNALIP", "CILIUMINTERNALIP", "ENDPOINTS",
}

func sameCell(head, want, got string) bool {
	if head == "NAME" { // kubectl has written the kind before it, or not
		want, got = kindBefore.ReplaceAllString(want, ""), kindBefore.ReplaceAllString(got, "")
	}
	return slices.Contains(volatileColumns, head) || sameLine(want, got)
}

var kindBefore = regexp.MustCompile(`^[a-z.]+/`)

// volatile are tokens that change from run to run, each with what stands for it.
var volatile = []struct {
	re *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?`), "‹time›"},
	{regexp.MustCompile(`\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d.*GMT`), "‹time›"},
	{regexp.MustCompile(`\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2} \d\d:\d\d:\d\d(?:\.\d+)?`), "‹time›"},
	{regexp.MustCompile(`:\d{4,5} \(ID:\d+\)`), ":‹port› (ID:‹id›)"}, // of Hubble's lines
	{regexp.MustCompile(`\(ID:\d+\)`), "(ID:‹id›)"},
	{regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}(?:/\d+)?(?::\d+)?`), "‹address›"},
	{regexp.MustCompile(`\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b`), "‹id›"},
	{regexp.MustCompile(`\b(?:sha256:)?[0-9a-f]{12,64}\b`), "‹id›"},
	// A ReplicaSet's hash and a pod's suffix (Kubernetes' rand.String has no vowels).
	{regexp.MustCompile(`-[bcdf0-9]?[bcdfghjklmnpqrstvwxz0-9]{6,10}-[bcdfghjklmnpqrstvwxz0-9]{5}\b`), "-‹hash›"},
	{regexp.MustCompile(`-[a-z0-9]{8,10}-[a-z0-9]{5}\b`), "-‹hash›"},
	{regexp.MustCompile(`\b\d+ (?:milliseconds|seconds|ms|bytes)\b`), "‹number›"},
	{regexp.MustCompile(`\b(?:\d+d)?(?:\d+h)?(?:\d+m)?\d+(?:ms|s|m|h|d)\b`), "‹age›"},
	{regexp.MustCompile(`\bv\d+\.\d+\.\d+\S*`), "‹version›"},
}

// suffix is what may be the end that Kubernetes gives a name.
var suffix = regexp.MustCompile(`-([a-z0-9]{5})\b`)

// Generated says whether five characters are the end that Kubernetes gives to names:
// of its alphabet, which has no vowels (rand.String of k8s.io/apimachinery), or, as it
// was once, with digits.
func Generated(end string) bool {
	return len(end) == 5 && (strings.Trim(end, "bcdfghjklmnpqrstvwxz2456789") == "" || strings.ContainsAny(end, "0123456789"))
}

func normal(line string) string {
	for _, v := range volatile {
		line = v.re.ReplaceAllString(line, v.as)
	}
	line = suffix.ReplaceAllStringFunc(line, func(end string) string {
		if Generated(end[1:]) {
			return "-‹hash›"
		}
		return end
	})
	return strings.Join(strings.Fields(line), " ")
}

// sameLine says whether two lines say the same, what changes aside. A line of the page
// may leave its end out.
func sameLine(want, got string) bool {
	w, g := normal(want), normal(got)
	if w == g {
		return true
	}
	for _, dots := range []string{"...", "…"} {
		if before, ok := strings.CutSuffix(w, dots); ok && strings.TrimSpace(before) != "" {
			return strings.HasPrefix(g, strings.TrimSpace(before))
		}
	}
	return outdated(w, g)
}

// outdated is the same said by another version of kubectl: "created" and "configured"
// of an object that was there, and an API group in front of its name.
func outdated(w, g string) bool {
	m, n := applied.FindStringSubmatch(w), applied.FindStringSubmatch(g)
	if m == nil || n == nil {
		return false
	}
	kind := func(s string) string { k, _, _ := strings.Cut(s, "."); return k }
	put := []string{"created", "configured", "unchanged"}
	same := m[3] == n[3] || slices.Contains(put, m[3]) && slices.Contains(put, n[3])
	return kind(m[1]) == kind(n[1]) && m[2] == n[2] && same
}

var applied = regexp.MustCompile(`^([\w.-]+)[/ ]"?([\w.:-]+)"? (created|configured|unchanged|deleted|patched|labeled|exposed|scaled)\b`)

// nearest is the shown line that shares most words with a wanted one.
func nearest(want string, got []string) string {
	best, most := "", 0
	words := strings.Fields(normal(want))
	for _, g := range got {
		n := 0
		have := strings.Fields(normal(g))
		for _, w := range words {
			if slices.Contains(have, w) {
				n++
			}
		}
		if n > most {
			best, most = g, n
		}
	}
	return best
}
