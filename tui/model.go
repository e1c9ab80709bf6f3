package tui

import (
	"cmp"
	"context"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/probes/panelfile"
	"github.com/charmbracelet/x/ansi"
)

// viewID is one of the screen's views, or of the operator's own.
type viewID int

const (
	viewOverview viewID = iota + 1
	viewPool
	viewCache
	viewBreakers
	viewUpstreams
	viewAlerts
	viewSettings
	viewEvents
	viewDrill
	viewEnd // from here on are the operator's own

	viewLimit = viewEnd + panelfile.MaxViews
)

var viewNames = [viewEnd]string{
	viewOverview: "overview", viewPool: "pool", viewCache: "cache", viewBreakers: "breakers",
	viewUpstreams: "upstreams", viewAlerts: "alerts", viewSettings: "settings", viewEvents: "events",
	viewDrill: "drill",
}

// model is the whole screen. bubbletea calls it from one goroutine.
type model struct {
	ctx  context.Context
	door Door
	// fleet is the door where it leads to several nodes, else nil.
	fleet    Fleet
	unchosen bool // no node of the fleet is chosen yet
	offered  bool // and the list of them was shown
	era      int  // of the node that is looked at; grows when another is chosen
	keys     []command
	now      func() time.Time

	// the terminal
	w, h      int
	mono      bool
	sync      bool
	palettes  palettes
	own       own
	filesSeen string // stamp of the operator's own files
	pens      *pens

	// what the node said
	look      control.Look
	lookAt    time.Time // when the last look arrived; zero before the first
	lost      string    // why the last look failed; empty when it did not
	inflight  bool
	expecting bool // the first look may come at any moment
	unchanged bool // the last message changed nothing that is drawn, or a look is about to
	panels    map[string]control.Panel
	history   *history
	settings  []control.Setting
	revision  uint64
	actions   []control.Action
	hot       hot
	versions  versions
	practice  practice
	happened  happenings
	awaited   [needEnd]awaited

	ahead time.Duration // the node's clock against ours, at the last look

	// what the operator does
	past       past
	view       viewID
	cursor     [viewLimit]int
	cursorKey  [viewLimit]string
	moved      bool              // the cursor of the alerts view
	focus      [viewLimit]string // id of the panel that has the focus; "" is none
	zoomed     bool              // it covers the body
	zoomFrom   int               // the first of its charts that is shown
	filter     [viewLimit]string
	filtering  bool
	drafts     map[string]string // settings view: new values not yet applied
	overlay    overlay
	asked      int                  // id of the last confirmation
	closed     time.Time            // when one was answered
	mine       map[uint64]bool      // changes that this screen has put on trial
	firstSeen  map[uint64]time.Time // when this screen first saw a change on trial
	status     line
	statusTill time.Time
	unlocked   time.Time // until when; zero is locked
	forever    bool      // unlocked without an end
	owner      bool
	paused     bool
	pausedAt   time.Time
	refresh    time.Duration
	link       *link
	canvas     *canvas
	slow       bool // the link to the terminal is
	alwaysSlow bool // whatever it does
	unseen     bool // the terminal has lost the focus
	crashes    *crashes
	generation int // of the ticks; an older tick is ignored
	bell       bool
	desktop    bool
	tmux       bool // what is not for tmux itself is wrapped
	quitting   bool
}

func newModel(ctx context.Context, door Door, o Options) (*model, error) {
	m := &model{
		ctx: ctx, door: door, keys: keymap(nil), now: time.Now,
		mono:    o.NoColor || os.Getenv("NO_COLOR") != "",
		sync:    !o.NoSync,
		history: newHistory(), panels: map[string]control.Panel{}, drafts: map[string]string{},
		mine: map[uint64]bool{}, firstSeen: map[uint64]time.Time{},
		view: viewOverview, owner: o.Owner, forever: o.Unlocked,
		link: &link{}, canvas: newCanvas(), slow: o.Slow, alwaysSlow: o.Slow,
		practice: newPractice(), versions: versions{screen: printable.Clean(o.Version, nameLength)},
		bell: o.Bell, desktop: o.Desktop, tmux: os.Getenv("TMUX") != "",
		refresh: max(cmp.Or(o.Refresh, time.Second), 100*time.Millisecond),
	}
	m.cursor[viewOverview] = -1
	m.fleet, _ = door.(Fleet)
	m.unchosen = m.fleet != nil && o.Choose
	m.palettes = palettes{dir: o.Themes, auto: o.Theme == "", until: m.now().Add(backgroundWait)}
	m.own.file = o.Panels
	files := readFiles(o.Themes, o.Panels, "")
	m.filesSeen = files.stamp
	m.takePanels(files.views, files.broken)
	if problem := m.palettes.take(files.themes); problem != "" {
		m.say(inkBad, "theme not taken: "+problem)
	}
	name := cmp.Or(o.Theme, m.palettes.first())
	if _, err := m.palettes.get(name); err != nil {
		return nil, err
	}
	m.useTheme(name)
	return m, nil
}

// firstWithin is how long a first look is waited for with nothing on the screen: one
// that comes in time is drawn alone, and sooner for it.
const firstWithin = 100 * time.Millisecond

// firstMsg says that the first look takes its time.
type firstMsg struct{}

// Init starts the ticks and asks the node for what the first look does not ask for.
func (m *model) Init() tea.Cmd {
	cmds := []tea.Cmd{m.tick(), m.fetchPanels(), m.watchFiles()}
	if m.unchosen {
		cmds = append(cmds, m.fetchNodes())
	} else {
		m.expecting = true
		cmds = append(cmds, m.lookNow(), m.fetchHistory(), tea.Tick(firstWithin, func(time.Time) tea.Msg { return firstMsg{} }))
	}
	if m.sync {
		// A terminal that does not know a mode does not answer, and then nothing changes.
		m.canvas.write(ansi.RequestModeSynchronizedOutput + ansi.RequestModeUnicodeCore)
	}
	if m.palettes.auto && !m.mono {
		m.canvas.write(ansi.RequestBackgroundColor)
	}
	return tea.Batch(cmds...)
}

// View has the screen drawn.
func (m *model) View() tea.View {
	content := m.pens.paint(m.draw())
	m.canvas.show(content, m.title())
	return tea.NewView(content)
}

func (m *model) title() string {
	if m.look.Node.Name == "" {
		return "bizra-top"
	}
	return "bizra-top " + m.look.Node.Name
}

// nodeNow returns the time by the node's clock, so that ages are right on a host
// whose clock is not.
func (m *model) nodeNow() time.Time {
	if m.lookAt.IsZero() {
		return m.now()
	}
	switch {
	case m.inPast():
		return m.past.at
	case m.paused || m.lost != "":
		return m.look.Time
	}
	return m.liveNow()
}

// say shows a line above the footer for a while.
func (m *model) say(i ink, text string) {
	m.status = txt(i, text)
	m.statusTill = m.now().Add(8 * time.Second)
}

// setting returns the tunable of that key.
func (m *model) setting(key string) (control.Setting, bool) {
	for _, s := range m.settings {
		if s.Key == key {
			return s, true
		}
	}
	return control.Setting{}, false
}
