package tui

// screenParts are the parts that every view has. A part without rows is left out.
type screenParts struct{ header, tabs, strip, body, trials, footer rect }

// layoutScreen divides a terminal. Small ones lose the tabs first, then the
// footer; the header, what is on trial and the body are never lost. loud is how
// many alerts there are to say, trials how many changes are on trial.
func layoutScreen(w, h, loud, trials int) screenParts {
	var p screenParts
	rest := rect{0, 0, w, h}
	if w >= 100 {
		rest = rest.inside(1)
	}
	p.header, rest = rest.splitTop(1)
	if h >= 16 {
		p.tabs, rest = rest.splitTop(1)
	}
	strip := 0
	switch {
	case h >= 36:
		strip = max(1, min(loud, 3))
	case h >= 28:
		strip = max(1, min(loud, 2))
	case h >= 6:
		strip = 1
	}
	p.strip, rest = rest.splitTop(strip)
	footer := 0
	if h >= 8 {
		footer = 1
	}
	if h >= 20 {
		_, rest = rest.splitTop(1)
	}
	switch {
	case h >= 36:
		trials = min(trials, 3)
	case h >= 20:
		trials = min(trials, 2)
	default:
		trials = min(trials, 1)
	}
	p.body, rest = rest.splitTop(rest.h - footer - trials)
	p.trials, p.footer = rest.splitTop(trials)
	return p
}

// overviewParts are the parts of the overview. A part without rows or columns is
// left out.
type overviewParts struct {
	small            bool // one column of words, for tiny terminals
	vitals           rect
	circuits, events rect
	detail           rect
	charts           rect
	sparks           rect // medium terminals: the row of sparklines
}

// layoutOverview divides the body of the overview. rows is how many circuits
// there are.
func layoutOverview(r rect, rows int) overviewParts {
	var p overviewParts
	table := rows + 2 // with its title and head
	switch {
	case r.w < 72 || r.h < 12:
		p.small = true
		p.vitals = r
	case r.w < 110 || r.h < 30:
		// One column: vitals, the table, sparklines, and events with what is left.
		p.vitals, r = r.splitTop(3)
		sparks := 3
		p.circuits, r = r.splitTop(min(table, r.h-sparks))
		if r.h > sparks {
			_, r = r.splitTop(1)
		}
		p.sparks, r = r.splitTop(sparks)
		if r.h >= 4 {
			_, p.events = r.splitTop(1)
		}
	default:
		need := max(14, table+8)
		if r.w >= 180 {
			need = max(need, 18)
		}
		top, charts := r.splitTop(min(need, r.h-12))
		_, charts = charts.splitTop(1)
		left := 42
		if r.w >= 160 {
			left = 46
		}
		p.vitals, top = top.splitLeft(left, 3)
		if r.w >= 180 {
			top, p.detail = top.splitLeft(top.w-47, 3)
		}
		p.charts = charts
		p.circuits, p.events = top.splitTop(min(table, top.h))
		_, p.events = p.events.splitTop(1)
	}
	return p
}
