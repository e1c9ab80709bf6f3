package tui

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/bizra/bizra-top/node/control"
)

// mark is how a state is shown: a glyph and a word, and an ink for each.
type mark struct {
	glyph, word string
	ink         ink
	calm        bool // normal: only the glyph is coloured
}

func (s mark) line() line {
	word := s.ink
	if s.calm {
		word = inkMuted
	}
	return cat(txt(s.ink, s.glyph), txt(word, " "+s.word))
}

// stateMark shows the state of a breaker or an upstream.
func stateMark(state string) mark {
	switch state {
	case "closed":
		return mark{"●", state, inkGood, true}
	case "half-open":
		return mark{"◐", state, inkWarn, false}
	case "open":
		return mark{"○", state, inkBad, false}
	case "forced-open":
		return mark{"⊘", state, inkBad, false}
	case "forced-closed", "disabled":
		return mark{"◉", state, inkWarn, false}
	case "metrics-only":
		return mark{"◌", state, inkWarn, false}
	case "failing":
		return mark{"◔", state, inkWarn, false}
	case "drained":
		return mark{"⊝", state, inkWarn, false}
	case "wrong chain":
		return mark{"✗", state, inkBad, false}
	default:
		return mark{"?", cmp.Or(state, "unknown"), inkWarn, false}
	}
}

// handled tells whether someone has silenced or acknowledged an alert.
func handled(a control.Alert) bool { return a.Silenced != nil || a.Acknowledged != nil }

// alertMark shows the state of an alert.
func alertMark(a control.Alert) mark {
	switch {
	case a.Silenced != nil:
		return mark{"◇", "silenced", inkMuted, true}
	case a.Acknowledged != nil:
		return mark{"◆", "acked", inkAccent, false}
	}
	switch a.State {
	case "firing":
		if a.Severity == "info" {
			return mark{"▲", "firing", inkAccent, false}
		}
		if a.Severity == "warning" || a.Severity == "warn" {
			return mark{"▲", "firing", inkWarn, false}
		}
		return mark{"▲", "firing", inkBad, false}
	case "pending":
		return mark{"△", "pending", inkWarn, false}
	case "resolved":
		return mark{"✓", "resolved", inkGood, false}
	case "inactive", "":
		return mark{"·", "inactive", inkMuted, true}
	default:
		return mark{"?", a.State, inkWarn, false} // of a newer node: nobody knows that it is calm
	}
}

// changeMarks tell what happened to a setting, by the verb that the node writes
// before the values.
var changeMarks = map[string]mark{
	"changed": {"→", "info", inkAccent, true}, "redone": {"→", "info", inkAccent, true}, "reloaded": {"→", "info", inkAccent, true},
	"undone": {"←", "info", inkAccent, true}, "reverted": {"←", "info", inkAccent, true},
	"kept": {"✓", "good", inkGood, true}, "saved": {"✓", "good", inkGood, true},
}

// eventMark shows the severity of an event, and of a change which way it went.
func eventMark(e control.Event) mark {
	if verb, _, _ := strings.Cut(e.Text, ":"); e.Kind == "change" && e.Severity == "info" {
		if s, ok := changeMarks[verb]; ok {
			if verb == "reverted" && e.Actor == "node" {
				// Nobody did it: a trial ran out, or its guard turned true.
				s.word, s.ink, s.calm = "warn", inkWarn, false
			}
			return s
		}
	}
	switch e.Severity {
	case "good":
		return mark{"✓", "good", inkGood, true}
	case "warn":
		return mark{"!", "warn", inkWarn, false}
	case "bad":
		return mark{"✗", "bad", inkBad, false}
	default:
		return mark{"·", "info", inkMuted, true}
	}
}

// circuit is one row of the overview's table: a breaker and, where it guards
// one, its upstream.
type circuit struct {
	breaker  control.Breaker
	upstream *control.Upstream
}

// name returns what the row is called: providers by their own name.
func (c circuit) name() string {
	if c.upstream != nil {
		return c.upstream.Name
	}
	return c.breaker.Name
}

// state returns the worse of the two states.
func (c circuit) state() string {
	if c.upstream != nil && c.upstream.State != "" {
		return c.upstream.State
	}
	return c.breaker.State
}

// circuits joins upstreams and breakers: providers first, in the order of the
// node, then the breakers that guard something else.
func (m *model) circuits() []circuit {
	left := slices.Clone(m.look.Breakers)
	var out []circuit
	for i := range m.look.Upstreams {
		u := &m.look.Upstreams[i]
		c := circuit{upstream: u, breaker: control.Breaker{Name: cmp.Or(u.Breaker, u.Name), State: u.State, FailureRatio: control.Number(math.NaN())}}
		for j, b := range left {
			if b.Name == u.Breaker {
				c.breaker = b
				left = slices.Delete(left, j, j+1)
				break
			}
		}
		out = append(out, c)
	}
	for _, b := range left {
		out = append(out, circuit{breaker: b})
	}
	return out
}

// value returns the current value of a panel's series, NaN when there is none.
func (m *model) value(panel, label string) float64 {
	for _, v := range m.look.Panels[panel] {
		if (v.Label == label || label == "") && v.Value != nil {
			return float64(*v.Value)
		}
	}
	return math.NaN()
}

// unit returns the unit a panel declares; before the catalogue is here, or when
// an older node does not have the panel, the one the screen expects.
func (m *model) unit(panel string, expected control.Unit) control.Unit {
	if p, ok := m.panels[panel]; ok && p.Unit != "" {
		return p.Unit
	}
	return expected
}

// ratioInk colours a share of something that must not be used up.
func ratioInk(v float64) ink {
	switch {
	case v >= 0.95:
		return inkBad
	case v >= 0.8:
		return inkWarn
	default:
		return inkGood
	}
}

// failureInk colours a failure ratio against the threshold that opens a breaker.
func failureInk(v, threshold float64) ink {
	switch {
	case math.IsNaN(v) || v == 0:
		return inkMuted
	case threshold > 0 && v >= threshold:
		return inkBad
	case threshold > 0 && v >= threshold/2:
		return inkWarn
	default:
		return inkText
	}
}

// nonzero colours a count that should be zero.
func nonzero(v float64, i ink) ink {
	if v > 0 {
		return i
	}
	return inkMuted
}

// oneLine joins the parts that are not empty.
func oneLine(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), sep)
}
