package settings

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Difference is one line of what saving would change in the overrides file.
type Difference struct {
	Key  string `json:"key"`
	Old  string `json:"old"`            // what the file says now, or "" for nothing; as it may be shown
	New  string `json:"new"`            // what it will say, or "" for nothing
	Base string `json:"base"`           // what defaults and configuration say
	Note string `json:"note,omitempty"` // why saving will not decide the setting
}

// Overridden is an overrides file that is to be written.
type Overridden struct {
	File        []byte
	Differences []Difference // from what was saved before

	texts  map[string]string
	except []string
}

// Overrides returns the overrides file that keeps the values in force over a
// restart, and how it differs from what was saved before. A value that the
// configuration has already needs no override. Live values of the keys in except
// are left out: they are on trial.
func (r *Registry) Overrides(except []string) (Overridden, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := Overridden{texts: map[string]string{}, except: except}
	for _, key := range slices.Sorted(maps.Keys(r.entries)) {
		e := r.entries[key]
		text, ok := e.kept(slices.Contains(except, key))
		if ok {
			o.texts[key] = text
		}
		was, had := e.layers[SourceOverrides]
		if ok == had && text == was {
			continue
		}
		d := Difference{Key: key, Base: e.show(e.base())}
		if had {
			d.Old = e.show(was)
		}
		if ok {
			d.New = e.show(text)
			for _, s := range []Source{SourceEnvironment, SourceFlag} {
				if _, decides := e.layers[s]; decides {
					d.Note = "the " + string(s) + " says otherwise and wins at the next start"
				}
			}
		}
		o.Differences = append(o.Differences, d)
	}
	var b strings.Builder
	b.WriteString("# Written by bizra-top: changes that were kept. They go before the configuration\n" +
		"# file, and behind the environment and flags.\n")
	texts := maps.Clone(o.texts)
	for _, u := range r.unknownRows {
		texts[u.Key] = u.Value
	}
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		line, err := yaml.Marshal(map[string]string{key: texts[key]})
		if err != nil {
			return Overridden{}, fmt.Errorf("write %s: %w", key, err)
		}
		b.Write(line)
	}
	o.File = []byte(b.String())
	return o, nil
}

// KeepUnknown has Overrides write rows with settings that are unknown as they were, so that
// the version that knows them finds them again.
func (r *Registry) KeepUnknown(rows []Unknown) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unknownRows = rows
}

// Unknown returns the rows that are kept and ignored.
func (r *Registry) Unknown() []Unknown {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.unknownRows)
}

// Saved says that what Overrides returned is on disk: live values have become
// overrides. What was changed since then stays live. It returns, by key, what a
// setting would have been without its live value until now, where that is different
// now: [Pinned] takes it.
func (r *Registry) Saved(o Overridden) (moved map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	moved = map[string]string{}
	for key, e := range r.entries {
		before, _ := e.layers.without(SourceLive).strongest()
		next := e.layers.without(SourceOverrides)
		if text, ok := o.texts[key]; ok {
			next[SourceOverrides] = text
		}
		// A value that would lose against environment or flag stays live.
		winner, _ := next.without(SourceLive).strongest()
		if winner == e.text && !slices.Contains(o.except, key) {
			delete(next, SourceLive)
		}
		if text, _ := next.strongest(); text != e.text { // taken back since
			next[SourceLive] = e.text
		}
		if winner != before {
			moved[key] = before
		}
		e.layers = next
		_, e.source = next.strongest()
	}
	r.revision++
	return moved
}

// Unsaved returns how many settings have a value that a restart would lose.
func (r *Registry) Unsaved() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, e := range r.entries {
		if text, ok := e.layers[SourceLive]; ok {
			if after, _ := e.layers.without(SourceLive).strongest(); after != text {
				n++
			}
		}
	}
	return n
}

// base is what a setting would be without overrides and anything stronger.
func (e *entry) base() string {
	if text, ok := e.layers[SourceFile]; ok {
		return text
	}
	return e.layers[SourceDefault]
}

// kept returns the override that a setting needs, if it needs one.
func (e *entry) kept(trial bool) (string, bool) {
	text, ok := e.layers[SourceLive]
	if !ok || trial {
		text, ok = e.layers[SourceOverrides]
	}
	return text, ok && text != e.base()
}

func (l layers) without(s Source) layers {
	next := maps.Clone(l)
	delete(next, s)
	return next
}

// Joined makes one change of two that were applied one after the other, so that
// taking it back goes to what was before the first.
func Joined(first, second []Applied) []Applied {
	out := slices.Clone(first)
	for _, a := range second {
		i := slices.IndexFunc(out, func(b Applied) bool { return b.Key == a.Key })
		if i < 0 {
			out = append(out, a)
			continue
		}
		out[i].New = a.New
	}
	return out
}

// Pinned is a change whose being taken back leads to where it would have led before
// the sources of some settings moved; moved is what [Registry.Saved] returned.
func Pinned(applied []Applied, moved map[string]string) []Applied {
	out := slices.Clone(applied)
	for i := range out {
		if text, ok := moved[out[i].Key]; ok && out[i].before == nil {
			out[i].before = &text
		}
	}
	return out
}
