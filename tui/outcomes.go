package tui

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
)

// outcomesMsg is what is in a breaker's window.
type outcomesMsg struct {
	name     string
	outcomes control.Outcomes
	err      string
	lacking  bool // the node is of a version that does not tell
}

func (m *model) fetchOutcomes(name string) tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		o, err := m.door.Outcomes(ctx, name)
		o.Cells = owned(o.Cells, control.MaxCells)
		return outcomesMsg{name, o, cleanError(err), notOffered(err)}
	})
}

// outcomeKinds are the outcomes in the order in which a cell shows them.
var outcomeKinds = []struct {
	glyph, word string
	ink         ink
}{{"✗", "failed", inkBad}, {"~", "slow", inkWarn}, {"▪", "ok", inkGood}}

// outcomeLegend names the outcomes.
func outcomeLegend() line {
	var out line
	for _, k := range outcomeKinds {
		out = cat(out, txt(k.ink, k.glyph), txt(inkMuted, " "+k.word+"  "))
	}
	return cat(out, txt(inkMuted, "· none"))
}

// outcomeCell draws a cell in w columns, shared out by what its calls came to. An
// outcome that is there is seen, as far as there are columns; the worst first.
func outcomeCell(c control.Cell, w int) line {
	if c.Calls == 0 {
		return txt(inkMuted, repeat("·", w))
	}
	failed := min(c.Failures, c.Calls)
	slow := min(c.Slow, c.Calls-failed)
	var out line
	left, calls := w, c.Calls
	for i, n := range []uint64{failed, slow, c.Calls - failed - slow} {
		if n == 0 || left == 0 {
			continue
		}
		part := min(left, max(1, int(float64(left)*float64(n)/float64(calls)+0.5)))
		if part == left && n < calls && left > 1 {
			part-- // what comes after is seen too
		}
		out = append(out, span{repeat(outcomeKinds[i].glyph, part), outcomeKinds[i].ink})
		left, calls = left-part, calls-n
	}
	return cat(out, txt(inkMuted, spaces(left)))
}

// outcomeStrip draws a window, the oldest calls first, with its axis.
func outcomeStrip(o control.Outcomes, w int) []line {
	cells := o.Cells
	if len(cells) == 0 {
		return []line{txt(inkMuted, noData+" no call is in the window")}
	}
	gap := 1
	if w < 3*len(cells) {
		gap = 0
	}
	cells = cells[max(0, len(cells)-w):]
	each := min(12, max(1, (w+gap)/len(cells)-gap))
	var strip line
	for i, c := range cells {
		if i > 0 {
			strip = cat(strip, txt(inkText, spaces(gap)))
		}
		strip = cat(strip, outcomeCell(c, each))
	}
	from, size := "", ""
	if o.Span > 0 {
		from, size = "-"+age(o.Span*time.Duration(len(cells))), "a cell is "+o.Span.String()
	} else {
		from, size = "oldest", "a cell is "+whole(o.Each)+" calls"
		if o.Each == 1 {
			size = "a cell is one call"
		}
	}
	return []line{strip, txt(inkMuted, from+" · "+size+" · now at the right")}
}
