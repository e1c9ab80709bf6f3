package tui

import (
	"strconv"

	"github.com/bizra/bizra-top/node/control"
)

// draw returns the whole screen: exactly h lines of exactly w columns.
func (m *model) draw() []line {
	f := newFrame(m.w, m.h)
	if m.w <= 0 || m.h <= 0 {
		return f.rows
	}
	parts := layoutScreen(m.w, m.h, len(m.loudAlerts()), len(m.look.Trials))
	f.put(parts.header, []line{m.header(parts.header.w)})
	f.put(parts.tabs, []line{m.tabs(parts.tabs.w)})
	f.put(parts.strip, m.strip(parts.strip.w, parts.strip.h))
	switch {
	case m.lookAt.IsZero():
		f.put(parts.body, m.waiting(parts.body.w))
	case m.inPast() && m.past.shown.Equal(m.past.at) && !measured(m.look) && m.view != viewEvents: // events need no metrics
		f.put(parts.body, append([]line{nil}, wrap(inkWarn, noData+" nothing was measured then: ] goes on, L returns to now", parts.body.w, 3)...))
	default:
		m.drawView(f, parts.body)
	}
	if m.lost != "" && !m.lookAt.IsZero() {
		// The last data, greyed: it is old.
		for y := parts.strip.y; y < parts.trials.y && y < len(f.rows); y++ {
			grey := make(line, len(f.rows[y]))
			for i, s := range f.rows[y] {
				grey[i] = span{s.text, inkMuted | s.ink&chosen}
			}
			f.rows[y] = grey
		}
	}
	f.put(parts.trials, m.trialLines(parts.trials.w, parts.trials.h))
	f.put(parts.footer, []line{m.footer(parts.footer.w)})
	if m.overlay != nil {
		m.drawOverlay(f)
	}
	return f.rows
}

// waiting is shown before the first answer.
func (m *model) waiting(w int) []line {
	if m.lost == "" {
		return []line{nil, txt(inkMuted, "  asking the node …")}
	}
	return append([]line{nil}, wrap(inkBad, m.lost, w, 4)...)
}

// header says whose screen this is, how old it is, and what may be done.
func (m *model) header(w int) line {
	n := m.look.Node
	right := cat(m.liveness(), txt(inkText, " "), m.lock())
	if m.look.Node.Draining && m.lost == "" {
		right = cat(txt(inkAlarm, " DRAINED "), txt(inkText, " "), right)
	}
	if n := m.look.Unsaved; n > 0 && w >= 100 {
		right = cat(txt(inkWarn, whole(n)+" unsaved  "), right)
	}
	room := w - right.width() - 1
	if room < 9 {
		return right.fit(w)
	}
	left := txt(inkTitle, "bizra-top")
	if m.otherVersion() && w < 60 {
		left = m.versionNote(9) // the rest has no room beside it
	}
	if n.Name != "" {
		left = cat(left, txt(inkMuted, "  "), txt(inkText, n.Name))
	}
	if m.fleet != nil && w >= 60 {
		left = cat(left, txt(inkMuted, "  via "), txt(inkAccent, m.source()))
	}
	if n.Mode == "demo" {
		left = cat(left, txt(inkAccent, " demo"))
	}
	if w >= 60 {
		if note := m.versionNote(room - left.width() - 2); note != nil {
			left = cat(left, txt(inkText, "  "), note)
		}
	}
	if n.ChainID != 0 && w >= 60 {
		left = cat(left, txt(inkMuted, "  chain "+strconv.FormatUint(n.ChainID, 10)))
		switch n.Head.Trust {
		case control.TrustSingle:
			left = cat(left, txt(inkWarn, " ! one provider's word"))
		case control.TrustNone:
			left = cat(left, txt(inkBad, " ✗ no quorum"))
		}
	}
	if !n.Started.IsZero() && w >= 72 {
		left = cat(left, txt(inkMuted, "  up "+coarse(m.nodeNow().Sub(n.Started))))
	}
	if w >= 110 {
		left = cat(left, txt(inkMuted, oneLine("", prefixed("  ledger ", n.Ledger), prefixed("  L2 ", n.L2), prefixed("  on ", n.Listen))))
	}
	return cat(left.fit(room), txt(inkText, " "), right)
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// liveness is the label of what the screen shows: now, a moment that is frozen,
// or the last that was heard.
func (m *model) liveness() line {
	switch {
	case m.inPast():
		return m.pastLabel()
	case m.lost != "" && m.lookAt.IsZero():
		return txt(inkAlarm, " NO NODE ")
	case m.lost != "":
		return txt(inkAlarm, " LOST, data "+coarse(m.now().Sub(m.lookAt))+" old ")
	case m.paused:
		return txt(inkAlarm, " PAUSED "+coarse(m.now().Sub(m.pausedAt))+" ")
	case m.lookAt.IsZero():
		return txt(inkMuted, "…")
	default:
		return cat(txt(inkGood, "● "), txt(inkMuted, "LIVE "+m.every().String()))
	}
}

// tabs names the views; one with something wrong in it carries a mark.
func (m *model) tabs(w int) line {
	build := func(gap string, names, all bool) line {
		var l line
		for v := viewOverview; v < m.lastView(); v++ {
			name, bare := m.nameOf(v), !names
			if v == viewDrill && !all {
				if v != m.view && m.trouble(v) == inkMuted {
					continue
				}
				bare = true
			}
			if bare && v != m.view {
				name = ""
			}
			key, word := inkKey, inkMuted
			if v == m.view {
				key, word = inkKey|chosen, inkText|chosen
			}
			end := txt(word&chosen, " ")
			if bad := m.trouble(v); bad != inkMuted {
				end = txt(bad|word&chosen, "!")
			}
			l = cat(l, txt(key, gap+keyOf(v)), txt(word, prefixed(" ", name)), end)
		}
		return l
	}
	// The drill is the first to go where there is no room for all.
	l := build(" ", true, true)
	for _, narrower := range []func() line{
		func() line { return build("", true, true) }, func() line { return build("", true, false) }, func() line { return build("", false, true) },
	} {
		if l.width() > w {
			l = narrower()
		}
	}
	return l.fit(w)
}

// trouble returns the ink of what is wrong in a view; muted is nothing.
func (m *model) trouble(v viewID) ink {
	worst := inkMuted
	note := func(i ink) {
		if i == inkBad || i == inkWarn && worst != inkBad {
			worst = i
		}
	}
	switch v {
	case viewPool:
		p := m.look.Pool
		if !p.Reachable && p.Backend != "" {
			note(inkBad)
		} else if p.Waiting > 0 {
			note(inkWarn)
		}
	case viewBreakers:
		for _, b := range m.look.Breakers {
			note(stateMark(b.State).ink)
		}
	case viewUpstreams:
		switch m.look.Node.Head.Trust {
		case control.TrustSingle:
			note(inkWarn)
		case control.TrustNone:
			note(inkBad)
		}
		for _, u := range m.look.Upstreams {
			if !u.Healthy {
				note(inkBad)
			}
		}
	case viewAlerts:
		for _, a := range m.look.Alerts {
			note(alertMark(a).ink)
		}
	case viewDrill:
		if m.drilling() {
			note(inkWarn)
		}
	case viewSettings:
		if len(m.drafts) > 0 {
			note(inkWarn)
		}
	}
	return worst
}

// loudAlerts returns what is firing or pending, was resolved a moment ago, or is in a
// state that this screen does not know, and is in nobody's hands.
func (m *model) loudAlerts() []control.Alert {
	var out []control.Alert
	for _, a := range m.look.Alerts {
		if handled(a) {
			continue
		}
		if a.State != "inactive" && a.State != "" {
			out = append(out, a)
		}
	}
	return out
}

// handledNote counts the alerts that are in somebody's hands.
func (m *model) handledNote() string {
	silenced, acked := 0, 0
	for _, a := range m.look.Alerts {
		switch {
		case a.Silenced != nil:
			silenced++
		case a.Acknowledged != nil:
			acked++
		}
	}
	count := func(n int, word string) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n) + " " + word
	}
	return oneLine(", ", count(silenced, "silenced"), count(acked, "acknowledged"))
}

// strip says in h lines what is wrong.
func (m *model) strip(w, h int) []line {
	loud := m.loudAlerts()
	if m.lookAt.IsZero() {
		return nil
	}
	if m.inPast() && !measured(m.look) {
		return []line{txt(inkMuted, noData+" what fired then was not measured")}
	}
	note := m.handledNote()
	if len(loud) == 0 && note != "" {
		return []line{cat(txt(inkAccent, "◆ "), txt(inkMuted, "nothing else fires: "+note))}
	}
	if len(loud) == 0 {
		return []line{cat(txt(inkGood, "✓ "), txt(inkMuted, "nothing fires: "+strconv.Itoa(len(m.look.Alerts))+" alert rules are quiet"))}
	}
	var out []line
	for i, a := range loud {
		if len(out) == h {
			break
		}
		s := alertMark(a)
		l := cat(txt(s.ink, s.glyph+" "+pad(s.word+" ", 9)), txt(inkStrong, a.Name), txt(inkText, "  "+a.Summary))
		right := txt(inkMuted, since(m.nodeNow(), a.Since))
		if more := len(loud) - h; i == h-1 && more > 0 {
			hint := " more: press 6"
			if w < 70 {
				hint = ""
			}
			right = cat(right, txt(inkWarn, "  +"+strconv.Itoa(more)+hint))
		}
		if note != "" && i == min(h, len(loud))-1 && w >= 70 {
			right = cat(right, txt(inkMuted, "  "+note))
		}
		room := w - right.width() - 1
		out = append(out, cat(l.fit(room), txt(inkText, " "), right).fit(w))
	}
	return out
}

// join puts two spaces between parts.
func join(parts []line) line {
	var out line
	for i, p := range parts {
		if i > 0 {
			out = append(out, span{"  ", inkText})
		}
		out = append(out, p...)
	}
	return out
}

// footer shows what was just said or typed, or the keys of the view.
func (m *model) footer(w int) line {
	if m.filtering {
		return cat(txt(inkKey, "/"), txt(inkStrong, m.filter[m.view]), txt(inkKey, "▏"), txt(inkMuted, "  enter keeps the filter · esc drops it")).fit(w)
	}
	if len(m.status) > 0 {
		return m.status.fit(w)
	}
	if l := m.awaiting(); l != nil {
		return l.fit(w)
	}
	if w < keysBeside && len(m.look.Trials) > 0 && m.lost == "" && m.whyReadOnly() == "" {
		return keyed("y keep   u revert   ? help   q quit", true).fit(w)
	}
	// The way to all else is never what is cut.
	var own, always []line
	for _, c := range m.keys {
		if !c.footer && !(c.fleet && m.fleet != nil) || !c.in(m.view) {
			continue
		}
		h := c.bind.Help()
		word := inkMuted
		if c.unavailable(m) != "" {
			word = inkBorder
		}
		part := cat(txt(inkKey, h.Key), txt(word, " "+h.Desc))
		if len(c.views) > 0 {
			own = append(own, part)
		} else {
			always = append(always, part)
		}
	}
	tail := join(always)
	for n := len(own); n >= 0; n-- {
		if l := join(append(own[:n:n], tail)); l.width() <= w {
			return l.fit(w)
		}
	}
	return tail.fit(w)
}
