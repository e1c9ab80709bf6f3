package tui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// known is a number behind its name, or nothing for 0.
func known(name string, n uint64) string {
	if n == 0 {
		return ""
	}
	return name + strconv.FormatUint(n, 10)
}

// Text prints one look as plain text of at most width columns, without escape
// codes: what --once shows, and a terminal that cannot draw.
func Text(look control.Look, panels []control.Panel, width int) string {
	width = max(width, 40)
	m := &model{
		look: cleanLook(look), panels: cleanPanels(panels), history: newHistory(),
		lookAt: look.Time, now: func() time.Time { return look.Time },
	}
	m.happened.take(m.look.Events)
	m.cursor[viewOverview], m.cursor[viewBreakers], m.cursor[viewUpstreams] = -1, -1, -1
	n := m.look.Node
	node := oneLine("  ", "bizra-top "+n.Version, n.Name, n.Mode, known("pid ", uint64(max(n.PID, 0))), known("chain ", n.ChainID),
		"up "+since(look.Time, n.Started), "ledger "+n.Ledger, "L2 "+n.L2, prefixed("on ", n.Listen))
	lines := []line{txt(inkText, node), txt(inkText, look.Time.Local().Format("2006-01-02 15:04:05 MST"))}
	lines = append(lines, m.strip(width, 10)...)
	num := func(panel string, u control.Unit) string { return number(m.unit(panel, u), m.value(panel, "")) }
	p := m.look.Pool
	reach := "reachable"
	if !p.Reachable {
		reach = "unreachable: " + p.LastError
	}
	lines = append(lines, nil,
		txt(inkText, fmt.Sprintf("traffic   %s requests, %s errors, %s in flight", num("request_rate", control.UnitPerSecond), num("error_ratio", control.UnitRatio), num("in_flight", control.UnitCount))),
		txt(inkText, fmt.Sprintf("latency   p50 %s, p99 %s", num("latency_p50", control.UnitSeconds), num("latency_p99", control.UnitSeconds))),
		txt(inkText, fmt.Sprintf("pool      %d of %d in use, %d waiting, %d idle, outbox %d, %s %s", p.InUse, p.Limit, p.Waiting, p.Idle, p.Outbox, p.Backend, reach)),
		txt(inkText, fmt.Sprintf("cache     L1 hits %s, L2 hits %s, L1 %s (%s of its bound)", num("cache_l1_hit_ratio", control.UnitRatio), m.l2Number(m.value("cache_l2_hit_ratio", "")), num("cache_l1_bytes", control.UnitBytes), num("cache_l1_fill", control.UnitRatio))),
		nil)
	lines = append(lines, m.breakerTable(width, len(m.look.Breakers)+3)...)
	lines = append(lines, nil)
	lines = append(lines, m.upstreamTable(width, len(m.look.Upstreams)+3)...)
	// A look derived from metrics alone has no process and no events.
	if n.PID != 0 || len(m.look.Events) > 0 {
		lines = append(lines, nil)
		lines = append(lines, m.lastEvents(width, 9)...)
	}
	var b strings.Builder
	for _, l := range lines {
		if l.width() > width {
			l = l.fit(width)
		}
		b.WriteString(strings.TrimRight(l.String(), " "))
		b.WriteByte('\n')
	}
	return b.String()
}
