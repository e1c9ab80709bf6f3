package settings

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// strength orders the sources, weakest first.
var strength = []Source{SourceDefault, SourceFile, SourceOverrides, SourceEnvironment, SourceFlag, SourceLive}

// Load puts values in force before the node runs, from one source. Every
// mistake is reported, joined; with a mistake nothing is loaded.
func (r *Registry) Load(source Source, changes []Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, err := r.layer(source, changes)
	if err != nil {
		return err
	}
	plans, _, err := r.plan(next)
	if err != nil {
		return err
	}
	r.store(next, plans)
	for key := range next {
		r.entries[key].started = r.entries[key].text
	}
	return nil
}

// Plan says what Apply would do, and applies nothing.
func (r *Registry) Plan(changes []Change) ([]Applied, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, err := r.live(changes)
	if err != nil {
		return nil, err
	}
	_, applied, err := r.plan(next)
	return inOrder(applied, changes), err
}

// Apply puts a batch of changes in force while the node runs: all of them or
// none, also when what reacts to one of them fails. It returns old and new values
// in the order of the batch.
func (r *Registry) Apply(changes []Change) ([]Applied, error) {
	applied, err := r.change(func() (map[string]layers, error) { return r.live(changes) })
	return inOrder(applied, changes), err
}

// TakeBack puts in force what was before a change, all or none. Where a setting
// had no live value, the other sources decide again. What it returns can be taken
// back in its turn.
func (r *Registry) TakeBack(applied []Applied) ([]Applied, error) {
	return r.change(func() (map[string]layers, error) { return r.before(applied) })
}

// PlanTakeBack says what TakeBack would do, and does nothing. Where the relations
// between settings forbid it, it says what they forbid, with the error.
func (r *Registry) PlanTakeBack(applied []Applied) ([]Applied, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, err := r.before(applied)
	if err != nil {
		return nil, err
	}
	_, out, err := r.plan(next)
	return out, err
}

// before returns the layers that were before a change. The lock is held.
func (r *Registry) before(applied []Applied) (map[string]layers, error) {
	next := map[string]layers{}
	for _, a := range applied {
		e, ok := r.entries[a.Key]
		if !ok {
			return nil, r.unknown(a.Key)
		}
		next[a.Key] = e.with(SourceLive, a.before)
	}
	return next, nil
}

// Replace puts what a source now says in the place of what it said, all or none,
// while the node runs: keys it no longer names fall back to weaker sources. A
// setting that a stronger source decides stays, and so does one that is read at
// start only; their keys are returned as unmoved.
func (r *Registry) Replace(source Source, changes []Change) (applied []Applied, unmoved []string, err error) {
	applied, err = r.change(func() (map[string]layers, error) {
		next, err := r.layer(source, changes)
		if err != nil {
			return nil, err
		}
		for key, e := range r.entries {
			if _, named := next[key]; !named {
				if _, was := e.layers[source]; was && source != SourceDefault {
					next[key] = e.with(source, nil)
				}
			}
		}
		for _, key := range slices.Sorted(maps.Keys(next)) {
			e := r.entries[key]
			if next[key][source] == e.layers[source] {
				continue
			}
			_, decides := next[key].strongest()
			if e.spec.Restart || slices.Index(strength, decides) > slices.Index(strength, source) {
				unmoved = append(unmoved, key)
			}
			if e.spec.Restart {
				delete(next, key)
			}
		}
		return next, nil
	})
	return applied, unmoved, err
}

// Explain returns what each source says of a setting, weakest first.
func (r *Registry) Explain(key string) ([]Layer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[key]
	if !ok {
		return nil, r.unknown(key)
	}
	_, wins := e.layers.strongest()
	var out []Layer
	for _, s := range strength {
		if text, ok := e.layers[s]; ok {
			out = append(out, Layer{s, e.show(text), s == wins})
		}
	}
	return out, nil
}

// layers is what each source says of one setting.
type layers map[Source]string

func (l layers) strongest() (text string, source Source) {
	for _, s := range slices.Backward(strength) {
		if text, ok := l[s]; ok {
			return text, s
		}
	}
	return "", SourceDefault
}

// with returns an entry's layers with one of them set or, for nil, removed.
func (e *entry) with(source Source, text *string) layers {
	next := maps.Clone(e.layers)
	delete(next, source)
	if text != nil {
		next[source] = *text
	}
	return next
}

// layer checks values and returns the layers that they make. The lock is held.
func (r *Registry) layer(source Source, changes []Change) (map[string]layers, error) {
	next := map[string]layers{}
	var problems []error
	for _, c := range changes {
		e, ok := r.entries[c.Key]
		if !ok {
			problems = append(problems, r.unknown(c.Key))
			continue
		}
		p, err := e.plan(c.Value)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		next[c.Key] = e.with(source, &p.text)
	}
	return next, errors.Join(problems...)
}

// live is layer for changes while the node runs.
func (r *Registry) live(changes []Change) (map[string]layers, error) {
	next, err := r.layer(SourceLive, changes)
	problems := []error{err}
	seen := map[string]bool{}
	for _, c := range changes {
		e, ok := r.entries[c.Key]
		switch {
		case !ok:
		case seen[c.Key]:
			problems = append(problems, &Error{c.Key, "is named twice in one change"})
		case e.spec.Restart:
			problems = append(problems, &Error{c.Key, "is read at start only; change the configuration and restart"})
		}
		seen[c.Key] = true
	}
	return next, errors.Join(problems...)
}

// plan checks what would be in force with other layers, relations included. The
// lock is held.
func (r *Registry) plan(next map[string]layers) (map[string]planned, []Applied, error) {
	plans := map[string]planned{}
	var applied []Applied
	var problems []error
	for _, key := range slices.Sorted(maps.Keys(next)) {
		e := r.entries[key]
		text, _ := next[key].strongest()
		p, err := e.plan(text)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		plans[key] = p
		applied = append(applied, Applied{Key: key, Old: e.show(e.text), New: e.show(p.text), Risk: e.spec.Risk, before: said(e.layers)})
	}
	problems = append(problems, r.relate(plans)...)
	return plans, applied, errors.Join(problems...)
}

// said returns what the live source says.
func said(l layers) *string {
	if text, ok := l[SourceLive]; ok {
		return &text
	}
	return nil
}

// change puts other layers in force, or leaves everything as it was.
func (r *Registry) change(to func() (map[string]layers, error)) ([]Applied, error) {
	r.applying.Lock()
	defer r.applying.Unlock()

	r.mu.Lock()
	next, err := to()
	if err != nil {
		r.mu.Unlock()
		return nil, err
	}
	plans, applied, err := r.plan(next)
	if err != nil {
		r.mu.Unlock()
		return nil, err
	}
	before := map[string]layers{}
	for key := range next {
		before[key] = r.entries[key].layers
	}
	r.store(next, plans)
	var hooks []hook
	for _, h := range r.hooks {
		if len(h.keys) == 0 || touches(h.keys, plans) {
			hooks = append(hooks, h)
		}
	}
	r.mu.Unlock()

	for i, h := range hooks {
		err := h.run()
		if err == nil {
			continue
		}
		r.mu.Lock()
		plans, _, wrong := r.plan(before)
		if wrong == nil { // what was in force is in force again
			r.store(before, plans)
		}
		r.mu.Unlock()
		failed := []error{err, wrong}
		for _, done := range slices.Backward(hooks[:i+1]) {
			if again := done.run(); again != nil {
				failed = append(failed, fmt.Errorf("and going back: %w", again))
			}
		}
		return nil, fmt.Errorf("nothing was changed: %w", errors.Join(failed...))
	}
	return applied, nil
}

// store puts planned values in force. The lock is held.
func (r *Registry) store(next map[string]layers, plans map[string]planned) {
	for key, p := range plans {
		e := r.entries[key]
		p.store()
		e.layers = next[key]
		_, e.source = e.layers.strongest()
		e.text, e.number = p.text, p.number
	}
	r.revision++
}

// inOrder sorts what was applied as the changes were named.
func inOrder(applied []Applied, changes []Change) []Applied {
	slices.SortStableFunc(applied, func(a, b Applied) int {
		at := func(key string) int { return slices.IndexFunc(changes, func(c Change) bool { return c.Key == key }) }
		return at(a.Key) - at(b.Key)
	})
	return applied
}
