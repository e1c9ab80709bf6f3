package themes

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds a theme file; a real one has some 600 bytes.
const maxFile = 64 << 10

// Parse reads a theme file. Every error names the file, the line and the key.
func Parse(file string, data []byte) (Theme, error) {
	if len(data) > maxFile {
		return Theme{}, fmt.Errorf("%s: %d bytes are no theme", file, len(data))
	}
	doc, err := parser.ParseBytes(bytes.TrimPrefix(data, []byte("\ufeff")), 0) // some editors put it before UTF-8
	if err != nil {
		// The error's own text quotes the file, which may hold anything.
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil {
			return Theme{}, fmt.Errorf("%s:%d: %s", file, ye.GetToken().Position.Line, strconv.Quote(ye.GetMessage()))
		}
		return Theme{}, fmt.Errorf("%s: no YAML", file)
	}
	if len(doc.Docs) == 0 || doc.Docs[0].Body == nil {
		return Theme{}, fmt.Errorf("%s:1: the file is empty", file)
	}
	p := reader{file: file}
	root := p.mapping(doc.Docs[0].Body, "theme")
	var t Theme
	seenColors := false
	for _, e := range root {
		switch e.key {
		case "name":
			t.Name = p.text(e)
		case "doc":
			t.Doc = p.text(e)
		case "dark":
			b, ok := e.value.(*ast.BoolNode)
			if !ok {
				p.fail(e.line, "dark: neither true nor false")
				continue
			}
			t.Dark = b.Value
		case "colors":
			seenColors = true
			p.colors(e, &t.Colors)
		default:
			p.fail(e.line, "%s: no such key; there are name, doc, dark and colors", e.key)
		}
	}
	if t.Name == "" {
		p.fail(1, "name: missing")
	}
	if !seenColors {
		p.fail(1, "colors: missing")
	}
	return t, p.err
}

// reader walks a theme file and keeps the first error.
type reader struct {
	file string
	err  error
}

type entry struct {
	key   string
	line  int
	value ast.Node
}

func (p *reader) fail(line int, format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%s:%d: %s", p.file, line, fmt.Sprintf(format, args...))
	}
}

func (p *reader) mapping(n ast.Node, what string) []entry {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		p.fail(n.GetToken().Position.Line, "%s: not a list of keys and values", what)
		return nil
	}
	var out []entry
	for _, v := range values {
		e := entry{key: v.Key.GetToken().Value, line: v.Key.GetToken().Position.Line, value: v.Value}
		out = append(out, e)
	}
	return out
}

func (p *reader) text(e entry) string {
	s, ok := e.value.(*ast.StringNode)
	if !ok {
		p.fail(e.line, "%s: not text", e.key)
		return ""
	}
	return s.Value
}

func (p *reader) colors(section entry, c *Colors) {
	want := map[string]*Color{}
	for _, n := range c.names() {
		want[n.key] = n.to
	}
	for _, e := range p.mapping(section.value, section.key) {
		to, ok := want[e.key]
		if !ok {
			p.fail(e.line, "%s: no such colour", e.key)
			continue
		}
		// An unquoted #rrggbb is a YAML comment, so the value is null.
		if _, null := e.value.(*ast.NullNode); null {
			p.fail(e.line, "%s: no colour; write it in quotes, such as \"#1a2b3c\"", e.key)
			continue
		}
		v, ok := hex(p.text(e))
		if !ok {
			p.fail(e.line, "%s: %q is not a colour such as \"#1a2b3c\"", e.key, e.value.String())
			continue
		}
		*to = v
	}
	for _, n := range c.names() {
		if !n.to.Set && n.key != "background" {
			p.fail(section.line, "colors: %s is missing", n.key)
		}
	}
}

func hex(s string) (Color, bool) {
	if len(s) != 7 || s[0] != '#' {
		return Color{}, false
	}
	v, err := strconv.ParseUint(s[1:], 16, 32)
	if err != nil {
		return Color{}, false
	}
	return Color{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), Set: true}, true
}
