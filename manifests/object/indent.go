package object

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// row is a line of a text with what its place in the text's blocks depends on.
type row struct {
	number  int // from 1
	column  int // from 0
	item    bool
	opens   bool // a block may follow below it
	scalar  bool // a text of several lines follows below it
	content string
}

// maxRows bounds a text whose indentation is looked at: the time grows with the
// square of its lines.
const maxRows = 400

// keepBlock is the cure where no one line makes a whole of the text.
const keepBlock = "indent it as the other lines of its block"

// misplaced finds the line that breaks the indentation of a text that is not YAML:
// the parser names the block that it was in, which may begin far above. It is the
// line that makes a whole of the text when it is moved. It knows YAML as policies are
// written, and finds nothing where a text has more of it. Twice says that a key is
// there twice, which is mostly no matter of its own indentation.
func misplaced(text []byte, twice bool) (line int, advice string, found bool) {
	rows, ok := rowsOf(text)
	if !ok {
		return 0, "", false
	}
	bad, _ := broken(rows)
	if bad < 0 {
		return 0, "", false
	}
	best, least := -1, 1<<30
	try := func(i int, changed row, distance int, cure string) {
		was := rows[i]
		rows[i] = changed
		at, irregular := broken(rows)
		rows[i] = was
		// Of several ways, the one that leaves the text the most regular is the
		// likeliest, then the nearest to where it broke.
		// A key that is there twice begins an entry of its own, where it is in a list's.
		begins := i == bad && changed.item && !was.item
		if twice && !begins && (irregular > 0 || i == bad && changed.column < was.column) {
			return
		}
		if cost := 10000*irregular + 4*max(i-bad, bad-i) + distance; at < 0 && cost < least {
			best, least, advice = i, cost, cure
		}
	}
	for i, r := range rows {
		for _, by := range []int{-2, -1, 1, 2} {
			moved := r
			if moved.column += by; moved.column >= 0 {
				try(i, moved, max(by, -by), fmt.Sprintf("indent it by %d, not by %d", moved.column, r.column))
			}
		}
		if !r.item && r.column >= 2 {
			item := r
			item.column, item.item, item.content = r.column-2, true, "- "+r.content
			try(i, item, 3, "start it with \"- \", as an entry of a list")
		}
	}
	if best >= 0 {
		return rows[best].number, advice, true
	}
	return rows[bad].number, keepBlock, true
}

func rowsOf(text []byte) ([]row, bool) {
	var rows []row
	scalar := -1 // the column of a text of several lines, until it ends
	for i, raw := range bytes.Split(text, []byte("\n")) {
		content := strings.TrimRight(string(raw), " \r")
		trimmed := strings.TrimLeft(content, " ")
		r := row{
			number: i + 1, column: len(content) - len(trimmed), content: trimmed,
			item: trimmed == "-" || strings.HasPrefix(trimmed, "- "), opens: strings.HasSuffix(trimmed, ":") || trimmed == "-",
			scalar: blockScalar.MatchString(trimmed),
		}
		if trimmed == "" || strings.HasPrefix(trimmed, "#") || scalar >= 0 && r.column > scalar {
			continue
		}
		if scalar = -1; r.scalar {
			scalar = r.column
		}
		if !endsOnLine(trimmed) || len(rows) == maxRows {
			return nil, false
		}
		rows = append(rows, r)
	}
	return rows, true
}

var (
	entryLine   = regexp.MustCompile(`^[^\s"'#{[][^"'#{[]*:(\s|$)|^"[^"]*":(\s|$)`)
	blockScalar = regexp.MustCompile(`:\s+[|>][-+0-9]*$`)
)

// endsOnLine says whether a line is a key, an item or a value that ends on it.
func endsOnLine(line string) bool {
	return strings.Count(line, `"`)%2 == 0 && strings.Count(line, "{") == strings.Count(line, "}") &&
		strings.Count(line, "[") == strings.Count(line, "]") && !strings.Contains(line, "\t")
}

// block is a mapping or a list, whose entries are in one column.
type block struct {
	column int
	list   bool
	keys   map[string]bool // of a mapping
}

// has notes a key of a mapping, and says whether it was there already.
func (b *block) has(content string) bool {
	key, _, isKey := strings.Cut(content+" ", ": ")
	if !isKey {
		return false
	}
	if b.keys == nil {
		b.keys = map[string]bool{}
	}
	twice := b.keys[key]
	b.keys[key] = true
	return twice
}

// broken is the index of the first row that belongs to no block, or whose key its
// block has already; -1 when there is none.
// Irregular is how many blocks are indented otherwise than most of their kind.
func broken(rows []row) (at, irregular int) {
	var stack []block
	steps := map[bool]map[int]int{true: {}, false: {}} // of lists and mappings, how often each
	open := true                                       // the row before may have a block below it
	for i, r := range rows {
		popped := false
		for len(stack) > 0 {
			top := stack[len(stack)-1]
			if top.column < r.column || top.column == r.column && (top.list == r.item || !top.list) {
				break
			}
			stack, popped = stack[:len(stack)-1], true
		}
		var top block
		if len(stack) > 0 {
			top = stack[len(stack)-1]
		}
		switch {
		case len(stack) > 0 && top.column == r.column && top.list == r.item:
		case open && !popped && (len(stack) == 0 || top.column < r.column || r.item && top.column == r.column):
			if len(stack) > 0 {
				steps[r.item][r.column-top.column]++
			}
			stack = append(stack, block{column: r.column, list: r.item})
		default:
			return i, 0
		}
		if !r.item && stack[len(stack)-1].has(r.content) {
			return i, 0
		}
		column := r.column
		for rest := r.content; strings.HasPrefix(rest, "- "); {
			inner := strings.TrimLeft(rest[2:], " ")
			column += len(rest) - len(inner)
			rest = inner
			list := strings.HasPrefix(rest, "- ")
			if list || entryLine.MatchString(rest) {
				inner := block{column: column, list: list}
				inner.has(rest)
				stack = append(stack, inner)
			}
		}
		open = r.opens
	}
	for _, counts := range steps {
		all, most := 0, 0
		for _, n := range counts {
			all, most = all+n, max(most, n)
		}
		irregular += all - most
	}
	return -1, irregular
}
