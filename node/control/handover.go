package control

import (
	"fmt"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/settings"
)

// HandOver takes back what is on trial, whose timers end with this process, and
// returns the live values that are kept, for the process that takes over. The server
// must have been closed.
func (s *Server) HandOver(pid int) []settings.Change {
	s.changes.RevertAll("the node is handed over to another process")
	live := s.host.Registry.Live()
	s.record(node, audit.Entry{Verb: "handover", Outcome: "done", New: fmt.Sprintf("process %d", pid),
		Reason: fmt.Sprintf("%d live values go along", len(live))})
	return live
}

// GoOn records that a handover failed, and that this process goes on.
func (s *Server) GoOn(why error) {
	s.record(node, audit.Entry{Verb: "handover", Outcome: "failed", Reason: why.Error()})
	s.host.Events.Add(Event{Kind: "node", Severity: "bad", Subject: "handover", Text: "handover failed, this process goes on: " + why.Error()})
}
