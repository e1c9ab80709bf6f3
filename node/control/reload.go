package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/settings"
)

// reloaded is the subject of what is told of a configuration file.
const reloaded = "configuration"

// Configuration puts what a configuration file now says in force, as one batch, and
// tells of it once: what changed, and which keys stay because a stronger source
// decides them, they are on trial, or they are read at start only. mistake is why
// the file could not be read or understood, or nil; the values in force then stay,
// as they do when one of the new ones is refused. The error says so.
func (s *Server) Configuration(path string, batch []settings.Change, mistake error, why string) error {
	if mistake != nil {
		s.record(node, audit.Entry{Verb: "reload", Outcome: "refused", Subject: path, Reason: mistake.Error()})
		return s.refusedReload(path, mistake)
	}
	changed, unmoved, err := s.Reload(settings.SourceFile, batch, why)
	if err != nil {
		return s.refusedReload(path, err)
	}
	text := fmt.Sprintf("%s reloaded (%s): nothing has changed", path, why)
	if len(changed) > 0 {
		text = fmt.Sprintf("%s reloaded (%s): %d changed", path, why, len(changed))
	} else {
		s.record(node, audit.Entry{Verb: "reload", Outcome: "done", Subject: path, Reason: why + ", nothing has changed"})
	}
	severity := "good"
	if len(unmoved) > 0 {
		severity = "warn"
		text += "; not moved: " + strings.Join(s.reasons(unmoved), ", ")
	}
	s.host.Events.Add(Event{Kind: "change", Severity: severity, Subject: reloaded, Text: text, Actor: node.name})
	return nil
}

func (s *Server) refusedReload(path string, err error) error {
	first, more, _ := strings.Cut(err.Error(), "\n")
	if more != "" {
		first = fmt.Sprintf("%s, and %d more in the log", first, strings.Count(more, "\n")+1)
	}
	s.host.Events.Add(Event{Kind: "change", Severity: "bad", Subject: reloaded, Text: "refused, the values before go on: " + first, Actor: node.name})
	return fmt.Errorf("%s refused, the values before go on: %w", path, err)
}

// reasons says of each key why a reload did not move it.
func (s *Server) reasons(keys []string) []string {
	held := s.changes.OnTrial()
	out := make([]string, len(keys))
	for i, key := range keys {
		out[i] = key
		found, err := s.host.Registry.Get(key)
		switch {
		case err != nil:
		case found.Restart:
			out[i] += " (read at start only)"
		case slices.Contains(held, key):
			out[i] += " (on trial)"
		default:
			out[i] += " (decided by " + string(found.Source) + ")"
		}
	}
	return out
}
