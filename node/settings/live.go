package settings

import (
	"errors"
	"maps"
	"slices"
)

// Live returns what was changed while the node runs and holds, secrets in clear: it
// is for another process of the same node, and for nothing else.
func (r *Registry) Live() []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Change
	for _, key := range slices.Sorted(maps.Keys(r.entries)) {
		if text, ok := r.entries[key].layers[SourceLive]; ok {
			out = append(out, Change{key, text})
		}
	}
	return out
}

// Inherit puts the live values of another process in force, before the node runs.
// Those that cannot be, because the program or its configuration is another one,
// are left out; the error names them.
func (r *Registry) Inherit(live []Change) error {
	if len(live) == 0 {
		return nil
	}
	if _, err := r.Apply(live); err == nil {
		return nil
	}
	var failed []error
	for _, c := range live {
		_, err := r.Apply([]Change{c})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
