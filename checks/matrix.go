package checks

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Matrix declares many checks at once: each of its sources with each of its
// destinations. Every cell is a check of its own, with its own evidence.
type Matrix struct {
	// The sources, a row each.
	From []Row `yaml:"from" jsonschema:"required,minItems=1"`
	// The destinations, a column each.
	To []Column `yaml:"to" jsonschema:"required,minItems=1"`
	// What is expected before the policy: one word for all cells, or a table of rows and columns; not checked when absent.
	Before Table `yaml:"before"`
	// What is expected after the policy: one word for all cells, or a table of rows and columns; not checked when absent.
	After Table `yaml:"after"`
}

// MatrixExample is a list of checks in YAML.
const MatrixExample = `
- id: reach
  title: Who reaches whom
  matrix:
    from:
      - {name: frontend, app: frontend}
      - {name: other, app: other}
    to:
      - {name: backend, to: "http://backend:8080/public", status: 200}
      - {name: database, to: "database:5432", probe: {tcp: {}}}
    before: allowed
    after:
      frontend: {backend: allowed, database: denied}
      other: {backend: denied, database: "-"}
`

// Row is a source of a matrix.
type Row struct {
	// What the row is called in the tables.
	Name string `yaml:"name" jsonschema:"required,pattern=^[a-z0-9]([a-z0-9-]{0\\,61}[a-z0-9])?$"`
	From `yaml:",inline"`
}

// Column is a destination of a matrix.
type Column struct {
	// What the column is called in the tables.
	Name string `yaml:"name" jsonschema:"required,pattern=^[a-z0-9]([a-z0-9-]{0\\,61}[a-z0-9])?$"`
	// What is dialled, in the form that the probe takes.
	To string `yaml:"to" jsonschema:"minLength=1"`
	// How it is probed; curl when absent.
	Probe Spec `yaml:"probe"`
	// The HTTP status of an allowed probe.
	Status int `yaml:"status" jsonschema:"minimum=100,maximum=599"`
}

// Table says what is expected of each cell.
type Table struct {
	All   Expect                       // of every cell, where there is no table
	Cells map[string]map[string]Expect // by row and column; "-" for a cell that is not checked
}

// NotChecked stands in a table for a cell that does not matter.
const NotChecked Expect = "-"

// UnmarshalYAML implements yaml.Unmarshaler.
func (t *Table) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return n.Decode(&t.All)
	}
	return n.Decode(&t.Cells)
}

// IsZero says whether nothing is expected.
func (t Table) IsZero() bool { return t.All == "" && t.Cells == nil }

// of is what is expected of a cell, "" for nothing.
func (t Table) of(row, column string) Expect {
	e := t.All
	if t.Cells != nil {
		e = t.Cells[row][column]
	}
	if e == NotChecked {
		return ""
	}
	return e
}

// Cell is a check's place in a matrix.
type Cell struct{ Matrix, Row, Column string }

// Cells are the checks of a check that is a matrix, row by row; any other is its
// only cell. Cells that nothing is expected of are left out.
func (c Check) Cells() []Check {
	if c.Matrix == nil {
		return []Check{c}
	}
	var cells []Check
	for _, row := range c.Matrix.From {
		for _, column := range c.Matrix.To {
			if cell := c.cell(row, column); cell.Before != "" || cell.After != "" {
				cells = append(cells, cell)
			}
		}
	}
	return cells
}

func (c Check) cell(row Row, column Column) Check {
	title := row.Name + " to " + column.Name
	if c.Title != "" {
		title = strings.TrimSpace(c.Title) + ": " + title
	}
	cell := Check{
		ID: c.ID + "." + row.Name + "." + column.Name, Title: title, From: row.From, To: column.To, Probe: column.Probe,
		Before: c.Matrix.Before.of(row.Name, column.Name), After: c.Matrix.After.of(row.Name, column.Name),
		Timeout: c.Timeout, Cell: &Cell{Matrix: c.ID, Row: row.Name, Column: column.Name},
	}
	if cell.Before == ExpectAllowed || cell.After == ExpectAllowed {
		cell.Status = column.Status
	}
	if cell.From.Namespace == "" {
		cell.From.Namespace = c.From.Namespace
	}
	return cell
}

// problems are those of the matrix as a whole; those of its cells' probes are
// told at their columns.
func (m Matrix) problems() []Problem {
	var problems []Problem
	add := func(path, message, cure string) {
		problems = append(problems, Problem{Path: strings.Split(strings.TrimSuffix("matrix/"+path, "/"), "/"), Message: message, Cure: cure})
	}
	var rows, columns []string
	for i, r := range m.From {
		if slices.Contains(rows, r.Name) {
			add(fmt.Sprintf("from/%d/name", i), fmt.Sprintf("row %q comes twice", r.Name), "give every row its own name")
		}
		rows = append(rows, r.Name)
		if r.Selector() == "" {
			add(fmt.Sprintf("from/%d", i), "selects no pod", "name the pod's app or labels")
		}
	}
	for i, c := range m.To {
		if slices.Contains(columns, c.Name) {
			add(fmt.Sprintf("to/%d/name", i), fmt.Sprintf("column %q comes twice", c.Name), "give every column its own name")
		}
		columns = append(columns, c.Name)
		check := Check{To: c.To, Probe: c.Probe}
		for _, p := range check.Problems() {
			add(fmt.Sprintf("to/%d/%s", i, strings.Join(p.Path, "/")), p.Message, p.Cure)
		}
		if !check.InPod() || check.claims() {
			add(fmt.Sprintf("to/%d", i), "is no connection", "a matrix says who reaches whom; make it a check of its own")
		}
	}
	if m.Before.IsZero() && m.After.IsZero() {
		add("", "expects nothing", "add before, after or both")
	}
	tables := []struct {
		name  string
		table Table
	}{{"before", m.Before}, {"after", m.After}}
	for _, t := range tables {
		if t.table.Cells == nil {
			continue
		}
		for row, cells := range t.table.Cells {
			if !slices.Contains(rows, row) {
				add(t.name+"/"+row, fmt.Sprintf("there is no row %q", row), "rows: "+strings.Join(rows, ", "))
			}
			for column := range cells {
				if !slices.Contains(columns, column) {
					add(t.name+"/"+row+"/"+column, fmt.Sprintf("there is no column %q", column), "columns: "+strings.Join(columns, ", "))
				}
			}
		}
		for _, row := range rows {
			for _, column := range columns {
				if t.table.Cells[row][column] == "" {
					add(t.name, fmt.Sprintf("has no cell for %s to %s", row, column), `write what is expected, or "-" where it does not matter`)
				}
			}
		}
	}
	for _, row := range m.From {
		for i, column := range m.To {
			before, after := m.Before.of(row.Name, column.Name), m.After.of(row.Name, column.Name)
			if p := unproven(before, after); p != "" {
				add("after", fmt.Sprintf("%s to %s %s", row.Name, column.Name, p), "expect it to be allowed before, so that the deny proves the policy")
			}
			for _, e := range []Expect{before, after} {
				if known := (Check{To: column.To, Probe: column.Probe}).Expects(); e != "" && !slices.Contains(known, e) {
					add(fmt.Sprintf("to/%d", i), fmt.Sprintf("its probe cannot be %s", e), expectCure(known))
				}
			}
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return slices.Compare(a.Path, b.Path) })
	return problems
}

// unproven says why an expectation after the policy proves nothing; "" when it
// does.
func unproven(before, after Expect) string {
	if (after == ExpectDenied || after == ExpectDeniedL7) && before == "" {
		return "is denied without a control"
	}
	return ""
}

func expectCure(known []Expect) string {
	words := make([]string, len(known))
	for i, e := range known {
		words[i] = string(e)
	}
	return "it can be " + strings.Join(words, ", ")
}

// matrixProblems are those of a check that is a matrix.
func (c Check) matrixProblems() []Problem {
	problems := c.Matrix.problems()
	other := []struct {
		field string
		set   bool
	}{
		{"from", c.From.Selector() != ""},
		{"to", c.To != ""},
		{"probe", c.Probe.Probe != nil},
		{"before", c.Before != ""},
		{"after", c.After != ""},
		{"status", c.Status != 0},
	}
	for _, o := range other {
		if o.set {
			problems = append(problems, Problem{Path: []string{o.field}, Message: "stands beside a matrix", Cure: "write it in the matrix, or remove one of the two"})
		}
	}
	return problems
}
