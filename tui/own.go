package tui

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/probes/panelfile"
	"golang.org/x/sync/errgroup"
)

// own are the operator's own views, which follow those of the screen.
type own struct {
	file   string // of their panels; empty for none
	views  []panelfile.View
	values map[string][]control.Value // of the panels of the view that is shown, by id
	failed map[string]string          // why a panel has none
	asking bool
	due    time.Time // when what failed is asked for again while no looks come
	// What the history was last asked for: it is asked again for another view, another
	// file, and when the screen has begun another history.
	seeded *history
	view   viewID
	at     time.Time
}

// maxOwnSeries bounds the series of one panel of the operator's.
const maxOwnSeries = 32

// ownMsg are the panels of a view of the operator's at a moment.
type ownMsg struct {
	view    viewID
	at      time.Time
	seed    *history // of which it is the past; nil for one point
	history map[string][]control.Series
	failed  map[string]string
}

// lastView is behind the last view there is.
func (m *model) lastView() viewID { return viewEnd + viewID(len(m.own.views)) }

// nameOf returns the name of a view.
func (m *model) nameOf(v viewID) string {
	if v < viewEnd {
		return viewNames[v]
	}
	return m.own.views[v-viewEnd].Name
}

// keyOf is the key of a view: the number of those before the drill, D for that, then 9
// and 0 for the first of the operator's, none for those after them.
func keyOf(v viewID) string {
	switch {
	case v < viewDrill:
		return strconv.Itoa(int(v))
	case v == viewDrill:
		return "D"
	case v < viewEnd+2:
		return []string{"9", "0"}[v-viewEnd]
	}
	return ""
}

// takePanels takes in the operator's panels; a broken file leaves those before.
func (m *model) takePanels(views []panelfile.View, err error) {
	if err != nil {
		m.say(inkBad, "panels not taken: "+told(err, m.own.file))
		return
	}
	m.own.views, m.own.seeded, m.own.values = views, nil, nil
	if m.view >= m.lastView() {
		m.show(viewOverview)
	}
	m.keys = keymap(views)
}

// fetchOwn asks for the panels of the view that is shown, if it is one of the
// operator's: for their past, or for what has come since.
func (m *model) fetchOwn() tea.Cmd {
	if m.view < viewEnd || m.own.asking || m.lookAt.IsZero() {
		return nil
	}
	o := &m.own
	view, at, panels := m.view, m.nodeNow(), o.views[m.view-viewEnd].Panels
	var seed *history
	start := at
	if o.seeded != m.history || o.view != view || at.Sub(o.at).Abs() > 2*seedStep {
		seed, start = m.history, at.Add(-panelfile.Span)
	}
	if seed == nil && at.Equal(o.at) && len(o.failed) == 0 {
		return nil
	}
	o.asking = true
	return m.call(2*callDeadline, func(ctx context.Context) tea.Msg {
		msg := ownMsg{view: view, at: at, seed: seed, history: map[string][]control.Series{}, failed: map[string]string{}}
		var mu sync.Mutex
		var g errgroup.Group
		g.SetLimit(4)
		for _, p := range panels {
			g.Go(func() error {
				list, err := m.door.Evaluate(ctx, p.Expr, start, at, seedStep)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					msg.failed[p.ID] = cleanError(err)
					return nil
				}
				msg.history[p.ID] = ownSeries(p, list)
				return nil
			})
		}
		_ = g.Wait() // errors are in the message
		return msg
	})
}

// ownSeries names the series of a panel by its legend, or by the labels they have.
func ownSeries(p control.Panel, list []control.Labelled) []control.Series {
	var out []control.Series
	for _, s := range bounded(list, maxOwnSeries) {
		labels := make(map[string]string, len(s.Labels))
		for k, v := range s.Labels {
			if k != "__name__" {
				labels[k] = v
			}
		}
		name := labels[p.Legend]
		if p.Legend == "" {
			name = strings.Join(labelList(labels), " ")
		}
		out = append(out, control.Series{Label: printable.Clean(name, nameLength), Points: bounded(s.Points, maxPoints)})
	}
	slices.SortStableFunc(out, func(a, b control.Series) int { return strings.Compare(a.Label, b.Label) })
	return out
}

// ownArrived takes in the panels of a view of the operator's.
func (m *model) ownArrived(msg ownMsg) tea.Cmd {
	m.own.asking = false
	if msg.view != m.view || msg.seed != nil && msg.seed != m.history || m.inPast() && !msg.at.Equal(m.past.at) {
		return m.fetchOwn() // the screen has moved on meanwhile
	}
	m.own.failed, m.own.view, m.own.at, m.own.due = msg.failed, msg.view, msg.at, m.now().Add(callDeadline)
	m.own.values = map[string][]control.Value{}
	if msg.seed != nil {
		m.own.seeded = m.history
		for key := range m.history.rings {
			if strings.HasPrefix(key.panel, "own/") {
				delete(m.history.rings, key)
			}
		}
		m.history.seed(msg.history)
	}
	for id, list := range msg.history {
		for _, s := range list {
			if len(s.Points) == 0 {
				continue
			}
			last := s.Points[len(s.Points)-1]
			m.history.ring(id, s.Label).add(last)
			m.own.values[id] = append(m.own.values[id], control.Value{Label: s.Label, Value: &last.V})
		}
	}
	return nil
}

// values are the current values of a panel, of the node's or of the operator's.
func (m *model) values(panel string) []control.Value {
	if list, ok := m.own.values[panel]; ok {
		return list
	}
	return m.look.Panels[panel]
}

// ownLeast is the least size of a panel of the operator's.
const (
	ownWidth  = 56
	ownHeight = 7
)

// ownPanels lay the panels of a view of the operator's out in a grid. What has no room
// comes with the arrows.
func (m *model) ownPanels(r rect) []panel {
	list := m.own.views[m.view-viewEnd].Panels
	across := max(1, min(len(list), r.w/ownWidth))
	down := max(1, min((len(list)+across-1)/across, r.h/ownHeight))
	rows := (len(list) + across - 1) / across
	m.cursor[m.view] = max(0, min(m.cursor[m.view], rows-down))
	from := m.cursor[m.view] * across
	list = list[from:]
	var out []panel
	for i, at := range r.grid(len(list), across, down) {
		p := m.ownPanel(list[i])
		p.at = at
		out = append(out, p)
	}
	return out
}

// ownPanel is a panel of the operator's in its shape.
func (m *model) ownPanel(p control.Panel) panel {
	draw := panel{id: p.ID, chart: p.Shape == control.ShapeChart}
	draw.draw = func(w, h int) []line {
		switch why := m.own.failed[p.ID]; {
		case why != "":
			return append([]line{titled(p.Title, w)}, wrap(inkBad, "✗ "+why, w, max(h-1, 1))...)
		case m.own.values == nil:
			return []line{titled(p.Title, w), txt(inkMuted, "… the node is asked")}
		case p.Shape == control.ShapeChart:
			return m.chart(m.ownPlot(p), w, h)
		}
		return m.ownRows(p, w, h)
	}
	if p.Shape != control.ShapeTable {
		draw.plots = []plot{m.ownPlot(p)}
	}
	return draw
}

func (m *model) ownPlot(p control.Panel) plot {
	unit := p.Unit
	if unit == control.UnitRatio {
		unit = unitShare // of an expression nobody knows whether it ends at 1
	}
	return plot{p.Title, unit, m.each(p.ID)}
}

// ownRows draw a row for each series: its number, and a trend or a bar. A table has the
// greatest first.
func (m *model) ownRows(p control.Panel, w, h int) []line {
	list := slices.Clone(m.values(p.ID))
	if p.Shape == control.ShapeTable {
		slices.SortStableFunc(list, func(a, b control.Value) int {
			switch x, y := float64(*a.Value), float64(*b.Value); {
			case x > y || math.IsNaN(y) && !math.IsNaN(x):
				return -1
			case x < y || math.IsNaN(x) && !math.IsNaN(y):
				return 1
			}
			return 0
		})
	}
	top := 1.0 // of the bars
	for _, v := range list {
		if p.Unit != control.UnitRatio {
			top = max(top, float64(*v.Value))
		}
	}
	out := []line{titled(p.Title, w)}
	if len(list) == 0 {
		return append(out, txt(inkMuted, noData+" no series"))
	}
	room := max(h-1, 0)
	if len(list) > room && room > 0 {
		out[0] = titledRight(p.Title, txt(inkMuted, whole(room)+" of "+whole(len(list))), w)
	}
	name := 9
	for _, v := range list {
		name = max(name, width(v.Label)+1)
	}
	name = min(name, w/2)
	if p.Shape == control.ShapeTable || p.Shape == control.ShapeNumber {
		name = max(w-8, 0)
	}
	for _, v := range bounded(list, room) {
		var drawing line
		switch rest := w - name - 10; p.Shape {
		case control.ShapeSpark:
			drawing = cat(txt(inkText, "  "), m.trend(p.ID, v.Label, rest, 0, inkChart1))
		case control.ShapeGauge:
			drawing = cat(txt(inkText, "  "), bar(rest, float64(*v.Value)/top, 0, inkChart1))
		}
		out = append(out, cat(txt(inkMuted, v.Label).fit(name), txt(inkStrong, lead(number(p.Unit, float64(*v.Value)), 8)), drawing).fit(w))
	}
	return out
}
