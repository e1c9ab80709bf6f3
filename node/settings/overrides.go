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

// Overrides returns the overrides file that keeps the values in force over a
// restart, and how it differs from what was saved before. A value that the
// configuration has already needs no override. Live values of the keys in except
// are left out: they are on trial.
func (r *Registry) Overrides(except []string) (file []byte, differences []Difference, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	save := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(r.entries)) {
		e := r.entries[key]
		text, ok := e.kept(slices.Contains(except, key))
		if ok {
			save[key] = text
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
		differences = append(differences, d)
	}
	var b strings.Builder
	b.WriteString("# Written by bizra-top: changes that were kept. They go before the configuration\n" +
		"# file, and behind the environment and flags.\n")
	for _, u := range r.unknownRows {
		save[u.Key] = u.Value
	}
	for _, key := range slices.Sorted(maps.Keys(save)) {
		line, err := yaml.Marshal(map[string]string{key: save[key]})
		if err != nil {
			return nil, nil, fmt.Errorf("write %s: %w", key, err)
		}
		b.Write(line)
	}
	return []byte(b.String()), differences, nil
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
// overrides.
func (r *Registry) Saved(except []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, e := range r.entries {
		trial := slices.Contains(except, key)
		text, ok := e.kept(trial)
		next := maps.Clone(e.layers)
		delete(next, SourceOverrides)
		if ok {
			next[SourceOverrides] = text
		}
		// A value that would lose against environment or flag stays live.
		if winner, _ := next.without(SourceLive).strongest(); !trial && winner == e.text {
			delete(next, SourceLive)
		}
		e.layers = next
		_, e.source = next.strongest()
	}
	r.revision++
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
