package tui

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
)

// overrides shows what saving would change in the overrides file, and saves. Cancel
// has the focus.
type overrides struct {
	told    bool // the node has answered
	saving  bool
	result  control.SaveResult
	problem string
	onSave  bool // the focus
	scroll  scroll
}

// overridesMsg is the node's answer to a save, or to its dry run.
type overridesMsg struct {
	result control.SaveResult
	err    string
}

func (m *model) whyNoSave() string {
	switch {
	case m.look.Role == "operator":
		return "saving needs the role admin; yours is operator"
	case m.look.Unsaved == 0:
		return "nothing to save: a restart would lose no change"
	}
	return ""
}

// askSave shows what saving would change.
func (m *model) askSave() tea.Cmd {
	m.overlay = &overrides{}
	return m.saveOverrides(true)
}

func (m *model) saveOverrides(dry bool) tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		res, err := m.door.Save(ctx, control.SaveRequest{DryRun: dry})
		cleanAll(textLength, &res.Path, &res.Backup)
		res.Differences = owned(res.Differences, maxSettings)
		for i := range res.Differences {
			d := &res.Differences[i]
			cleanAll(nameLength*2, &d.Key)
			cleanAll(textLength, &d.Old, &d.New, &d.Base, &d.Note)
		}
		res.OnTrial = owned(res.OnTrial, maxRows)
		for i := range res.OnTrial {
			cleanAll(nameLength*2, &res.OnTrial[i])
		}
		return overridesMsg{res, cleanError(err)}
	})
}

// overridden takes in what the node says of saving.
func (m *model) overridden(msg overridesMsg) tea.Cmd {
	o, ok := m.overlay.(*overrides)
	switch {
	case msg.err != "" && ok:
		o.told, o.saving, o.problem = true, false, msg.err
		return nil
	case msg.err != "":
		m.say(inkBad, "not saved: "+msg.err)
		return nil
	case !msg.result.Saved:
		if ok {
			o.told, o.result = true, msg.result
		}
		return nil
	}
	if ok {
		m.overlay = nil
	}
	m.say(inkGood, fmt.Sprintf("saved: %d differences, in %s", len(msg.result.Differences), msg.result.Path))
	return tea.Batch(m.lookNow(), m.fetchSettings())
}

func (o *overrides) usable() bool {
	return o.told && !o.saving && o.problem == "" && len(o.result.Differences) > 0
}

func (o *overrides) press(m *model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "down", "j":
		o.scroll++
	case "up", "k":
		o.scroll = max(0, o.scroll-1)
	case "tab", "shift+tab", "left", "right", "h", "l":
		o.onSave = !o.onSave
	case "esc", "n", "q":
		m.overlay = nil
	case "enter", "y":
		if k.String() == "enter" && !o.onSave {
			m.overlay = nil
			return nil
		}
		if o.usable() {
			o.saving = true
			return m.guard(func(m *model) tea.Cmd { return m.saveOverrides(false) })
		}
	}
	return nil
}

func (o *overrides) box(_ *model, w, h int) (string, []line) {
	var lines []line
	switch {
	case o.problem != "":
		lines = append(lines, wrap(inkBad, "✗ "+o.problem, w, 4)...)
	case !o.told:
		lines = append(lines, txt(inkMuted, "… the node is asked"))
	case o.saving:
		lines = append(lines, txt(inkMuted, "… the node is saving"))
	case len(o.result.Differences) == 0:
		lines = append(lines, txt(inkMuted, "the file says it all already"))
	}
	for _, d := range o.result.Differences {
		glyph, to := txt(inkWarn, "→ "), txt(inkStrong, d.New)
		if d.New == "" {
			glyph, to = txt(inkWarn, "− "), cat(txt(inkMuted, "no longer in the file: "), txt(inkStrong, d.Base))
		}
		from := cmp.Or(d.Old, d.Base)
		lines = append(lines, cat(glyph, keyLine(d.Key), txt(inkMuted, "  "+from+" → "), to))
		if d.Note != "" {
			lines = append(lines, wrap(inkWarn, "  ! "+d.Note, w, 2)...)
		}
	}
	if len(o.result.OnTrial) > 0 {
		lines = append(lines, wrap(inkMuted, "left out, on trial: "+strings.Join(o.result.OnTrial, ", "), w, 3)...)
	}
	lines = append(lines, wrap(inkMuted, prefixed("into ", o.result.Path), w, 2)...)
	room := max(1, h-3)
	out := append([]line{nil}, o.scroll.window(lines, room)...)
	buttons := cat(button("Cancel", "esc", !o.onSave, true), txt(inkText, "   "), button("Save", "y", o.onSave, o.usable()))
	if len(lines) > room {
		buttons = cat(buttons, txt(inkMuted, "   ↑↓ scroll"))
	}
	return "Save what is kept", append(out, nil, buttons)
}
