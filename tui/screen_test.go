package tui

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/exp/golden"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/control"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Unsetenv("NO_COLOR")
	goleak.VerifyTestMain(m)
}

// screen is a model with a fake node, driven without a terminal.
type screen struct {
	*model
	t    *testing.T
	door *fakeDoor
	at   time.Time
}

func newScreen(t *testing.T, w, h int, change ...func(*fakeDoor, *Options)) *screen {
	t.Helper()
	d, o := newFakeDoor(), Options{Theme: "dark"}
	for _, c := range change {
		c(d, &o)
	}
	m, err := newModel(context.Background(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{model: m, t: t, door: d, at: fakeStart}
	m.now = func() time.Time { return s.at }
	d.now = m.now
	s.Update(tea.WindowSizeMsg{Width: w, Height: h})
	for _, cmd := range []tea.Cmd{m.fetchHistory(), m.fetchPanels(), m.fetchSettings(), m.fetchActions(), m.lookNow()} {
		s.run(cmd)
	}
	return s
}

// run does a command and what follows from it, except waiting.
func (s *screen) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case nil, tea.QuitMsg, tickMsg, tea.SuspendMsg:
	case tea.BatchMsg:
		for _, c := range msg {
			s.run(c)
		}
	default:
		_, next := s.Update(msg)
		s.run(next)
	}
}

// look is one tick of the screen, after a while.
func (s *screen) after(d time.Duration) {
	s.at = s.at.Add(d)
	s.run(s.lookNow())
	s.run(s.retry())
}

var keyCodes = map[string]tea.KeyPressMsg{
	"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "tab": {Code: tea.KeyTab},
	"up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown}, "left": {Code: tea.KeyLeft}, "right": {Code: tea.KeyRight},
	"backspace": {Code: tea.KeyBackspace}, "ctrl+c": {Code: 'c', Mod: tea.ModCtrl}, "ctrl+u": {Code: 'u', Mod: tea.ModCtrl},
	"pgdown": {Code: tea.KeyPgDown},
}

// keys presses keys: names such as enter, or single characters.
func (s *screen) keys(keys ...string) *screen {
	s.t.Helper()
	for _, k := range keys {
		_, cmd := s.Update(keyPress(k))
		s.run(cmd)
	}
	return s
}

func keyPress(k string) tea.KeyPressMsg {
	msg, ok := keyCodes[k]
	if !ok {
		r := []rune(k)
		if len(r) != 1 {
			panic("no key " + k)
		}
		msg = tea.KeyPressMsg{Code: r[0], Text: k}
	}
	return msg
}

func (s *screen) typed(text string) *screen { return s.keys(strings.Split(text, "")...) }

func (s *screen) text() string { return ansi.Strip(s.View().Content) }

func (s *screen) shows(parts ...string) {
	s.t.Helper()
	text := s.text()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			s.t.Errorf("the screen does not show %q:\n%s", p, text)
		}
	}
}

func (s *screen) hides(parts ...string) {
	s.t.Helper()
	text := s.text()
	for _, p := range parts {
		if strings.Contains(text, p) {
			s.t.Errorf("the screen shows %q:\n%s", p, text)
		}
	}
}

var sizes = map[string][2]int{"40x10": {40, 10}, "80x24": {80, 24}, "120x40": {120, 40}, "200x50": {200, 50}, "300x80": {300, 80}}

// The golden screens; go test ./tui -update writes them anew.
func TestGoldenViews(t *testing.T) {
	for v := viewOverview; v < viewEnd; v++ {
		for size, wh := range sizes {
			t.Run(viewNames[v]+"-"+size, func(t *testing.T) {
				s := newScreen(t, wh[0], wh[1]).keys(keyOf(v))
				if v == viewBreakers || v == viewUpstreams {
					s.keys("j")
				}
				golden.RequireEqual(t, s.text())
			})
		}
	}
}

func TestGoldenDialogs(t *testing.T) {
	for name, keys := range map[string][]string{
		"unlock":     {"2", "e"},
		"editor":     {"2", "ctrl+u", "y", "e", "right"},
		"confirm":    {"2", "ctrl+u", "y", "e", "right", "enter"},
		"act":        {"4", "j", "ctrl+u", "y", "o"},
		"refused":    {"2", "ctrl+u", "y", "e", "6", "4", "enter"},
		"palette":    {":", "b", "e", "t", "a"},
		"help":       {"4", "?"},
		"alert":      {"6", "j", "enter"},
		"silence":    {"6", "ctrl+u", "y", "s", "right", "tab", "d", "e", "p", "l", "o", "y"},
		"ack":        {"6", "ctrl+u", "y", "a"},
		"handled":    {"6", "ctrl+u", "y", "s", "y", "j", "a", "y", "k"},
		"thresholds": {"6", "j", "j", "ctrl+u", "y", "e"},
		"draft":      {"7", "G", "ctrl+u", "y", "left", "left"},
		"quit":       {"q"},
		"event":      {"8", "j", "j", "enter"},
		"upstream":   {"5", "j", "j", "enter"},
		"withdraw":   {"6", "ctrl+u", "y", "a", "y", "a"},
		"unsilence":  {"6", "ctrl+u", "y", "s", "y", "s"},
		"undo":       {"ctrl+u", "y", "u"},
		"versions":   {":", "v", "e", "r", "s", "enter"},
		"nothing":    {":", "q", "q", "q"},
		"secret":     {"7", "ctrl+u", "y", "/", "d", "s", "n", "enter", "e", "p", "a", "s", "s"},
	} {
		for size, wh := range sizes {
			t.Run(name+"-"+size, func(t *testing.T) {
				s := newScreen(t, wh[0], wh[1], func(d *fakeDoor, o *Options) {
					o.Owner, o.Version = true, "0.1.0"
					if name != "secret" {
						return
					}
					d.settings = append(d.settings, control.Setting{Key: "store.dsn", Part: "store", Kind: "string", Secret: true, Value: "set", Risk: "high", Doc: "Where PostgreSQL is."})
				}).keys(keys...)
				golden.RequireEqual(t, s.text())
			})
		}
	}
}

// onTrial is a screen on which one change is on trial from here, and another one from
// somewhere else.
func onTrial(t *testing.T, w, h int, others int) *screen {
	s := newScreen(t, w, h).keys("ctrl+u", "y", "2", "right", "enter", "y")
	for i := range others {
		s.door.trials = append(s.door.trials, control.Trial{ID: uint64(90 + i), By: "alice", Since: s.at, Deadline: s.at.Add(time.Duration(200+i) * time.Second),
			Guard: "PoolSaturated", Changes: []control.Changed{{Key: "upstream.hedge_after", Old: "250ms", New: "300ms", Risk: "medium"}}})
	}
	s.after(13 * time.Second)
	s.status = nil
	return s
}

// The list of nodes behind a Prometheus server.
func TestGoldenNodes(t *testing.T) {
	for size, wh := range sizes {
		t.Run(size, func(t *testing.T) {
			s, _ := newFleet(t, "", "10.0.0.1:3000", "10.0.0.2:3000", "bad\x1b[2J")
			s.Update(tea.WindowSizeMsg{Width: wh[0], Height: wh[1]})
			golden.RequireEqual(t, s.text())
		})
	}
}

// controlDialogs are the states of TestGoldenControl in which a dialog is open.
var controlDialogs = []string{"choose", "conflict", "reason", "guard", "word", "save", "explain", "redo", "others",
	"alert", "past alert", "no threshold", "breaker", "past breaker", "go to"}

// Live control: dialogs at every size, other states at the two sizes that people have,
// and the countdown at the smallest too.
func TestGoldenControl(t *testing.T) {
	states := map[string]func(s *screen){
		"trial":    func(s *screen) { s.keys("1") },
		"trials":   func(s *screen) { s.keys("1") },
		"lost":     func(s *screen) { s.door.err = errors.New("connection refused"); s.after(4 * time.Second) },
		"choose":   func(s *screen) { s.keys("y") },
		"conflict": func(s *screen) { s.door.conflict = conflict; s.keys("right", "enter", "y") },
		"reason":   func(s *screen) { s.keys("right", "enter", "tab", "tab").typed("the pool is full") },
		"guard":    func(s *screen) { s.keys("right", "enter", "tab", "tab", "tab", "right") },
		"word":     func(s *screen) { s.keys("3", "f").typed("flu") },
		"save":     func(s *screen) { s.door.unsaved = 3; s.after(time.Second); s.keys("w") },
		"explain":  func(s *screen) { s.keys("7", "enter") },
		"unsaved":  func(s *screen) { s.door.unsaved = 3; s.after(time.Second); s.keys("7") },
		"viewer":   func(s *screen) { s.door.role = "viewer"; s.after(time.Second); s.keys("ctrl+u") },
		"operator": func(s *screen) { s.door.role = "operator"; s.after(time.Second); s.keys("2", "g", "e") },
		"redo":     func(s *screen) { s.keys("U") },
		"others": func(s *screen) {
			s.door.trials = []control.Trial{{ID: 7, By: "alice", Deadline: s.at.Add(time.Minute), Changes: []control.Changed{{Key: "cache.l2.enabled", Old: "true", New: "false"}}}}
			s.after(2 * time.Second)
			s.keys("1", "u")
		},
		"past":          func(s *screen) { s.keys("1", "{", "[") },
		"past pool":     func(s *screen) { s.keys("2", "{") },
		"past alerts":   func(s *screen) { s.keys("6", "{") },
		"past breakers": func(s *screen) { s.keys("4", "j", "{") },
		"past settings": func(s *screen) { s.keys("7", "{", "G") },
		"past events":   func(s *screen) { s.keys("8", "[", "[", "[") },
		"before":        func(s *screen) { s.keys("1", "T").typed("2h").keys("enter") },
		"alert":         func(s *screen) { s.keys("6", "enter") },
		"past alert":    func(s *screen) { s.keys("6", "enter", "[") },
		"no threshold":  func(s *screen) { s.keys("6", "G", "enter") },
		"breaker":       func(s *screen) { s.keys("4", "j", "enter") },
		"past breaker":  func(s *screen) { s.keys("4", "j", "enter", "{") },
		"go to":         func(s *screen) { s.keys("1", "T").typed("11:58") },
		"drained": func(s *screen) {
			s.door.spoil = func(l *control.Look) { l.Node.Draining = true }
			s.after(time.Second)
		},
		"events": func(s *screen) {
			for i, e := range []control.Event{{Text: "kept: 15", Actor: "root"}, {Text: "reverted: 15 -> 14 (not kept in time)", Actor: "node"},
				{Text: "undone: 15 -> 14", Actor: "root"}, {Text: "reloaded: 14 -> 16 (SIGHUP)", Actor: "node"}, {Severity: "bad", Text: "could not go back and is kept: no", Actor: "node"}} {
				e.Seq, e.Time, e.Kind, e.Subject = uint64(len(s.door.events)+1), s.at.Add(time.Duration(i)*time.Second), "change", "pool.limit"
				e.Severity = cmp.Or(e.Severity, "info")
				s.door.events = append(s.door.events, e)
			}
			s.after(time.Second)
			s.keys("8")
		},
	}
	for name, do := range states {
		for size, wh := range sizes {
			if !slices.Contains(controlDialogs, name) &&
				(wh[0] > 120 || size == "40x10" && !slices.Contains([]string{"trial", "trials", "lost"}, name)) {
				continue
			}
			t.Run(strings.ReplaceAll(name, " ", "-")+"-"+size, func(t *testing.T) {
				others := 0
				if name == "trials" || name == "choose" {
					others = 2
				}
				s := onTrial(t, wh[0], wh[1], others)
				do(s)
				golden.RequireEqual(t, s.text())
			})
		}
	}
}

var conflict = &control.Problem{Status: 409, Text: "pool.limit was changed by alice 3s ago, 15 -> 9: look again, then decide"}

func TestGoldenText(t *testing.T) {
	d := newFakeDoor()
	look, _ := d.Look(t.Context(), 0)
	panels, _ := d.Panels(t.Context())
	text := Text(look, panels, 100)
	if strings.ContainsRune(text, '\x1b') {
		t.Error("an escape code in the plain text")
	}
	golden.RequireEqual(t, text)
}

// No size breaks a view, and none draws more than the terminal has.
func TestEverySize(t *testing.T) {
	s := onTrial(t, 80, 24, 4)
	var dims [][2]int
	for w := 1; w <= 300; w += 1 + w/6 {
		for h := 1; h <= 100; h += 1 + h/5 {
			dims = append(dims, [2]int{w, h})
		}
	}
	open := map[string]func(){
		"nothing": func() { s.overlay = nil },
		"palette": func() { s.openPalette() },
		"help":    func() { s.openHelp() },
		"confirm": func() { set, _ := s.setting("pool.limit"); s.askChange(set, "20") },
		"editor":  func() { s.editSetting("pool.limit") },
		"unlock":  func() { s.overlay = &unlockPrompt{} },
		"silence": func() { s.silence() },
		"word":    func() { s.askAction("cache.flush_l1", "") },
		"save":    func() { s.run(s.askSave()) },
		"alert":   func() { s.run(s.drillAlert(s.look.Alerts[0])) },
		"breaker": func() { s.run(s.drillBreaker(s.look.Breakers[1])) },
		"explain": func() { s.run(s.explain("pool.limit")) },
		"quit":    func() { s.overlay = &quitPrompt{} },
	}
	for v := viewOverview; v < viewEnd; v++ {
		s.view = v
		for name, o := range open {
			if v != viewOverview && name != "nothing" {
				continue
			}
			o()
			for _, d := range dims {
				s.Update(tea.WindowSizeMsg{Width: d[0], Height: d[1]})
				checkSize(t, s.draw(), d[0], d[1], viewNames[v]+" with "+name)
			}
		}
		s.overlay = nil
	}
}

func checkSize(t *testing.T, lines []line, w, h int, what string) {
	t.Helper()
	if len(lines) != h {
		t.Fatalf("%s at %dx%d: %d rows", what, w, h, len(lines))
	}
	for y, l := range lines {
		if n := l.width(); n != w {
			t.Fatalf("%s at %dx%d: row %d has %d columns: %q", what, w, h, y, n, l.String())
		}
	}
}

// An empty node, one that has not answered, and one full of odd values are all
// drawn at every size.
func TestOddNodes(t *testing.T) {
	for name, spoil := range map[string]func(*control.Look){
		"empty": func(l *control.Look) { *l = control.Look{Time: l.Time} },
		"nulls": func(l *control.Look) {
			for id := range l.Panels {
				l.Panels[id] = []control.Value{{}}
			}
		},
		"wide": func(l *control.Look) {
			for i := range l.Breakers {
				l.Breakers[i].Name, l.Breakers[i].LastError = strings.Repeat("世界", 40), strings.Repeat("データ ", 90)
			}
			for i := range l.Upstreams {
				l.Upstreams[i].Name = "e\u0301\u200d👩‍👩‍👧 " + strings.Repeat("é", 99)
			}
		},
		"many": func(l *control.Look) {
			for range 6 {
				l.Breakers = append(l.Breakers, l.Breakers...)
				l.Upstreams = append(l.Upstreams, l.Upstreams...)
				l.Alerts = append(l.Alerts, l.Alerts...)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScreen(t, 80, 24, func(d *fakeDoor, _ *Options) { d.spoil = spoil })
			for v := viewOverview; v < viewEnd; v++ {
				s.view = v
				for _, d := range [][2]int{{1, 1}, {17, 5}, {40, 10}, {80, 24}, {120, 40}, {200, 50}} {
					s.Update(tea.WindowSizeMsg{Width: d[0], Height: d[1]})
					checkSize(t, s.draw(), d[0], d[1], viewNames[v])
				}
			}
		})
	}
}
