package explain

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Write draws the matrix as a table: a row for each source, a column for each
// destination, named by numbers that are explained above it.
func (m *Matrix) Write(w io.Writer) error {
	var b strings.Builder
	for i, name := range m.To {
		fmt.Fprintf(&b, "%3d  %s\n", i+1, name)
	}
	b.WriteByte('\n')
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprint(t, "FROM \\ TO")
	for i := range m.To {
		fmt.Fprintf(t, "\t%d", i+1)
	}
	fmt.Fprintln(t)
	for _, from := range m.From {
		fmt.Fprint(t, from)
		for _, to := range m.To {
			fmt.Fprint(t, "\t", m.word(from, to))
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteString("\nyes: every port; no: none; otherwise the ports that are allowed\n")
	for _, n := range m.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// word says what of a pair is allowed.
func (m *Matrix) word(from, to string) string {
	var allowed []string
	all := 0
	for _, c := range m.Cells {
		if c.From != from || c.To != to {
			continue
		}
		all++
		if c.Outcome == Allowed {
			allowed = append(allowed, fmt.Sprintf("%d/%s", c.Port, c.Protocol))
		}
	}
	switch {
	case all == 0:
		return "-"
	case len(allowed) == 0:
		return "no"
	case len(allowed) == all:
		return "yes"
	}
	return strings.Join(allowed, ",")
}
