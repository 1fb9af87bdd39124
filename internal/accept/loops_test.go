package accept

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Every loop of ours that accepts does so by Steady.
func TestLoops(t *testing.T) {
	loops := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "bin") && path != "../.." {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil || f.Name.Name == "Accept" { // a listener's own, which its loop makes steady
				continue
			}
			for _, at := range loopsThatAccept(f.Body) {
				loops++
				if !calls(f.Body, "accept", "Steady") {
					t.Errorf("%s accepts in a loop without accept.Steady: want of descriptors ends it, or it spins", fset.Position(at))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if loops < 10 {
		t.Errorf("only %d loops were found: the test looks at the wrong place", loops)
	}
}

func loopsThatAccept(body *ast.BlockStmt) (at []token.Pos) {
	ast.Inspect(body, func(n ast.Node) bool {
		if loop, ok := n.(*ast.ForStmt); ok && calls(loop.Body, "", "Accept") {
			at = append(at, loop.Pos())
			return false
		}
		return true
	})
	return at
}

// calls says whether x.name is called below n; an empty x is any.
func calls(n ast.Node, x, name string) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != name {
			return true
		}
		id, ok := sel.X.(*ast.Ident)
		found = found || x == "" && len(call.Args) == 0 || ok && id.Name == x
		return true
	})
	return found
}
