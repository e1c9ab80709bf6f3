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
	mu        sync.Mutex
	entries   map[string]*entry
	relations []relation
	hooks     []hook
	revision  uint64
}

type entry struct {
	spec    Spec
	def     string
	text    string
	started string
	source  Source
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
	run  func()
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
	e := &entry{spec: s, isNum: c.number != nil, source: SourceDefault}
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
	e.def, e.text, e.started, e.number = p.text, p.text, p.text, p.number

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

// OnChange calls run after one of keys has changed while the node runs; with no
// keys, after any change. Calls are made by the goroutine that applied the
// change, one at a time, outside the registry's lock.
func (r *Registry) OnChange(run func(), keys ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = append(r.hooks, hook{keys, run})
}

// Load puts values in force before the node runs, from one source. Every
// mistake is reported, joined; with a mistake nothing is loaded.
func (r *Registry) Load(source Source, changes []Change) error {
	_, err := r.set(changes, source, false)
	return err
}

// Plan says what Apply would do, and applies nothing.
func (r *Registry) Plan(changes []Change) ([]Applied, error) {
	return r.set(changes, SourceLive, true)
}

// Apply puts a batch of changes in force while the node runs: all of them or
// none. It returns old and new values in the order of the batch.
func (r *Registry) Apply(changes []Change) ([]Applied, error) {
	return r.set(changes, SourceLive, false)
}

func (r *Registry) set(changes []Change, source Source, dry bool) ([]Applied, error) {
	applied, hooks, err := r.setLocked(changes, source, dry)
	for _, h := range hooks {
		h.run()
	}
	return applied, err
}

func (r *Registry) setLocked(changes []Change, source Source, dry bool) ([]Applied, []hook, error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	var problems []error
	plans := map[string]planned{}
	applied := make([]Applied, 0, len(changes))
	for _, c := range changes {
		e, ok := r.entries[c.Key]
		if !ok {
			problems = append(problems, r.unknown(c.Key))
			continue
		}
		if e.spec.Restart && source == SourceLive {
			problems = append(problems, &Error{c.Key, "is read at start only; change the configuration and restart"})
			continue
		}
		p, err := e.plan(c.Value)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		plans[c.Key] = p
		applied = append(applied, Applied{c.Key, e.show(e.text), e.show(p.text), e.spec.Risk})
	}
	problems = append(problems, r.relate(plans)...)
	if len(problems) > 0 {
		return nil, nil, errors.Join(problems...)
	}
	if dry {
		return applied, nil, nil
	}
	var hooks []hook
	for key, p := range plans {
		e := r.entries[key]
		p.store()
		e.text, e.number, e.source = p.text, p.number, source
		if source != SourceLive {
			e.started = p.text
		}
	}
	r.revision++
	if source == SourceLive {
		for _, h := range r.hooks {
			if len(h.keys) == 0 || touches(h.keys, plans) {
				hooks = append(hooks, h)
			}
		}
	}
	return applied, hooks, nil
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
		Spec: e.spec, Default: e.show(e.def), Text: e.show(e.text), Started: e.show(e.started),
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
