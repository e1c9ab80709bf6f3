package tui

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
)

const (
	// hotEvery is how often the cache view asks what its hits are for: shares of the
	// last minutes move slowly.
	hotEvery = 2 * time.Second
	hotLimit = 30
	// hotWidth is the least width of the hot keys beside charts, with their class.
	hotWidth = 46
)

// hot are the keys that most of the cache's hits are for.
type hot struct {
	list    []control.HotKey
	asked   time.Time // by the node's clock
	told    bool
	problem string // why they are not known
	lacking bool   // the node is of a version that does not tell
}

// hotMsg are the hot keys as the node tells them.
type hotMsg struct {
	list    []control.HotKey
	err     string
	lacking bool
}

// fetchHot asks for the hot keys while they are shown.
func (m *model) fetchHot() tea.Cmd {
	if m.view != viewCache || m.lookAt.IsZero() || m.inPast() || m.paused || m.hot.lacking || m.look.Time.Sub(m.hot.asked).Abs() < hotEvery {
		return nil
	}
	m.hot.asked = m.look.Time
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		list, err := m.door.HotKeys(ctx, hotLimit)
		list = owned(list, hotLimit)
		for i := range list {
			cleanAll(textLength, &list[i].Key)
			cleanAll(nameLength, &list[i].Class)
		}
		return hotMsg{list, cleanError(err), notOffered(err)}
	})
}

func (m *model) tookHot(msg hotMsg) {
	m.hot.list, m.hot.problem, m.hot.told = msg.list, msg.err, true
	if m.hot.lacking = msg.lacking; msg.lacking {
		m.lack("hot keys")
	}
}

// hotTable draws the hot keys.
func (m *model) hotTable(w, h int) []line {
	out := []line{titledRight("Hottest keys", txt(inkMuted, "of L1's hits lately"), w)}
	if w < 36 {
		out[0] = titled("Hottest keys", w)
	}
	switch {
	case m.inPast():
		return append(out, wrap(inkMuted, noData+" no metric tells the keys", w, 2)...)
	case m.hot.problem != "":
		return append(out, wrap(inkMuted, noData+" "+m.hot.problem, w, 2)...)
	case !m.hot.told:
		return append(out, txt(inkMuted, "… the node is asked"))
	case len(m.hot.list) == 0:
		return append(out, txt(inkMuted, noData+" L1 has answered too little to tell"))
	}
	cols := []column{{title: "key", w: 12, grow: 1}, {title: "class", w: 11, drop: 1}, {title: "share", w: 6, right: true}, {title: "size", w: 7, right: true, drop: 2}}
	widths := columnWidths(cols, w)
	var rows []row
	for _, k := range m.hot.list {
		size := txt(inkMuted, noData)
		if k.Bytes > 0 {
			size = txt(inkText, bytesOf(float64(k.Bytes)))
		}
		rows = append(rows, row{txt(inkText, middleCut(k.Key, widths[0])), txt(inkMuted, k.Class), txt(inkStrong, percent(float64(k.Share))), size})
	}
	return append(out, table(cols, rows, -1, w, h-1)...)
}
