// Package panelfile reads views and panels that an operator declares in a YAML file:
//
//	views:
//	  - name: rollup
//	    panels:
//	      - title: Reorganisations
//	        expr: rate(bizra_upstream_reorgs_total[5m])
//	        unit: per_second
//	        shape: chart
//
// A panel is what [control.Panel] is: a title, a PromQL expression, a unit and a shape.
// The file is checked whole before anything of it is used, and every mistake is told
// with its line and column.
package panelfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	yamlparser "github.com/goccy/go-yaml/parser"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/probes"
)

// Bounds of a file.
const (
	MaxFile   = 64 << 10 // bytes
	MaxViews  = 8
	MaxPanels = 12   // of one view
	MaxExpr   = 2000 // bytes of an expression
	maxTitle  = 40   // runes of a title, and of a view's name
)

// Span is how far back a panel is evaluated.
const Span = 15 * time.Minute

// View is a view of the operator's own. The panels' ids are unique in the file.
type View struct {
	Name   string
	Panels []control.Panel
}

// Shapes are the shapes that a panel may have, chart first: it is the default.
var Shapes = []control.Shape{control.ShapeChart, control.ShapeSpark, control.ShapeGauge, control.ShapeNumber, control.ShapeTable}

// Units are the units that a panel may have, count first: it is the default.
var Units = []control.Unit{control.UnitCount, control.UnitPerSecond, control.UnitSeconds, control.UnitBytes, control.UnitRatio, control.UnitBlocks}

// Parse reads a file. Every error begins with file:line:column and is one safe line.
func Parse(file string, data []byte) ([]View, error) {
	r := reader{file: printable.Clean(file, 200)}
	if len(data) > MaxFile {
		return nil, r.at(1, 1, "%d bytes are more than the %d of a panel file", len(data), MaxFile)
	}
	doc, err := yamlparser.ParseBytes(bytes.TrimPrefix(data, []byte("\ufeff")), 0) // some editors put it before UTF-8
	if err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil {
			p := ye.GetToken().Position
			return nil, r.at(p.Line, p.Column, "%s", ye.GetMessage())
		}
		return nil, r.at(1, 1, "no YAML")
	}
	if len(doc.Docs) != 1 || doc.Docs[0].Body == nil {
		return nil, r.at(1, 1, "want one document with views")
	}
	var views []View
	err = r.mapping(doc.Docs[0].Body, map[string]func(ast.Node) error{
		"views": func(n ast.Node) error {
			return r.sequence(n, MaxViews, "views", func(n ast.Node) error {
				v, err := r.view(n, len(views))
				if err == nil && slices.ContainsFunc(views, func(o View) bool { return o.Name == v.Name }) {
					err = r.of(n, "there are two views %q", v.Name)
				}
				views = append(views, v)
				return err
			})
		},
	}, "views")
	if err != nil {
		return nil, err
	}
	return views, nil
}

type reader struct{ file string }

// at is a mistake at a place; what it quotes is made safe to show.
func (r reader) at(line, column int, format string, args ...any) error {
	return fmt.Errorf("%s:%d:%d: %s", r.file, line, column, printable.Clean(fmt.Sprintf(format, args...), 300))
}

// of is a mistake in a node.
func (r reader) of(n ast.Node, format string, args ...any) error {
	line, column := 1, 1
	if t := n.GetToken(); t != nil && t.Position != nil {
		line, column = t.Position.Line, t.Position.Column
	}
	return r.at(line, column, format, args...)
}

// mapping hands each value of a mapping to the function of its key; those that are
// needed must be there.
func (r reader) mapping(n ast.Node, keys map[string]func(ast.Node) error, needed ...string) error {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		return r.of(n, "want %s", strings.Join(needed, ", "))
	}
	var seen []string
	for _, v := range values {
		key := v.Key.GetToken().Value
		do, known := keys[key]
		if !known {
			have := make([]string, 0, len(keys))
			for k := range keys {
				have = append(have, k)
			}
			slices.Sort(have)
			return r.of(v.Key, "%s: no such key; there are %s", key, strings.Join(have, ", "))
		}
		seen = append(seen, key)
		if err := do(v.Value); err != nil {
			return err
		}
	}
	for _, k := range needed {
		if !slices.Contains(seen, k) {
			return r.of(n, "%s is missing", k)
		}
	}
	return nil
}

func (r reader) sequence(n ast.Node, most int, what string, each func(ast.Node) error) error {
	s, ok := n.(*ast.SequenceNode)
	if !ok || len(s.Values) == 0 {
		return r.of(n, "%s: want a list", what)
	}
	for i, v := range s.Values {
		if i == most {
			return r.of(v, "more than %d %s", most, what)
		}
		if v == nil {
			return r.of(n, "%s: an empty entry", what)
		}
		if err := each(v); err != nil {
			return err
		}
	}
	return nil
}

// text reads a scalar that is text.
func (r reader) text(n ast.Node, key string) (string, error) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, nil
	case *ast.LiteralNode:
		return s.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, nil // an expression may be a number
	}
	return "", r.of(n, "%s: want text", key)
}

// name reads a title: short, and safe to show.
func (r reader) name(key string, to *string) func(ast.Node) error {
	return func(n ast.Node) error {
		s, err := r.text(n, key)
		if err != nil {
			return err
		}
		if *to = strings.TrimSpace(printable.Clean(s, maxTitle)); *to == "" {
			return r.of(n, "%s: empty", key)
		}
		return nil
	}
}

// oneOf reads a word out of a list.
func oneOf[T ~string](r reader, key string, list []T, to *T) func(ast.Node) error {
	return func(n ast.Node) error {
		s, err := r.text(n, key)
		if err != nil {
			return err
		}
		if *to = T(s); !slices.Contains(list, *to) {
			words := make([]string, len(list))
			for i, one := range list {
				words[i] = string(one)
			}
			return r.of(n, "%s: %s is none of %s", key, strconv.Quote(s), strings.Join(words, ", "))
		}
		return nil
	}
}

func (r reader) view(n ast.Node, place int) (View, error) {
	var v View
	err := r.mapping(n, map[string]func(ast.Node) error{
		"name": r.name("name", &v.Name),
		"panels": func(n ast.Node) error {
			return r.sequence(n, MaxPanels, "panels", func(n ast.Node) error {
				p, err := r.panel(n)
				p.ID = fmt.Sprintf("own/%d/%d", place+1, len(v.Panels)+1)
				v.Panels = append(v.Panels, p)
				return err
			})
		},
	}, "name", "panels")
	return v, err
}

func (r reader) panel(n ast.Node) (control.Panel, error) {
	p := control.Panel{Part: "own", Unit: Units[0], Shape: Shapes[0]}
	err := r.mapping(n, map[string]func(ast.Node) error{
		"title":  r.name("title", &p.Title),
		"legend": r.name("legend", &p.Legend),
		"unit":   oneOf(r, "unit", Units, &p.Unit),
		"shape":  oneOf(r, "shape", Shapes, &p.Shape),
		"expr":   func(n ast.Node) (err error) { p.Expr, err = r.expr(n); return err },
	}, "title", "expr")
	return p, err
}

// expr reads PromQL that gives numbers.
func (r reader) expr(n ast.Node) (string, error) {
	s, err := r.text(n, "expr")
	if err != nil {
		return "", err
	}
	if s = strings.TrimSpace(s); len(s) > MaxExpr {
		return "", r.of(n, "expr: %d bytes are more than %d", len(s), MaxExpr)
	}
	parsed, err := probes.ParseExpr(s)
	if err != nil {
		return "", r.of(n, "expr: %v", err)
	}
	if t := parsed.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return "", r.of(n, "expr: gives a %s; a panel draws an instant vector or a scalar", parser.DocumentedType(t))
	}
	if err := probes.CheckSubqueries(s, parsed, Span); err != nil {
		return "", r.of(n, "expr: %v", err)
	}
	return s, nil
}
