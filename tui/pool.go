package tui

import (
	"strconv"

	"github.com/bizra/bizra-top/node/control"
)

// poolPanels show the database gate: how full it is, who waits and for how long, what
// the ledger does with it, and its settings.
func (m *model) poolPanels(r rect) []panel {
	numbers := panel{id: "numbers", plots: m.poolPlots(), draw: func(w, _ int) []line { return m.poolNumbers(w) }}
	if r.h < 14 {
		numbers.at = r
		return []panel{numbers}
	}
	beside := []panel{numbers,
		{id: "waits", plots: []plot{waitPlot, queryPlot}, draw: func(w, _ int) []line { return m.poolWaits(w) }},
		{id: "ledger", plots: ledgerPlots, draw: func(w, _ int) []line { return m.poolLedger(w) }}}
	head, rest := r.splitTop(9)
	var out []panel
	switch {
	case r.w < 76:
		beside = beside[:1]
	case r.w < 150:
		beside = beside[:2]
	}
	for i, at := range head.split(len(beside), 3) {
		beside[i].at = at
		out = append(out, beside[i])
	}
	over, list := rect{}, rest
	if rest.h >= 18 {
		over, list = rest.splitTop(rest.h - min(len(m.settingsOf(viewPool))+2, rest.h/2))
		over.h--
	}
	out = append(out, m.charts(over, append(m.poolPlots(), ledgerPlots...)...)...)
	return append(out, m.settingsPanel(viewPool, list))
}

var (
	waitPlot = plot{"Wait for a connection", control.UnitSeconds, []plotted{
		{name: "p50", panel: "pool_acquire_p50", ink: inkChart1},
		{name: "p99", panel: "pool_acquire_p99", ink: inkChart2, heavy: true},
	}}
	queryPlot = plot{"Use of a connection", control.UnitSeconds, []plotted{
		{name: "p50", panel: "pool_query_p50", ink: inkChart1},
		{name: "p99", panel: "pool_query_p99", ink: inkChart2, heavy: true},
	}}
	ledgerPlots = []plot{
		{"Verdicts committed", control.UnitPerSecond, []plotted{{name: "verdicts", panel: "ledger_rate", ink: inkChart1, heavy: true}}},
		{"Time of a commit", control.UnitSeconds, []plotted{{name: "p99", panel: "ledger_commit_p99", ink: inkChart2, heavy: true}}},
		{"Outbox", control.UnitCount, []plotted{{name: "verdicts", panel: "ledger_outbox", ink: inkChart4, heavy: true}}},
	}
)

func (m *model) poolPlots() []plot {
	return []plot{
		{"Connections", control.UnitCount, []plotted{
			{name: "limit", panel: "pool_limit", ink: inkChart4},
			{name: "waiting", panel: "pool_waiting", ink: inkChart2},
			{name: "in use", panel: "pool_in_use", ink: inkChart1, heavy: true},
		}},
		{"Saturation", control.UnitRatio, []plotted{{name: "of the limit", panel: "pool_saturation", ink: inkChart1, heavy: true}}},
		waitPlot, queryPlot,
	}
}

func (m *model) poolNumbers(w int) []line {
	p := m.look.Pool
	sat := m.saturation()
	out := []line{titledRight("Pool", m.poolBackend(), w)}
	if p.LastError != "" {
		// What is wrong is seen first.
		out = append(out, cat(txt(inkMuted, pad("error", 9)), txt(inkBad, "✗ "+p.LastError)).fit(w))
	}
	return append(out,
		labelled("in use", strconv.Itoa(p.InUse)+" of "+strconv.Itoa(p.Limit), inkStrong, bar(w-19, sat, 0.8, ratioInk(sat))),
		m.vital("used", "pool_saturation", control.UnitRatio, w, 1, inkChart1, inkStrong),
		labelled("waiting", strconv.Itoa(p.Waiting), nonzero(float64(p.Waiting), inkWarn), m.trend("pool_waiting", "", w-19, 0, inkWarn)),
		labelled("idle", strconv.Itoa(p.Idle), inkText, note(w-19, "open, not in use", "open")),
		labelled("ceiling", strconv.Itoa(p.Ceiling), inkText, note(w-19, "the limit can go up to this", "of the limit")),
		labelled("outbox", whole(p.Outbox), nonzero(float64(p.Outbox), inkWarn), note(w-19, "verdicts not yet in PostgreSQL", "verdicts")),
	)
}

// note is the longest of some texts that fits.
func note(w int, texts ...string) line {
	for _, t := range texts {
		if width(t) <= w {
			return txt(inkMuted, t)
		}
	}
	return nil
}

func (m *model) poolWaits(w int) []line {
	timeouts := m.value("pool_timeouts", "")
	return []line{titled("How long", w),
		m.vital("wait p50", "pool_acquire_p50", control.UnitSeconds, w, 0, inkChart1, inkStrong),
		m.vital("wait p99", "pool_acquire_p99", control.UnitSeconds, w, 0, inkChart2, inkStrong),
		m.vital("use p50", "pool_query_p50", control.UnitSeconds, w, 0, inkChart1, inkStrong),
		m.vital("use p99", "pool_query_p99", control.UnitSeconds, w, 0, inkChart2, inkStrong),
		labelled("gave up", number(control.UnitPerSecond, timeouts), nonzero(timeouts, inkBad), note(w-19, "callers that waited too long", "waited too long")),
	}
}

// poolLedger says what holds connections: the ledger's commits.
func (m *model) poolLedger(w int) []line {
	queue := m.value("ledger_queue", "")
	return []line{titled("What holds them: the ledger", w),
		m.vital("verdicts", "ledger_rate", control.UnitPerSecond, w, 0, inkChart1, inkStrong),
		m.vital("commit", "ledger_commit_p99", control.UnitSeconds, w, 0, inkChart2, inkStrong),
		labelled("", "", inkMuted, note(w-19, "p99 of a group's commit")),
		labelled("queued", number(control.UnitCount, queue), inkText, note(w-19, "verdicts wait for a commit")),
		m.vital("outbox", "ledger_outbox", control.UnitCount, w, 0, inkChart4, inkText),
	}
}
