package settings

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// EnvironmentPrefix starts the name of every environment variable that is read.
const EnvironmentPrefix = "BIZRA_"

// Variable returns the environment variable of a setting: BIZRA_POOL_LIMIT for
// pool.limit.
func Variable(key string) string {
	return EnvironmentPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// ParseEnvironment returns the changes that environ, in the form of os.Environ,
// asks for. A variable with the prefix that is no setting is a mistake;
// BIZRA_TEST_… is left to tests.
func (r *Registry) ParseEnvironment(environ []string) ([]Change, error) {
	keys := map[string]string{}
	for _, s := range r.All() {
		keys[Variable(s.Key)] = s.Key
	}
	var changes []Change
	var problems []error
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, EnvironmentPrefix) || strings.HasPrefix(name, EnvironmentPrefix+"TEST_") {
			continue
		}
		key, ok := keys[name]
		if !ok {
			problems = append(problems, fmt.Errorf("environment variable %s: %w", name,
				r.unknown(strings.ToLower(strings.TrimPrefix(name, EnvironmentPrefix)))))
			continue
		}
		changes = append(changes, Change{key, value})
	}
	return changes, errors.Join(problems...)
}

// byteOrderMark is what some editors put before UTF-8.
const byteOrderMark = "\ufeff"

// Bounds of a configuration file; the reference of all settings has 30 KiB.
const (
	maxYAMLDepth = 8
	maxYAML      = 1 << 20 // bytes
)

// ParseYAML returns the changes that a configuration file asks for. Keys are
// dotted or nested, as the writer likes. Every mistake is reported, joined, with
// the file's name, line and column.
func (r *Registry) ParseYAML(name string, data []byte) ([]Change, error) {
	changes, _, err := r.parseYAML(name, data, false)
	return changes, err
}

// Unknown is a row of the overrides file with a setting that this version does not have:
// another version wrote it.
type Unknown struct {
	Key, Value string
	Line       int
}

// ParseOverrides is ParseYAML of what Overrides wrote, by this version or another. Rows
// with settings that are unknown are no mistake: they are returned apart.
func (r *Registry) ParseOverrides(name string, data []byte) ([]Change, []Unknown, error) {
	return r.parseYAML(name, data, true)
}

func (r *Registry) parseYAML(name string, data []byte, keep bool) ([]Change, []Unknown, error) {
	if len(data) > maxYAML {
		return nil, nil, fmt.Errorf("%s: %d bytes are more than the %d of a configuration file", name, len(data), maxYAML)
	}
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(data, []byte(mark)) {
			return nil, nil, fmt.Errorf("%s: is written in UTF-16; save it as UTF-8", name)
		}
	}
	file, err := parser.ParseBytes(bytes.TrimPrefix(data, []byte(byteOrderMark)), 0)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %s", name, strings.TrimSpace(err.Error()))
	}
	p := yamlReader{registry: r, file: name, seen: map[string]int{}, keep: keep}
	if len(file.Docs) > 1 {
		return nil, nil, fmt.Errorf("%s: holds more than one YAML document", name)
	}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			p.read("", doc.Body, 0)
		}
	}
	return p.changes, p.unknown, errors.Join(p.problems...)
}

type yamlReader struct {
	keep     bool // what is unknown
	unknown  []Unknown
	registry *Registry
	file     string
	changes  []Change
	seen     map[string]int // line by key
	problems []error
}

func (p *yamlReader) fail(n ast.Node, err error) {
	at := n.GetToken().Position
	p.problems = append(p.problems, fmt.Errorf("%s:%d:%d: %w", p.file, at.Line, at.Column, err))
}

func (p *yamlReader) read(prefix string, n ast.Node, depth int) {
	if depth > maxYAMLDepth {
		p.fail(n, errors.New("is nested too deep"))
		return
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			p.member(prefix, v, depth)
		}
	case *ast.MappingValueNode:
		p.member(prefix, n, depth)
	case *ast.CommentGroupNode:
	default:
		p.fail(n, errors.New("expected keys such as pool.limit: 12"))
	}
}

func (p *yamlReader) member(prefix string, v *ast.MappingValueNode, depth int) {
	key := v.Key.GetToken().Value
	if prefix != "" {
		key = prefix + "." + key
	}
	switch value := v.Value.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		p.read(key, value, depth+1)
	case *ast.NullNode: // a key whose members are all commented out
		p.keepUnknown(key, v, "")
	case *ast.SequenceNode:
		var parts []string
		for _, item := range value.Values {
			text, ok := scalar(item)
			if !ok || strings.Contains(text, ",") {
				if p.keepUnknown(key, v, value.String()) {
					return
				}
				p.fail(item, &Error{key, "list members are single values without commas"})
				return
			}
			parts = append(parts, text)
		}
		p.value(key, v.Key, strings.Join(parts, ","), value.Values...)
	default:
		text, ok := scalar(value)
		if !ok {
			if p.keepUnknown(key, v, value.String()) {
				return
			}
			p.fail(value, &Error{key, "expected a single value or a list"})
			return
		}
		p.value(key, v.Key, text)
	}
}

// keepUnknown keeps a row with a setting that is unknown, where that is wanted.
func (p *yamlReader) keepUnknown(key string, v *ast.MappingValueNode, text string) bool {
	if !p.keep || p.registry.has(key) {
		return false
	}
	p.value(key, v.Key, strings.TrimSpace(text))
	return true
}

func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// value takes the value of a key; items are those of a list, so that a mistake is told
// where it is.
func (p *yamlReader) value(key string, at ast.Node, text string, items ...ast.Node) {
	if line, ok := p.seen[key]; ok {
		p.fail(at, &Error{key, "is already set in line " + strconv.Itoa(line)})
		return
	}
	p.seen[key] = at.GetToken().Position.Line
	if p.keep && !p.registry.has(key) {
		p.unknown = append(p.unknown, Unknown{key, text, p.seen[key]})
		return
	}
	if err := p.registry.Check(key, text); err != nil {
		if !p.itemsFail(key, text, items) {
			p.fail(at, err)
		}
		return
	}
	p.changes = append(p.changes, Change{key, text})
}

func (r *Registry) has(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries[key] != nil
}

// itemsFail tells of the first item of a list with which the list is wrong, and of those
// behind it that are wrong by themselves; it says whether there are such.
func (p *yamlReader) itemsFail(key, text string, items []ast.Node) bool {
	if _, unknown := p.registry.Get(key); unknown != nil || len(items) == 0 {
		return false
	}
	parts := strings.Split(text, ",")
	first := 0
	for err := p.registry.Check(key, parts[0]); err == nil; err = p.registry.Check(key, strings.Join(parts[:first+1], ",")) {
		if first++; first == len(items) {
			return false
		}
	}
	p.fail(items[first], p.registry.Check(key, strings.Join(parts[:first+1], ",")))
	for i := first + 1; i < len(items); i++ {
		if p.registry.Check(key, parts[i]) != nil {
			p.fail(items[i], &Error{key, strconv.Quote(parts[i]) + " is wrong too"})
		}
	}
	return true
}

// Check says what is wrong with a value alone, whatever the other settings are.
func (r *Registry) Check(key, value string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[key]
	if !ok {
		return r.unknown(key)
	}
	_, err := e.plan(value)
	return err
}

// Template returns a configuration file that documents every setting, each
// commented out at its default.
func (r *Registry) Template() string {
	var b strings.Builder
	b.WriteString(`# bizra-top configuration.
#
# Every setting is listed with its default. The same key is an environment
# variable (pool.limit is BIZRA_POOL_LIMIT), a flag (--pool.limit 12) and, unless
# marked "at start only", can be changed while the node runs: with a key on the
# screen or with "bizra-top set pool.limit 12". Flags win over the environment,
# the environment over this file. Keys may also be nested.
`)
	part := ""
	for _, s := range r.All() {
		if p, _, _ := strings.Cut(s.Key, "."); p != part {
			part = p
			fmt.Fprintf(&b, "\n# ---- %s ----\n", part)
		}
		fmt.Fprintf(&b, "\n# %s\n# %s\n", s.Doc, s.Allowed())
		value := s.Default
		switch {
		case s.Secret || value == "":
			value = `""`
		case s.Kind == KindEnum, s.Kind == KindString:
			value = strconv.Quote(value)
		}
		if s.Kind == KindList {
			value = "[" + strings.ReplaceAll(s.Default, ",", ", ") + "]"
			if s.Secret {
				value = "[]"
			}
		}
		fmt.Fprintf(&b, "#%s: %s\n", s.Key, value)
	}
	return b.String()
}

// Allowed says in a few words which values a setting takes.
func (s Setting) Allowed() string {
	var words []string
	switch s.Kind {
	case KindEnum:
		words = append(words, "one of "+strings.Join(s.Choices, ", "))
	case KindBool:
		words = append(words, "true or false")
	case KindString, KindList:
		words = append(words, string(s.Kind))
	default:
		words = append(words, fmt.Sprintf("%s from %s to %s", s.Kind, FormatNumber(s.Kind, s.Min), FormatNumber(s.Kind, s.Max)))
		if s.Unit != "" {
			words = append(words, s.Unit)
		}
	}
	if s.Restart {
		words = append(words, "at start only")
	}
	return strings.Join(slices.Compact(words), ", ")
}
