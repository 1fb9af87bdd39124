package tui

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/tui/keys"
)

// drawing are the methods that draw, or say something for those that do.
var drawing = []string{
	"View", "Lines", "Whole", "Title", "Off", "Foot", "Cursor", "CopyText", "NoRun", "Job", "Dir",
	"view", "lines", "title", "off", "foot", "header", "status", "footer", "footItems", "helpLines", "draw", "strip",
	"head", "list", "row", "about", "text", "at", "shown", "cursor", "places",
}

// TestDrawingChangesNothing: no method that draws assigns to what it draws. A
// method that it calls may not either, which its name has to be listed for; what
// escapes that, TestDrawnTwice sees.
func TestDrawingChangesNothing(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		// Programs in terminals of their own are no part of the screens' state.
		if strings.HasPrefix(path, "shell"+string(filepath.Separator)) || strings.HasPrefix(path, "linear") || strings.HasPrefix(path, "queue") {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Body == nil || !slices.Contains(drawing, f.Name.Name) || len(f.Recv.List[0].Names) == 0 {
				continue
			}
			seen++
			self := f.Recv.List[0].Names[0].Name
			for _, at := range assigned(f.Body, self) {
				t.Errorf("%s: %s draws and changes %s", set.Position(at), f.Name.Name, self)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 40 {
		t.Errorf("%d drawing methods were seen, want all of the screens", seen)
	}
}

// assigned are the places where a body writes to something reached from a name.
func assigned(body ast.Node, name string) []token.Pos {
	var found []token.Pos
	note := func(e ast.Expr) {
		deep := false
		for {
			switch x := e.(type) {
			case *ast.SelectorExpr:
				e, deep = x.X, true
				continue
			case *ast.IndexExpr:
				e, deep = x.X, true
				continue
			case *ast.StarExpr:
				e, deep = x.X, true
				continue
			case *ast.ParenExpr:
				e = x.X
				continue
			case *ast.Ident:
				if deep && x.Name == name {
					found = append(found, x.Pos())
				}
			}
			return
		}
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false // it happens later, in the update loop
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				note(e)
			}
		case *ast.IncDecStmt:
			note(n.X)
		}
		return true
	})
	return found
}

// TestDrawnTwice: a screen that is drawn once more is the same, in any place and
// however small, and so is the one after the next key.
func TestDrawnTwice(t *testing.T) {
	f := newFake()
	f.noShell = errors.New("there is no shell here") // its output would come between
	for _, size := range []struct{ w, h int }{{120, 40}, {80, 24}, {60, 20}} {
		once, often := entered(t, f, Options{}, size.w, size.h), entered(t, f, Options{}, size.w, size.h)
		for _, d := range []*driver{once, often} {
			d.until("no shell, and what is said of the files", func() bool { return d.shellFailed() && d.m.lab.lesson.Saved != nil })
		}
		for _, b := range bindings.In(keys.Lab, keys.Everywhere) {
			for range 3 {
				often.m.View()
			}
			switch b.ID {
			case keys.Quit, keys.Back, keys.Check, keys.Baseline, keys.Reset, keys.ResetLab, keys.Suspend, keys.Tasks, keys.Palette, keys.Solve:
				continue
			}
			for _, d := range []*driver{once, often} {
				d.m.Update(press(b.Keys[0]))
			}
			if a, b2 := once.text(), often.text(); a != b2 {
				t.Fatalf("%dx%d, after %s, drawn once:\n%s\nand often:\n%s", size.w, size.h, b.Keys[0], a, b2)
			}
		}
	}
}
