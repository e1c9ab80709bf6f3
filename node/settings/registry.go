package settings

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// Registry holds the declared settings of one node. Declare everything before
// the first Load; after that all methods may be called from any goroutine.
type Registry struct {
	applying  sync.Mutex // held by one change after the other, hooks included
	mu        sync.Mutex
	entries   map[string]*entry
	relations []relation
	hooks     []hook
	revision  uint64
	// unknownRows are rows of the overrides file with settings of another version.
	unknownRows []Unknown
}

type entry struct {
	spec    Spec
	text    string
	started string
	source  Source
	layers  layers
	// plan checks a text and returns its canonical form, its number, and the
	// step that puts it in force.
	plan   func(text string) (planned, error)
	number float64
	isNum  bool
}

type planned struct {
	text   string
	number float64
	store  func()
}

type relation struct {
	keys  []string
	check func(number func(key string) float64) error
}

type hook struct {
	keys []string
	run  func() error
}

// Error says which setting was refused and why.
type Error struct {
	Key    string
	Reason string
}

func (e *Error) Error() string { return e.Key + ": " + e.Reason }

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{entries: map[string]*entry{}}
}

// declare panics on a wrong declaration, which is a programming error that
// every start of the program would show.
func declare[T any](r *Registry, s Spec, def T, c codec[T]) *Value[T] {
	if s.Risk == "" {
		s.Risk = RiskLow
	}
	v := new(Value[T])
	e := &entry{spec: s, isNum: c.number != nil, source: SourceDefault, layers: layers{}}
	e.plan = func(text string) (planned, error) {
		text = strings.TrimSpace(text)
		t, err := c.parse(text)
		if err != nil {
			return planned{}, &Error{s.Key, err.Error()}
		}
		p := planned{text: c.format(t), store: func() { v.p.Store(&t) }}
		if c.number != nil {
			p.number = c.number(t)
		}
		if err := s.check(p); err != nil {
			return planned{}, &Error{s.Key, err.Error()}
		}
		return p, nil
	}
	p, err := e.plan(c.format(def))
	if err != nil {
		panic("settings: default of " + err.Error())
	}
	if strings.TrimSpace(s.Doc) == "" || s.Key == "" {
		panic("settings: " + s.Key + " has no doc")
	}
	p.store()
	e.text, e.started, e.number = p.text, p.text, p.number
	e.layers[SourceDefault] = p.text

	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.entries[s.Key]; ok {
		panic("settings: " + s.Key + " is declared twice")
	}
	r.entries[s.Key] = e
	return v
}

func (s Spec) check(p planned) error {
	switch s.Kind {
	case KindInt, KindRatio, KindFloat, KindDuration, KindBytes:
		if p.number < s.Min || p.number > s.Max {
			return fmt.Errorf("%s is outside %s to %s", p.text,
				FormatNumber(s.Kind, s.Min), FormatNumber(s.Kind, s.Max))
		}
	case KindEnum:
		if !slices.Contains(s.Choices, p.text) {
			return fmt.Errorf("%q is not one of %s", p.text, strings.Join(s.Choices, ", "))
		}
	}
	if strings.ContainsFunc(p.text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return errors.New("line breaks and control characters are not allowed")
	}
	if s.Check != nil {
		return s.Check(p.text)
	}
	return nil
}

// Relate adds a rule between numeric settings: check is called with the values
// that would be in force and returns what is wrong. It is asked whenever one of
// keys changes; its error is reported under the first key.
func (r *Registry) Relate(check func(number func(key string) float64) error, keys ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.relations = append(r.relations, relation{keys, check})
}

// OnChange calls run when one of keys has changed while the node runs; with no
// keys, at any change. Calls are made by the goroutine that applies the change, one
// at a time, outside the registry's lock. An error takes the whole change back;
// run is then called again, with the old values in force.
func (r *Registry) OnChange(run func() error, keys ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = append(r.hooks, hook{keys, run})
}

func touches(keys []string, plans map[string]planned) bool {
	return slices.ContainsFunc(keys, func(k string) bool { _, ok := plans[k]; return ok })
}

func (r *Registry) relate(plans map[string]planned) []error {
	number := func(key string) float64 {
		if p, ok := plans[key]; ok {
			return p.number
		}
		if e, ok := r.entries[key]; ok {
			return e.number
		}
		return 0
	}
	var problems []error
	for _, rel := range r.relations {
		if !touches(rel.keys, plans) {
			continue
		}
		if err := rel.check(number); err != nil {
			problems = append(problems, &Error{rel.keys[0], err.Error()})
		}
	}
	return problems
}

// Get returns one setting.
func (r *Registry) Get(key string) (Setting, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[key]
	if !ok {
		return Setting{}, r.unknown(key)
	}
	return e.snapshot(), nil
}

// All returns every setting, sorted by key.
func (r *Registry) All() []Setting {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Setting, 0, len(r.entries))
	for _, key := range slices.Sorted(maps.Keys(r.entries)) {
		out = append(out, r.entries[key].snapshot())
	}
	return out
}

// Revision grows with every load or change.
func (r *Registry) Revision() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.revision
}

func (e *entry) snapshot() Setting {
	return Setting{
		Spec: e.spec, Default: e.show(e.layers[SourceDefault]), Text: e.show(e.text), Started: e.show(e.started),
		Number: e.number, Numeric: e.isNum, Source: e.source,
	}
}

// show is what may leave the registry of a value.
func (e *entry) show(text string) string {
	switch {
	case !e.spec.Secret:
		return text
	case text == "":
		return "(not set)"
	default:
		return "(set)"
	}
}

func (r *Registry) unknown(key string) error {
	reason := "is not a setting"
	if near := r.nearest(key); near != "" {
		reason += "; did you mean " + near + "?"
	}
	return &Error{key, reason}
}

// nearest returns the declared key with the least edit distance, if that is
// small enough to be a slip of the finger. The last part of a key counts too:
// "failure_ratio" finds "breaker.upstream.failure_ratio".
func (r *Registry) nearest(key string) string {
	best, least := "", max(2, len(key)/4)+1
	for _, k := range slices.Sorted(maps.Keys(r.entries)) {
		d := editDistance(key, k)
		if strings.HasSuffix(k, "."+key) {
			d = 1
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// editDistance is Levenshtein's distance, one row at a time.
func editDistance(a, b string) int {
	if len(a) > 128 || len(b) > 128 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
