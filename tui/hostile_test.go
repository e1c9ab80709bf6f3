package tui

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

// spoiled puts a payload into every string of a value that a door handed out: fields,
// elements, and keys and values of maps, at any depth. What is not a string stays, so
// that the screen draws as much of it as ever. Unset pointers and empty lists get one
// element, so that a field that is added to a type is covered with it.
func spoiled[T any](v T, payload string) T {
	// What the door handed out may be its own: it is not written to.
	return respoiled(reflect.ValueOf(&v).Elem(), payload, 0).Interface().(T)
}

// deepest bounds how far empty lists and pointers are filled; no type goes deeper.
const deepest = 8

func respoiled(v reflect.Value, payload string, depth int) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	if depth > deepest || v.Type() == reflect.TypeFor[time.Time]() {
		return out
	}
	switch v.Kind() {
	case reflect.String:
		out.SetString(payload)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(respoiled(v.Field(i), payload, depth+1))
			}
		}
	case reflect.Pointer:
		of := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			of.Elem().Set(v.Elem())
		}
		of.Elem().Set(respoiled(of.Elem(), payload, depth+1))
		out.Set(of)
	case reflect.Slice:
		n := max(v.Len(), 1)
		list := reflect.MakeSlice(v.Type(), n, n)
		reflect.Copy(list, v)
		for i := range n {
			list.Index(i).Set(respoiled(list.Index(i), payload, depth+1))
		}
		out.Set(list)
	case reflect.Map:
		out.Set(reflect.MakeMap(v.Type()))
		for k, of := range v.Seq2() {
			// The keys that the screen knows stay: else it would not draw what is behind.
			out.SetMapIndex(k, respoiled(of, payload, depth+1))
		}
		one := reflect.New(v.Type().Elem()).Elem()
		out.SetMapIndex(respoiled(reflect.New(v.Type().Key()).Elem(), payload, depth+1), respoiled(one, payload, depth+1))
	}
	return out
}

// hostileDoor is a door whose every answer is hostile. What the screen knows (names of
// rows, states, kinds) stays where it is meant: else most of what is drawn of a healthy
// answer would not be drawn at all.
type hostileDoor struct {
	*fakeDoor
	payload string
	meant   bool // states, kinds and severities stay as they are
	failing bool // every answer but a look, the settings and the actions is an error
}

func answered[T any](d *hostileDoor, v T, err error) (T, error) {
	if d.failing {
		var none T
		return none, &control.Problem{Status: 500, Text: d.payload}
	}
	return spoiled(v, d.payload), err
}

func (d *hostileDoor) Look(ctx context.Context, since uint64) (control.Look, error) {
	was, err := d.fakeDoor.Look(ctx, since)
	l := spoiled(was, d.payload)
	if d.meant {
		l.Role = was.Role
		for i := range was.Breakers {
			l.Breakers[i].Name, l.Breakers[i].State, l.Breakers[i].Class = was.Breakers[i].Name, was.Breakers[i].State, was.Breakers[i].Class
		}
		for i := range was.Upstreams {
			l.Upstreams[i].State, l.Upstreams[i].Name = was.Upstreams[i].State, was.Upstreams[i].Name
		}
		for i := range was.Alerts {
			l.Alerts[i].State, l.Alerts[i].Severity = was.Alerts[i].State, was.Alerts[i].Severity
		}
		for i := range was.Events {
			l.Events[i].Kind = was.Events[i].Kind
		}
	}
	return l, err
}

func (d *hostileDoor) LookAt(ctx context.Context, at time.Time) (control.Look, error) {
	l, err := d.fakeDoor.LookAt(ctx, at)
	return answered(d, l, err)
}

func (d *hostileDoor) Panels(ctx context.Context) ([]control.Panel, error) {
	v, err := d.fakeDoor.Panels(ctx)
	return answered(d, v, err)
}

// History is one point of each series: its labels are what is hostile.
func (d *hostileDoor) History(context.Context, time.Duration, time.Duration) (map[string][]control.Series, error) {
	return answered(d, fakeValues(fakeStart, 14), nil)
}

func (d *hostileDoor) HistoryUntil(ctx context.Context, _ time.Time, span, step time.Duration) (map[string][]control.Series, error) {
	return d.History(ctx, span, step)
}

func (d *hostileDoor) Settings(ctx context.Context) ([]control.Setting, error) {
	was, err := d.fakeDoor.Settings(ctx)
	if !d.meant {
		return spoiled(was, d.payload), err
	}
	list := spoiled(was, d.payload)
	for i := range list {
		list[i].Key, list[i].Part, list[i].Kind = was[i].Key, was[i].Part, was[i].Kind
	}
	return list, err
}

func (d *hostileDoor) SettingsAt(ctx context.Context, at time.Time) ([]control.Setting, error) {
	v, err := d.fakeDoor.SettingsAt(ctx, at)
	return answered(d, v, err)
}

func (d *hostileDoor) Comparison(ctx context.Context, alert string, end time.Time, span, step time.Duration) (control.Comparison, error) {
	v, err := d.fakeDoor.Comparison(ctx, alert, end, span, step)
	return answered(d, v, err)
}

func (d *hostileDoor) EventsUntil(ctx context.Context, at time.Time) (control.Happened, error) {
	v, err := d.fakeDoor.EventsUntil(ctx, at)
	return answered(d, v, err)
}

func (d *hostileDoor) Transitions(ctx context.Context, _ string) ([]control.Transition, error) {
	v, err := d.fakeDoor.Transitions(ctx, "upstream/beta")
	return answered(d, v, err)
}

func (d *hostileDoor) Outcomes(ctx context.Context, breaker string) (control.Outcomes, error) {
	v, err := d.fakeDoor.Outcomes(ctx, breaker)
	return answered(d, v, err)
}

func (d *hostileDoor) HotKeys(ctx context.Context, limit int) ([]control.HotKey, error) {
	v, err := d.fakeDoor.HotKeys(ctx, limit)
	return answered(d, v, err)
}

// Drill keeps what the screen finds faults and loads by.
func (d *hostileDoor) Drill(ctx context.Context) (control.Drill, error) {
	was, err := d.fakeDoor.Drill(ctx)
	v, err := answered(d, was, err)
	for i := range was.Faults {
		if d.meant && err == nil {
			v.Faults[i].ID = was.Faults[i].ID
		}
	}
	return v, err
}

func (d *hostileDoor) StartLoad(ctx context.Context, r control.LoadRequest) (control.Drill, error) {
	v, err := d.fakeDoor.StartLoad(ctx, r)
	return answered(d, v, err)
}

func (d *hostileDoor) StopLoad(ctx context.Context) (control.Drill, error) {
	v, err := d.fakeDoor.Drill(ctx)
	return answered(d, v, err)
}

func (d *hostileDoor) SetFault(ctx context.Context, id string) (control.Drill, error) {
	v, err := d.fakeDoor.SetFault(ctx, id)
	return answered(d, v, err)
}

func (d *hostileDoor) Lift(ctx context.Context, id string) (control.Drill, error) {
	v, err := d.fakeDoor.Lift(ctx, id)
	return answered(d, v, err)
}

func (d *hostileDoor) Change(ctx context.Context, r control.ChangeRequest) (control.ChangeResult, error) {
	v, _ := d.fakeDoor.Change(ctx, r)
	return answered(d, v, nil)
}

func (d *hostileDoor) Keep(ctx context.Context, id string) (control.ChangeResult, error) {
	v, _ := d.fakeDoor.Keep(ctx, id)
	return answered(d, v, nil)
}

func (d *hostileDoor) Revert(ctx context.Context, id string) (control.ChangeResult, error) {
	v, _ := d.fakeDoor.Revert(ctx, id)
	return answered(d, v, nil)
}

func (d *hostileDoor) Undo(ctx context.Context) (control.ChangeResult, error) {
	v, err := d.fakeDoor.Undo(ctx)
	return answered(d, v, err)
}

func (d *hostileDoor) Redo(ctx context.Context) (control.ChangeResult, error) {
	v, err := d.fakeDoor.Redo(ctx)
	return answered(d, v, err)
}

func (d *hostileDoor) Explain(ctx context.Context, key string) ([]settings.Layer, error) {
	v, err := d.fakeDoor.Explain(ctx, key)
	return answered(d, v, err)
}

func (d *hostileDoor) Save(ctx context.Context, r control.SaveRequest) (control.SaveResult, error) {
	v, err := d.fakeDoor.Save(ctx, r)
	return answered(d, v, err)
}

func (d *hostileDoor) Actions(ctx context.Context) ([]control.Action, error) {
	was, err := d.fakeDoor.Actions(ctx)
	list := spoiled(was, d.payload)
	for i := range was {
		if d.meant { // the keys of the views find them by these
			list[i].ID, list[i].Targets = was[i].ID, append(was[i].Targets, d.payload)
			if len(was[i].Targets) == 0 {
				list[i].Targets = nil
			}
		}
	}
	return list, err
}

func (d *hostileDoor) Act(ctx context.Context, r control.ActionRequest) (control.ActionResult, error) {
	v, err := d.fakeDoor.Act(ctx, r)
	return answered(d, v, err)
}

func (d *hostileDoor) AddSilence(ctx context.Context, r control.SilenceRequest) (control.Silence, error) {
	v, err := d.fakeDoor.AddSilence(ctx, r)
	return answered(d, v, err)
}

func (d *hostileDoor) ExpireSilence(ctx context.Context, id string) (control.Silence, error) {
	v, err := d.fakeDoor.ExpireSilence(ctx, id)
	return answered(d, v, err)
}

func (d *hostileDoor) Acknowledge(ctx context.Context, r control.AcknowledgeRequest) (control.Alert, error) {
	v, err := d.fakeDoor.Acknowledge(ctx, r)
	return answered(d, v, err)
}

func (d *hostileDoor) Withdraw(ctx context.Context, fingerprint string) (control.Alert, error) {
	v, err := d.fakeDoor.Withdraw(ctx, fingerprint)
	return answered(d, v, err)
}

// screenOn is a screen on another door than the fake one, which is behind it.
func screenOn(t *testing.T, door Door, fake *fakeDoor, w, h int) *screen {
	t.Helper()
	s := &screen{t: t, door: fake, at: fakeStart}
	m, err := newModel(t.Context(), door, Options{Theme: "dark"})
	if err != nil {
		t.Fatal(err)
	}
	s.model = m
	m.now = func() time.Time { return s.at }
	fake.now = m.now
	m.w, m.h = w, h
	for _, ask := range []func() tea.Cmd{m.fetchHistory, m.fetchPanels, m.fetchSettings, m.fetchActions, m.lookNow} {
		s.run(ask())
	}
	return s
}

// tours are what an operator presses in each view: drill-downs, dialogs and their
// answers.
var tours = map[viewID][][]string{
	viewOverview:  {{"j", "enter"}, {"tab", "z"}, {"tab", "tab", "z", "j"}, {"u"}, {"u", "enter"}, {"U"}, {"U", "y"}, {"y"}, {"w"}, {"w", "y"}, {"w", "tab", "enter"}, {"E"}, {"T", "5", "m", "enter"}},
	viewPool:      {{"enter"}, {"e"}, {"e", "2", "0", "enter"}, {"e", "2", "0", "enter", "y"}, {"e", "2", "0", "enter", "tab", "tab", "tab", "right"}, {"right", "enter"}, {"r"}, {"r", "y"}, {"tab", "z"}},
	viewCache:     {{"enter"}, {"e"}, {"f"}, {"F"}, {"tab", "z"}},
	viewBreakers:  {{"enter"}, {"j", "enter"}, {"o"}, {"j", "o", "y"}, {"c"}, {"r"}, {"m"}, {"e"}, {"tab", "z"}},
	viewUpstreams: {{"enter"}, {"j", "enter"}, {"d"}, {"j", "d", "y"}, {"r"}, {"r", "y"}, {"tab", "z"}},
	viewAlerts:    {{"enter"}, {"j", "enter"}, {"a"}, {"a", "y"}, {"s"}, {"s", "y"}, {"e"}, {"e", "enter"}, {"j", "e"}, {"tab", "z"}},
	viewSettings:  {{"enter"}, {"j", "enter"}, {"e"}, {"right", "enter"}, {"right", "enter", "y"}, {"G", "enter"}, {"/", "·", "enter"}},
	viewEvents:    {{"enter"}, {"j", "enter"}, {"E"}, {"/", "·", "enter"}},
	viewDrill:     {{"right", "j", "left"}, {"s"}, {"s", "y"}, {"j", "j", "j", "enter"}, {"G", "enter"}, {"G", "enter", "y"}, {"x"}, {"tab", "z"}},
}

// tour shows every view with what can be opened there, after the keys of each of times,
// and looks at the screen after each.
func (s *screen) tour(times [][]string, look func(what string)) {
	for v := viewOverview; v < viewEnd; v++ {
		for _, then := range times {
			for _, keys := range append([][]string{nil, {":"}, {"?"}}, tours[v]...) {
				s.overlay, s.zoomed = nil, false
				s.run(s.live())
				s.unlocked = s.at.Add(time.Hour)
				s.run(s.show(v))
				s.keys(then...)
				s.keys(keys...)
				look(viewNames[v])
			}
		}
	}
}

var hostileSizes = [][2]int{{80, 24}, {200, 50}}

// No string of any answer of the node brings an escape code to the terminal, whatever
// is opened.
func TestNoAnswerBringsEscapeCodes(t *testing.T) {
	for i, payload := range payloads {
		for _, how := range []string{"strange", "known", "failing"} {
			if how == "failing" && i%5 != 0 {
				continue // errors are cleaned in one place, which all payloads meet below
			}
			size := hostileSizes[i%len(hostileSizes)]
			d := &hostileDoor{fakeDoor: newFakeDoor(), payload: payload, meant: how != "strange"}
			s := screenOn(t, d, d.fakeDoor, size[0], size[1])
			d.unsaved, d.failing = 3, how == "failing"
			times := [][]string{nil}
			if i%5 == 0 {
				times = append(times, []string{"["}, []string{"{", "{", "{", "{"})
			}
			s.tour(times, func(what string) { t.Helper(); checkClean(t, s, how+" "+what) })
			s.say(inkBad, cleanError(errors.New(payload)))
			checkClean(t, s, "status")
			look, _ := d.Look(t.Context(), 0)
			if text := Text(look, nil, 120); strings.ContainsAny(text, "\x1b\x07\x00\r\u202e\u009b") {
				t.Errorf("%q: the plain text is not clean", payload)
			}
		}
	}
}
