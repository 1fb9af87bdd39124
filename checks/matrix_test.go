package checks

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const matrixYAML = `
id: reach
title: Who reaches whom
matrix:
  from:
    - {name: frontend, app: frontend}
    - {name: other, namespace: elsewhere, labels: {role: other}}
  to:
    - {name: web, to: "http://web:8080/", status: 200}
    - {name: db, to: "db:5432", probe: {tcp: {}}}
  before: allowed
  after:
    frontend: {web: allowed, db: denied}
    other: {web: denied, db: "-"}
`

func readCheck(t *testing.T, text string) Check {
	t.Helper()
	var c Check
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMatrixCells(t *testing.T) {
	c := readCheck(t, matrixYAML)
	if problems := c.Problems(); len(problems) > 0 {
		t.Fatalf("problems: %+v", problems)
	}
	c.From.Namespace = "shop"
	var got []string
	for _, cell := range c.Cells() {
		if problems := cell.Problems(); len(problems) > 0 || cell.Cell.Matrix != "reach" || cell.Title == "" {
			t.Errorf("cell %+v: %+v", cell, problems)
		}
		got = append(got, strings.Join([]string{cell.ID, cell.From.String(), cell.CommandLine()[0], cell.Target(), string(cell.Before), string(cell.After)}, " "))
	}
	want := []string{
		"reach.frontend.web shop/app=frontend curl http://web:8080/ allowed allowed",
		"reach.frontend.db shop/app=frontend nc db:5432 allowed denied",
		"reach.other.web elsewhere/role=other curl http://web:8080/ allowed denied",
		"reach.other.db elsewhere/role=other nc db:5432 allowed ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if cells := c.Cells(); cells[0].Status != 200 || cells[1].Status != 0 {
		t.Errorf("status is %d and %d", cells[0].Status, cells[1].Status)
	}
	plain := Check{ID: "x"}
	if cells := plain.Cells(); len(cells) != 1 || cells[0].ID != "x" {
		t.Errorf("a check that is no matrix has the cells %+v", cells)
	}
}

func TestMatrixProblems(t *testing.T) {
	for name, edit := range map[string]struct{ old, new, path, message string }{
		"a row twice":              {"name: other", "name: frontend", "matrix from 1 name", `row "frontend" comes twice`},
		"a column twice":           {"name: db", "name: web", "matrix to 1 name", `column "web" comes twice`},
		"a row without pod":        {", app: frontend", "", "matrix from 0", "selects no pod"},
		"no such row":              {"    other: {web", "    others: {web", "matrix after others", `there is no row "others"`},
		"no such column":           {"db: denied", "dp: denied", "matrix after frontend dp", `there is no column "dp"`},
		"a cell is missing":        {", db: denied", "", "matrix after", "has no cell for frontend to db"},
		"a column's destination":   {"db:5432", "db", "matrix to 1 to", "is not HOST:PORT"},
		"a deny without control":   {"  before: allowed\n", "", "matrix after", "denied without a control"},
		"what a probe never is":    {"db: denied", "db: denied-l7", "matrix to 1", "cannot be denied-l7"},
		"a claim":                  {"probe: {tcp: {}}", "probe: {kubectl: {get: pod/x}}", "matrix to 1", "is no connection"},
		"something beside it":      {"title: Who", "to: web:80\ntitle: Who", "to", "stands beside a matrix"},
		"nothing that is expected": {"  before: allowed\n  after:\n    frontend: {web: allowed, db: denied}\n    other: {web: denied, db: \"-\"}\n", "", "matrix", "expects nothing"},
	} {
		if !strings.Contains(matrixYAML, edit.old) {
			t.Fatalf("%s: %q is not in the matrix", name, edit.old)
		}
		c := readCheck(t, strings.Replace(matrixYAML, edit.old, edit.new, 1))
		if !slices.ContainsFunc(c.Problems(), func(p Problem) bool {
			return strings.Join(p.Path, " ") == edit.path && strings.Contains(p.Message, edit.message) && p.Cure != ""
		}) {
			t.Errorf("%s: problems are %+v", name, c.Problems())
		}
	}
}
