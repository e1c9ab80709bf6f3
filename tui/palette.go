package tui

import (
	"slices"
	"strings"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
)

// paletteItem is one thing the palette can do.
type paletteItem struct {
	title string
	info  string
	key   string
	why   string // why it cannot be used now
	run   func(*model) tea.Cmd
}

// palette is a list to search: of commands, of thresholds, or the help.
type palette struct {
	title  string
	items  []paletteItem
	field  field
	cursor int
	help   bool // enter does nothing, everything is shown with its reason
}

// openPalette lists every command, view, action and setting.
func (m *model) openPalette() tea.Cmd {
	p := &palette{title: "Commands"}
	for _, c := range m.keys {
		if c.group == "Move" {
			continue // moving with the palette is of no use
		}
		h := c.bind.Help()
		run := c.run
		if c.locks {
			run = func(m *model) tea.Cmd { return m.guard(c.run) }
		}
		title := h.Desc
		if c.group == "Views" {
			title = "view " + title
		}
		p.items = append(p.items, paletteItem{title: title, key: h.Key, why: c.unavailable(m), run: run})
	}
	for _, a := range m.actions {
		targets := a.Targets
		if len(targets) == 0 {
			targets = []string{""}
		}
		for _, t := range targets {
			p.items = append(p.items, paletteItem{
				title: strings.TrimSpace(a.Title + " " + t), info: a.ID,
				run: func(m *model) tea.Cmd {
					return m.guard(func(m *model) tea.Cmd { return m.askAction(a.ID, t) })
				},
			})
		}
	}
	for _, s := range m.settings {
		p.items = append(p.items, m.settingItem(s.Key))
	}
	m.overlay = p
	return nil
}

func (m *model) settingItem(key string) paletteItem {
	s, ok := m.setting(key)
	item := paletteItem{title: "set " + key, info: withUnit(s, s.Value), run: func(m *model) tea.Cmd {
		return m.guard(func(m *model) tea.Cmd { return m.editSetting(key) })
	}}
	if m.fleet != nil {
		item.why = errFleet
	} else if !ok {
		item.why = "the node has no such setting"
	} else if s.Restart {
		item.why = "read at start only"
	}
	return item
}

// openHelp lists every key of the key map, with why it cannot be used.
func (m *model) openHelp() tea.Cmd {
	p := &palette{title: "Keys", help: true}
	for _, c := range m.keys {
		h := c.bind.Help()
		p.items = append(p.items, paletteItem{title: h.Desc, info: c.group, key: h.Key, why: c.note(m)})
	}
	m.overlay = p
	return nil
}

// found returns the items that match what is typed: those with every word
// first, then those with its letters in order.
func (p *palette) found() []paletteItem {
	if p.field.text == "" {
		return p.items
	}
	var words, letters []paletteItem
	for _, it := range p.items {
		text := it.title + " " + it.info + " " + it.key
		switch {
		case hasWords(p.field.text, text):
			words = append(words, it)
		case !p.help && hasLetters(p.field.text, it.title):
			letters = append(letters, it)
		}
	}
	starts := func(it paletteItem) int {
		if strings.HasPrefix(strings.ToLower(it.title), strings.ToLower(p.field.text)) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(words, func(a, b paletteItem) int { return starts(a) - starts(b) })
	return append(words, letters...)
}

// hasLetters tells whether text holds the letters of typed in their order.
func hasLetters(typed, text string) bool {
	text = strings.ToLower(text)
	for _, r := range strings.ToLower(typed) {
		if r == ' ' {
			continue
		}
		i := strings.IndexRune(text, r)
		if i < 0 {
			return false
		}
		text = text[i+utf8.RuneLen(r):]
	}
	return true
}

func (p *palette) press(m *model, k tea.KeyPressMsg) tea.Cmd {
	found := p.found()
	last := max(0, len(found)-1)
	switch k.String() {
	case "esc":
		m.overlay = nil
	case "down", "ctrl+n":
		p.cursor = min(p.cursor+1, last)
	case "up", "ctrl+p":
		p.cursor = max(p.cursor-1, 0)
	case "pgdown":
		p.cursor = min(p.cursor+10, last)
	case "pgup":
		p.cursor = max(p.cursor-10, 0)
	case "enter":
		if p.help || len(found) == 0 {
			if p.help {
				m.overlay = nil
			}
			return nil
		}
		it := found[min(p.cursor, last)]
		if it.why != "" {
			return nil
		}
		m.overlay = nil
		return it.run(m)
	default:
		if p.field.press(k) {
			p.cursor = 0
		}
	}
	return nil
}

func (p *palette) paste(text string) { p.field.text, p.cursor = p.field.text+text, 0 }

func (p *palette) box(_ *model, w, h int) (string, []line) {
	found := p.found()
	p.cursor = max(0, min(p.cursor, len(found)-1))
	prompt := ":"
	if p.help {
		prompt = "search"
	}
	lines := []line{cat(txt(inkKey, prompt+" "), txt(inkStrong, p.field.text), txt(inkKey, "▏")), nil}
	room := max(1, min(h, 24)-4)
	rows := make([]line, 0, room)
	from := scrollTo(p.cursor, len(found), room)
	for i := from; i < len(found) && len(rows) < room; i++ {
		rows = append(rows, p.row(found[i], i == p.cursor, w))
	}
	if len(found) == 0 {
		rows = append(rows, txt(inkMuted, "nothing matches"))
	}
	for len(rows) < room {
		rows = append(rows, nil) // the box keeps its size while typing
	}
	lines = append(lines, rows...)
	keys := "enter does it · ↑↓ · esc back"
	if p.help {
		keys = "type to search · ↑↓ · esc back"
	}
	return p.title, append(lines, nil, ends(txt(inkMuted, keys), txt(inkMuted, whole(len(found))), w))
}

func (p *palette) row(it paletteItem, at bool, w int) line {
	i := inkText
	if it.why != "" {
		i = inkMuted
	}
	var l line
	if p.help {
		l = cat(txt(inkKey, pad(it.key, 14)), txt(i, pad(it.title, 22)), txt(inkMuted, it.why))
	} else {
		right := it.info
		if it.why != "" {
			right = it.why
		}
		l = ends(txt(i, it.title), cat(txt(inkMuted, right+" "), txt(inkKey, lead(it.key, 6))), w)
	}
	l = l.fit(w)
	if at {
		return l.choose()
	}
	return l
}
