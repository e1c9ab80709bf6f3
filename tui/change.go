package tui

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

// editKeys returns the settings that e edits in the current view.
func (m *model) editKeys() []string {
	switch sel := m.selected(m.view); m.view {
	case viewSettings, viewPool, viewCache:
		if sel != "" {
			return []string{sel}
		}
	case viewBreakers:
		for _, b := range m.look.Breakers {
			if b.Name == sel {
				return []string{"breaker." + b.Class + ".failure_ratio"}
			}
		}
	case viewAlerts:
		if a, ok := m.selectedAlert(); ok {
			return a.Thresholds
		}
	}
	return nil
}

func (m *model) selectedAlert() (control.Alert, bool) {
	for _, a := range m.look.Alerts {
		if alertKey(a) == m.selected(viewAlerts) {
			return a, true
		}
	}
	return control.Alert{}, false
}

func (m *model) whyNoEdit() string {
	keys := m.editKeys()
	if len(keys) == 0 {
		if m.view == viewAlerts {
			return "this rule has no threshold to edit"
		}
		return "nothing is selected"
	}
	for _, k := range keys {
		s, ok := m.setting(k)
		switch {
		case !ok:
			return "the node has no setting " + k
		case s.Restart:
			return k + " is read at start only"
		case m.mayNot(s.Risk) != "" && len(keys) == 1:
			return m.mayNot(s.Risk)
		}
	}
	return ""
}

// edit opens the editor of what is selected, or asks which of several.
func (m *model) edit() tea.Cmd {
	keys := m.editKeys()
	if len(keys) == 1 {
		return m.editSetting(keys[0])
	}
	var items []paletteItem
	for _, k := range keys {
		items = append(items, m.settingItem(k))
	}
	m.overlay = &palette{title: "Which threshold?", items: items}
	return nil
}

func (m *model) editSetting(key string) tea.Cmd {
	s, ok := m.setting(key)
	if !ok {
		m.say(inkWarn, "the node has no setting "+key)
		return nil
	}
	if s.Restart {
		m.say(inkWarn, key+" is read at start only")
		return nil
	}
	if why := m.mayNot(s.Risk); why != "" {
		m.say(inkWarn, key+": "+why)
		return nil
	}
	e := &editor{setting: s, fresh: true}
	if !s.Secret {
		e.field.text = s.Value
	}
	if d, ok := m.drafts[key]; ok {
		e.field.text = d
	}
	m.overlay = e
	return nil
}

// step moves the selected setting's draft one step.
func (m *model) step(by int) tea.Cmd {
	key := m.selected(m.view)
	s, ok := m.setting(key)
	if !ok {
		return nil
	}
	from := s.Value
	if d, ok := m.drafts[key]; ok {
		from = d
	}
	next, ok := stepped(s, from, by)
	if !ok {
		return m.editSetting(key)
	}
	if next == s.Value {
		delete(m.drafts, key)
		return nil
	}
	m.drafts[key] = next
	return nil
}

// stepped returns the value one step from text, and whether the setting has
// steps at all.
func stepped(s control.Setting, text string, by int) (string, bool) {
	choices := s.Choices
	if s.Kind == string(settings.KindBool) {
		choices = []string{"false", "true"}
	}
	if len(choices) > 0 {
		i := slices.Index(choices, text)
		return choices[((i+by)%len(choices)+len(choices))%len(choices)], true
	}
	if !s.Numeric || s.Secret {
		return text, false
	}
	kind := settings.Kind(s.Kind)
	v, err := settings.ParseNumber(kind, text)
	if err != nil {
		v = s.Number
	}
	size := s.Step
	if size <= 0 {
		size = roundStep(math.Abs(v) / 20)
	}
	if kind == settings.KindInt {
		size = max(1, math.Round(size))
	}
	if size == 0 {
		size = 1
	}
	v += float64(by) * size
	if s.Max > s.Min {
		v = max(s.Min, min(s.Max, v))
	}
	return settings.FormatNumber(kind, v), true
}

// roundStep rounds v to one digit, so that steps read well.
func roundStep(v float64) float64 {
	if v <= 0 {
		return 0
	}
	size := math.Pow(10, math.Floor(math.Log10(v)))
	return math.Round(v/size) * size
}

// bounds says which values a setting takes.
func bounds(s control.Setting) string {
	switch kind := settings.Kind(s.Kind); {
	case len(s.Choices) > 0:
		return strings.Join(s.Choices, ", ")
	case kind == settings.KindBool:
		return "true, false"
	case s.Numeric && s.Max > s.Min:
		return settings.FormatNumber(kind, s.Min) + " … " + settings.FormatNumber(kind, s.Max)
	default:
		return "any " + s.Kind
	}
}

// withUnit returns a setting's text with what it counts.
func withUnit(s control.Setting, text string) string {
	return inUnit(text, s.Unit)
}

// plausible checks text as far as the screen can; the node has the last word.
func plausible(s control.Setting, text string) string {
	if !s.Numeric || s.Kind == string(settings.KindBool) {
		return ""
	}
	kind := settings.Kind(s.Kind)
	v, err := settings.ParseNumber(kind, text)
	if err != nil {
		return err.Error()
	}
	if kind == settings.KindInt {
		if _, err := strconv.Atoi(text); err != nil {
			return strconv.Quote(text) + " is not a whole number"
		}
	}
	if s.Max > s.Min && (v < s.Min || v > s.Max) {
		return "not within " + bounds(s)
	}
	return ""
}

// askChange opens the confirmation of a new value and has the node check it.
func (m *model) askChange(s control.Setting, value string) tea.Cmd {
	if why := m.mayNot(s.Risk); why != "" {
		m.say(inkWarn, s.Key+": "+why)
		return nil
	}
	change := control.Change{Key: s.Key, Value: value}
	c := &confirm{
		title: "Change " + s.Key, verb: "Apply",
		old: withUnit(s, s.Value), new: withUnit(s, value), unit: s.Unit, risk: s.Risk, doc: s.Doc,
		facts:    []string{"bounds " + bounds(s), "default " + withUnit(s, s.Default)},
		explains: true, trial: m.trialLength(), guards: m.guards(s.Part),
	}
	c.check = func(m *model) tea.Cmd { return m.propose(c.id, change) }
	c.apply = func(m *model) tea.Cmd {
		delete(m.drafts, s.Key)
		r := control.ChangeRequest{Changes: []control.Change{change}, Reason: c.reason.text, Revision: c.revision, RevertAfter: c.trial, Guard: c.guard()}
		return m.changed(c.id, "on trial", func(ctx context.Context) (control.ChangeResult, error) { return m.door.Change(ctx, r) })
	}
	if s.Secret {
		c.new = "(a new value)"
	}
	return m.open(c)
}

// guards are the alerts that can watch over a change: those that do not fire, the
// ones of its part first. The first choice is none.
func (m *model) guards(part string) []string {
	own, rest := []string{"none"}, []string{}
	busy := map[string]bool{}
	for _, a := range m.look.Alerts {
		busy[a.Name] = busy[a.Name] || a.State == "firing"
	}
	for _, a := range m.look.Alerts {
		if busy[a.Name] {
			continue
		}
		busy[a.Name] = true // once
		if a.Part == part {
			own = append(own, a.Name)
		} else {
			rest = append(rest, a.Name)
		}
	}
	return append(own, rest...)
}

func (m *model) action(id string) (control.Action, bool) {
	for _, a := range m.actions {
		if a.ID == id {
			return a, true
		}
	}
	return control.Action{}, false
}

// target returns what an action of a view is done to: the selected row, if the
// action takes a target at all.
func (m *model) target(id string, v viewID) string {
	if a, ok := m.action(id); ok && len(a.Targets) == 0 {
		return ""
	}
	return m.selected(v)
}

func (m *model) whyNoAction(id, target string) string {
	a, ok := m.action(id)
	if !ok {
		return "this node does not offer it"
	}
	if len(a.Targets) > 0 && !slices.Contains(a.Targets, target) {
		return "not possible for " + target
	}
	return m.mayNot(a.Risk)
}

// askAction opens the confirmation of an action and has the node say what it
// would do.
func (m *model) askAction(id, target string) tea.Cmd {
	if why := m.whyNoAction(id, target); why != "" {
		m.say(inkWarn, why)
		return nil
	}
	a, _ := m.action(id)
	r := control.ActionRequest{ID: id, Target: target}
	c := &confirm{title: strings.TrimSpace(a.Title + " " + target), verb: "Do it", risk: a.Risk, doc: a.Doc, explains: true, word: a.Word}
	c.check = func(m *model) tea.Cmd { return m.checkAct(c.id, r) }
	c.apply = func(m *model) tea.Cmd {
		r.Reason, r.Word = c.reason.text, c.typed.text
		return m.act(c.id, r)
	}
	return m.open(c)
}

// enter drills down into what is selected: of a setting, where its value comes from.
// It asks to apply a draft.
func (m *model) enter() tea.Cmd {
	sel := m.selected(m.view)
	switch m.view {
	case viewOverview:
		if sel == "" {
			m.say(inkMuted, "choose a row with ↑ and ↓ first")
			return nil
		}
		m.view, m.zoomed = viewBreakers, false
		m.filter[viewBreakers], m.cursorKey[viewBreakers] = "", sel
		m.reseat()
	case viewSettings, viewPool, viewCache:
		s, ok := m.setting(sel)
		if !ok {
			m.say(inkMuted, "nothing is selected")
			return nil
		}
		if d, drafted := m.drafts[sel]; drafted {
			return m.guard(func(m *model) tea.Cmd { return m.askChange(s, d) })
		}
		return m.explain(sel)
	case viewBreakers:
		if b, ok := m.selectedBreaker(); ok {
			return m.drillBreaker(b)
		}
	case viewAlerts:
		if a, ok := m.selectedAlert(); ok {
			return m.drillAlert(a)
		}
	case viewDrill:
		return m.enterDrill()
	default:
		if title, lines := m.details(); title != "" {
			m.overlay = &detail{title: title, lines: lines}
		}
	}
	return nil
}
