package node

import "github.com/bizra/bizra-top/node/breaker"

func (n *Node) newBreaker(name, class string, s breaker.Settings) *breaker.Breaker {
	b := breaker.New(name, class, s, breaker.WithProber(),
		breaker.WithOverrides(n.settings.Overrides), breaker.OnTransition(n.transition))
	n.breakers = append(n.breakers, b)
	return b
}

// transition tells of a breaker's change of state. What the operator did by hand
// is told by the door, with the operator's name; an open breaker whose probes fail
// is told of once, not with each probe.
func (n *Node) transition(t breaker.Transition) {
	if t.To == breaker.ForcedOpen || t.To == breaker.ForcedClosed || t.From == breaker.ForcedOpen || t.From == breaker.ForcedClosed ||
		t.From == breaker.HalfOpen && t.To == breaker.Open {
		return
	}
	if t.To != breaker.HalfOpen {
		n.probing.Delete(t.Name)
	} else if _, told := n.probing.Swap(t.Name, true); told {
		return
	}
	severity := "warn"
	switch t.To {
	case breaker.Closed:
		severity = "good"
	case breaker.Open:
		severity = "bad"
	}
	n.event("breaker", severity, t.Name, string(t.From)+" -> "+string(t.To)+": "+t.Reason)
}
