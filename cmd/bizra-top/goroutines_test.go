package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// supervisedApart are packages whose goroutines are not a node's: the screen, what puts
// load on a node or measures it, and the chain of the demo.
var supervisedApart = []string{"node/supervise/", "node/bench/", "node/devchain/", "node/smalldisk/", "probes/load/", "probes/promises/", "tui/", "cmd/faults/"}

// bare are goroutines with a reason to be started without node/supervise.
var bare = map[string]string{
	"node/cache/flight.go":       "a load calls supervise.Call itself, and ends its flight with what came of it",
	"node/handover/successor.go": "it waits for another process and does nothing else",
}

// A panic in a goroutine ends the process, unless it was started by node/supervise: nobody
// starts one otherwise.
func TestGoroutinesAreSupervised(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, "../../"))
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != "../.." {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		for _, apart := range supervisedApart {
			if strings.HasPrefix(name, apart) {
				return nil
			}
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		seen++
		ast.Inspect(file, func(n ast.Node) bool {
			started := false
			switch n := n.(type) {
			case *ast.GoStmt:
				started = true
			case *ast.CallExpr: // wg.Go(func() { … }) with one argument, of a WaitGroup or an errgroup
				f, ok := n.Fun.(*ast.SelectorExpr)
				started = ok && f.Sel.Name == "Go" && len(n.Args) == 1 && !supervisedGroup(file, f)
			}
			if started && bare[name] == "" {
				t.Errorf("%s: a goroutine that node/supervise does not start", files.Position(n.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 100 {
		t.Errorf("only %d files were looked at", seen)
	}
}

// supervisedGroup says whether a file has no other groups than supervise.Group: it then
// uses neither sync.WaitGroup nor errgroup.
func supervisedGroup(file *ast.File, f *ast.SelectorExpr) bool {
	group, other := false, false
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := s.X.(*ast.Ident)
		if ok {
			group = group || pkg.Name == "supervise" && s.Sel.Name == "Group"
			other = other || pkg.Name == "sync" && s.Sel.Name == "WaitGroup" || pkg.Name == "errgroup"
		}
		return true
	})
	return group && !other
}
