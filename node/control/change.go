package control

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/bizra/bizra-top/node/settings"
)

// maxUndo bounds how far back changes can be taken.
const maxUndo = 100

// history remembers the changes that can be taken back, newest last. Its lock
// also orders changes: two at once would remember each other's old values.
type history struct {
	mu    sync.Mutex
	batch [][]Changed
}

func (h *history) next() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.batch) == 0 {
		return ""
	}
	return summary(reverse(h.batch[len(h.batch)-1]))
}

func summary(changes []Changed) string {
	parts := make([]string, len(changes))
	for i, c := range changes {
		parts[i] = c.Key + " " + c.Old + " -> " + c.New
	}
	return strings.Join(parts, ", ")
}

func reverse(changes []Changed) []Changed {
	out := slices.Clone(changes)
	for i := range out {
		out[i].Old, out[i].New = out[i].New, out[i].Old
	}
	return out
}

func (s *Server) change(_ http.ResponseWriter, r *http.Request) (any, error) {
	var req ChangeRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	if len(req.Changes) == 0 {
		return nil, &Problem{http.StatusBadRequest, `nothing to change: send {"changes": [{"key": "pool.limit", "value": "12"}]}`}
	}
	batch := make([]settings.Change, len(req.Changes))
	for i, c := range req.Changes {
		batch[i] = settings.Change{Key: c.Key, Value: c.Value}
	}
	if req.DryRun {
		applied, err := s.host.Registry.Plan(batch)
		if err != nil {
			return nil, refused(err)
		}
		result := s.result(applied, false)
		result.Warnings = s.warn(result.Changes)
		return result, nil
	}
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	result, err := s.apply(r, batch, "changed", req.Reason)
	if err == nil {
		s.history.batch = append(s.history.batch, result.Changes)
		if len(s.history.batch) > maxUndo {
			s.history.batch = s.history.batch[1:]
		}
	}
	return result, err
}

func (s *Server) undo(_ http.ResponseWriter, r *http.Request) (any, error) {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	n := len(s.history.batch)
	if n == 0 {
		return nil, &Problem{http.StatusConflict, "there is no change to take back"}
	}
	var batch []settings.Change
	for _, c := range s.history.batch[n-1] {
		batch = append(batch, settings.Change{Key: c.Key, Value: c.Old})
	}
	result, err := s.apply(r, batch, "undone", "")
	if err == nil {
		s.history.batch = s.history.batch[:n-1]
	}
	return result, err
}

// apply puts a batch in force and tells everyone. The history's lock is held.
func (s *Server) apply(r *http.Request, batch []settings.Change, verb, reason string) (ChangeResult, error) {
	applied, err := s.host.Registry.Apply(batch)
	if err != nil {
		return ChangeResult{}, refused(err)
	}
	result := s.result(applied, true)
	result.Warnings = s.warn(result.Changes)
	for _, c := range result.Changes {
		text := verb + ": " + c.Old + " -> " + c.New
		if reason != "" {
			text += " (" + reason + ")"
		}
		s.host.Events.Add(Event{Kind: "change", Severity: "info", Subject: c.Key, Text: text, Actor: actor(r)})
	}
	s.host.Changed()
	return result, nil
}

func (s *Server) result(applied []settings.Applied, done bool) ChangeResult {
	out := ChangeResult{Applied: done, Revision: s.host.Registry.Revision()}
	for _, a := range applied {
		out.Changes = append(out.Changes, Changed{a.Key, a.Old, a.New, string(a.Risk)})
	}
	return out
}

func (s *Server) warn(changes []Changed) []string {
	var out []string
	for _, c := range changes {
		if w := s.host.Warn(c); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// refused turns a mistake in a setting into a refusal, one line for all.
func refused(err error) error {
	return &Problem{http.StatusUnprocessableEntity, strings.ReplaceAll(err.Error(), "\n", "; ")}
}

func (s *Server) setting(_ http.ResponseWriter, r *http.Request) (any, error) {
	found, err := s.host.Registry.Get(r.PathValue("key"))
	if err != nil {
		return nil, &Problem{http.StatusNotFound, err.Error()}
	}
	return DescribeSetting(found), nil
}

func (s *Server) settings(http.ResponseWriter, *http.Request) (any, error) {
	all := s.host.Registry.All()
	out := make([]Setting, len(all))
	for i, one := range all {
		out[i] = DescribeSetting(one)
	}
	return out, nil
}

// DescribeSetting returns a setting as it goes over the wire.
func DescribeSetting(s settings.Setting) Setting {
	part, _, _ := strings.Cut(s.Key, ".")
	return Setting{Key: s.Key, Part: part, Kind: string(s.Kind), Unit: s.Unit, Value: s.Text, Default: s.Default,
		Started: s.Started, Number: s.Number, Numeric: s.Numeric, Min: s.Min, Max: s.Max, Step: s.Step,
		Choices: s.Choices, Doc: s.Doc, Risk: string(s.Risk), Restart: s.Restart, Secret: s.Secret, Source: string(s.Source)}
}
