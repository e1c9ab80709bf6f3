package tui

import (
	"strconv"

	"github.com/bizra/bizra-top/node/control"
)

// drawPool shows the database gate: how full it is, who waits, and its settings.
func (m *model) drawPool(f *frame, r rect) {
	wide := r.w >= 100
	head, rest := r.splitTop(min(9, r.h))
	if r.h < 14 {
		f.put(r, m.poolNumbers(r.w))
		return
	}
	if wide {
		left, right := head.splitLeft((r.w-3)/2, 3)
		f.put(left, m.poolNumbers(left.w))
		f.put(right, m.poolWaits(right.w))
	} else {
		f.put(head, m.poolNumbers(head.w))
	}
	over, list := rect{}, rest
	if rest.h >= 22 {
		over, list = rest.splitTop(rest.h - min(len(m.settingsOf(viewPool))+2, rest.h/2))
	}
	if over.h > 0 {
		f.put(over, m.chart("Connections", control.UnitCount, []plotted{
			{name: "limit", panel: "pool_limit", ink: inkChart4},
			{name: "waiting", panel: "pool_waiting", ink: inkChart2},
			{name: "in use", panel: "pool_in_use", ink: inkChart1, heavy: true},
		}, over.w, over.h-1))
	}
	f.put(list, m.settingsTable(viewPool, list.w, list.h))
}

func (m *model) poolNumbers(w int) []line {
	p := m.look.Pool
	sat := m.saturation()
	out := []line{titledRight("Pool", m.poolBackend(), w),
		labelled("in use", strconv.Itoa(p.InUse)+" of "+strconv.Itoa(p.Limit), inkStrong, bar(w-19, sat, 0.8, ratioInk(sat))),
		m.vital("used", "pool_saturation", control.UnitRatio, w, 1, inkChart1, inkStrong),
		labelled("waiting", strconv.Itoa(p.Waiting), nonzero(float64(p.Waiting), inkWarn), m.trend("pool_waiting", "", w-19, 0, inkWarn)),
		labelled("idle", strconv.Itoa(p.Idle), inkText, txt(inkMuted, "open, not in use")),
		labelled("ceiling", strconv.Itoa(p.Ceiling), inkText, txt(inkMuted, "the limit can go up to this")),
		labelled("outbox", whole(p.Outbox), nonzero(float64(p.Outbox), inkWarn), txt(inkMuted, "verdicts not yet in PostgreSQL")),
	}
	if p.LastError != "" {
		out = append(out, cat(txt(inkMuted, pad("error", 9)), txt(inkBad, p.LastError)))
	}
	return out
}

func (m *model) poolWaits(w int) []line {
	return []line{titled("How long", w),
		m.vital("acquire", "pool_acquire_p99", control.UnitSeconds, w, 0, inkChart2, inkStrong),
		cat(txt(inkText, spaces(9)), txt(inkMuted, "p99 of the wait for a connection")),
		m.vital("query", "pool_query_p99", control.UnitSeconds, w, 0, inkChart2, inkStrong),
		cat(txt(inkText, spaces(9)), txt(inkMuted, "p99 of the use of a connection")),
		m.vital("ledger", "ledger_rate", control.UnitPerSecond, w, 0, inkChart1, inkStrong),
		cat(txt(inkText, spaces(9)), txt(inkMuted, "verdicts committed each second")),
	}
}
