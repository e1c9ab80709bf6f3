package tui

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
)

// practice is the drill view: a load that is put on the node, and what is made to fail.
type practice struct {
	drill   control.Drill
	told    bool
	problem string // why it is not known
	lacking bool   // the node is of a version that has none

	// what is chosen for the next load
	pattern string
	rate    float64
	length  time.Duration
}

// The rows of the drill view before the faults.
const (
	rowPattern = "pattern"
	rowRate    = "rate"
	rowLength  = "length"
	rowLoad    = "load"
	rowFault   = "fault " // and its id
)

// The rates and lengths that ← and → go through; the node says which it takes.
var (
	drillRates   = []float64{5, 10, 20, 50, 100, 200, 300, 500, 1000, 2000, 3500, 5000}
	drillLengths = []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}
)

// patternDocs say what the rate does, for those that this screen knows.
var patternDocs = map[string]string{
	"constant": "the rate throughout", "ramp": "a tenth of it, rising to it", "spike": "a fifth, and the rate in the middle",
	"wave": "between a third and the rate", "burst": "the rate, then nothing, by turns",
}

// drillMsg is the drill as the node tells it. Of what was asked for, id is the
// confirmation that asked.
type drillMsg struct {
	drill   control.Drill
	err     string
	lacking bool
	asked   bool // for a step, and not only how things are
	id      int
	done    string
}

func newPractice() practice { return practice{pattern: "wave", rate: 100, length: time.Minute} }

// drilling tells whether anything is practised.
func (m *model) drilling() bool {
	d := m.practice.drill
	return d.Load != nil && d.Load.Running || len(m.faultsOn()) > 0
}

// faultsOn are the faults in force.
func (m *model) faultsOn() []control.DrillFault {
	return slices.DeleteFunc(slices.Clone(m.practice.drill.Faults), func(f control.DrillFault) bool { return !f.Active })
}

func cleanDrill(d control.Drill) control.Drill {
	d.Patterns = owned(d.Patterns, 20)
	for i := range d.Patterns {
		cleanAll(nameLength, &d.Patterns[i])
	}
	cleanAll(nameLength, &d.MaxLength, &d.FaultFor, &d.Word)
	cleanAll(textLength, &d.Without)
	d.Faults = owned(d.Faults, 100)
	for i := range d.Faults {
		f := &d.Faults[i]
		cleanAll(nameLength, &f.ID, &f.Title, &f.By)
		cleanAll(textLength, &f.Doc)
	}
	if d.Load != nil {
		l := *d.Load
		cleanAll(nameLength, &l.Pattern, &l.By)
		cleanAll(textLength, &l.Failure, &l.Problem)
		l.Timeline = owned(l.Timeline[max(0, len(l.Timeline)-maxRows):], maxRows)
		d.Load = &l
	}
	return d
}

// fetchDrill asks how the drill goes while it is shown, or while something is practised.
func (m *model) fetchDrill() tea.Cmd {
	if m.view != viewDrill && !m.drilling() || m.lookAt.IsZero() || m.inPast() || m.paused || m.practice.lacking {
		return nil
	}
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		d, err := m.door.Drill(ctx)
		return drillMsg{drill: cleanDrill(d), err: cleanError(err), lacking: notOffered(err)}
	})
}

// tookDrill takes in how the drill goes.
func (m *model) tookDrill(msg drillMsg) tea.Cmd {
	if msg.err == "" {
		m.practice.drill, m.practice.told, m.practice.problem = msg.drill, true, ""
		m.reseat()
	} else if !msg.asked {
		m.practice.told, m.practice.problem = true, msg.err
	}
	if m.practice.lacking = msg.lacking; msg.lacking {
		m.lack("drills")
	}
	if msg.asked {
		return m.done(doneMsg{id: msg.id, text: msg.done, err: msg.err})
	}
	return nil
}

// practise asks for a step of the drill.
func (m *model) practise(id int, done string, ask func(context.Context) (control.Drill, error)) tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		d, err := ask(ctx)
		return drillMsg{drill: cleanDrill(d), err: cleanError(err), asked: true, id: id, done: done}
	})
}

// drillRows are the keys of the rows.
func (m *model) drillRows() []string {
	out := []string{rowPattern, rowRate, rowLength, rowLoad}
	for _, f := range m.practice.drill.Faults {
		out = append(out, rowFault+f.ID)
	}
	return out
}

// selectedFault is the fault that is selected, if one is.
func (m *model) selectedFault() (control.DrillFault, bool) {
	id, ok := strings.CutPrefix(m.selected(viewDrill), rowFault)
	i := slices.IndexFunc(m.practice.drill.Faults, func(f control.DrillFault) bool { return f.ID == id })
	if !ok || i < 0 {
		return control.DrillFault{}, false
	}
	return m.practice.drill.Faults[i], true
}

// stepDrill moves what is selected to the next value.
func (m *model) stepDrill(by int) tea.Cmd {
	p := &m.practice
	switch m.selected(viewDrill) {
	case rowPattern:
		p.pattern = stepIn(p.drill.Patterns, p.pattern, by, true)
	case rowRate:
		p.rate = stepIn(slices.DeleteFunc(slices.Clone(drillRates), func(r float64) bool { return p.drill.MaxRate > 0 && r > p.drill.MaxRate }), p.rate, by, false)
	case rowLength:
		p.length = stepIn(drillLengths, p.length, by, false)
	default:
		m.say(inkMuted, "enter chooses it")
	}
	return nil
}

// stepIn returns the value after or before one in a list, around its end or not.
func stepIn[T comparable](list []T, at T, by int, around bool) T {
	i := slices.Index(list, at)
	switch {
	case len(list) == 0:
		return at
	case i < 0:
		return list[0]
	case around:
		return list[(i+by+len(list))%len(list)]
	}
	return list[max(0, min(i+by, len(list)-1))]
}

func (m *model) whyNoDrill() string {
	switch p := m.practice; {
	case p.lacking:
		return control.ErrNotOffered.Error()
	case !p.told || p.problem != "":
		return cmp.Or(p.problem, "the node has not answered yet")
	}
	return ""
}

func (m *model) whyNoLift() string {
	if why := m.whyNoDrill(); why != "" {
		return why
	}
	if len(m.faultsOn()) == 0 {
		return "no fault is in force"
	}
	return ""
}

// enterDrill starts or stops the load, or has the selected fault begin or end.
func (m *model) enterDrill() tea.Cmd {
	if why := m.whyNoDrill(); why != "" {
		m.say(inkWarn, why)
		return nil
	}
	return m.guard(func(m *model) tea.Cmd {
		f, ok := m.selectedFault()
		switch {
		case !ok:
			return m.toggleLoad()
		case f.Active:
			return m.practise(0, "lifted: "+f.Title, func(ctx context.Context) (control.Drill, error) { return m.door.Lift(ctx, f.ID) })
		}
		lasts := m.practice.drill.FaultFor
		if d, err := time.ParseDuration(lasts); err == nil {
			lasts = age(d)
		}
		c := &confirm{title: "Have it fail: " + f.Title, verb: "Fail", old: "as it is", new: f.Doc,
			doc: "It lifts itself after " + lasts + "; x lifts all."}
		c.apply = func(m *model) tea.Cmd {
			return m.practise(c.id, "in force: "+f.Title, func(ctx context.Context) (control.Drill, error) { return m.door.SetFault(ctx, f.ID) })
		}
		return m.open(c)
	})
}

// toggleLoad asks to start the load that is chosen, or ends the one that runs.
func (m *model) toggleLoad() tea.Cmd {
	p := m.practice
	if l := p.drill.Load; l != nil && l.Running {
		return m.practise(0, "stopped: "+l.Pattern+" load", m.door.StopLoad)
	}
	r := control.LoadRequest{Pattern: p.pattern, Rate: p.rate, Length: p.length.String()}
	c := &confirm{title: "Start a load", verb: "Start", old: "no load", new: r.Pattern + ", at most " + perSecond(r.Rate) + " for " + age(p.length),
		word: p.drill.Word, risk: "medium",
		doc: "The node puts it on its own API, so both share this host's processors. It ends by itself, and with s."}
	if p.drill.Word != "" {
		c.risk = "high"
		c.doc = "This node is no demo: the load comes on top of what its clients ask, and what is not cached goes to its providers. It ends by itself, and with s."
	}
	c.apply = func(m *model) tea.Cmd {
		r.Word = c.typed.text
		return m.practise(c.id, "started: "+c.new, func(ctx context.Context) (control.Drill, error) { return m.door.StartLoad(ctx, r) })
	}
	return m.open(c)
}

func (m *model) liftAll() tea.Cmd {
	return m.practise(0, "all faults are lifted", func(ctx context.Context) (control.Drill, error) { return m.door.Lift(ctx, "") })
}

// drillPanels show what can be practised, how the load is answered, and what it does.
func (m *model) drillPanels(r rect) []panel {
	list := panel{id: "drill", at: r, draw: m.drillTable, list: true}
	if r.h < 8 || r.w < 76 {
		return []panel{list}
	}
	var right rect
	list.at, right = r.splitLeft(min(max(44, r.w/2), 84), 3)
	now := panel{id: "load", at: right, draw: m.loadNow}
	if right.h < 14 {
		return []panel{list, now}
	}
	now.at, right = right.splitTop(9)
	return append([]panel{list, now}, m.charts(right,
		plot{"Requests", control.UnitPerSecond, []plotted{{name: "answered", panel: "request_rate", ink: inkChart1, heavy: true}}},
		plot{"Latency", control.UnitSeconds, []plotted{{name: "p50", panel: "latency_p50", ink: inkChart2}, {name: "p99", panel: "latency_p99", ink: inkChart1, heavy: true}}},
		plot{"Errors", unitShare, []plotted{{name: "5xx", panel: "error_ratio", ink: inkBad, heavy: true}}},
		plot{"Pool saturation", control.UnitRatio, []plotted{{name: "of the limit", panel: "pool_saturation", ink: inkChart4, heavy: true}}},
	)...)
}

func (m *model) drillTable(w, h int) []line {
	p, d := m.practice, m.practice.drill
	note := txt(inkMuted, "demo")
	switch n := len(m.faultsOn()); {
	case n > 0:
		note = cat(txt(inkWarn, whole(n)+" in force  "), txt(inkKey, "x"), txt(inkMuted, " lifts all"))
	case d.Word != "":
		note = txt(inkWarn, "not a demo")
	}
	title := titledRight("Drill", note, w)
	switch {
	case m.inPast():
		return []line{title, txt(inkMuted, noData+" a drill is now: L returns")}
	case p.problem != "":
		return append([]line{title}, wrap(inkMuted, noData+" "+p.problem, w, 3)...)
	case !p.told:
		return []line{title, txt(inkMuted, "… the node is asked")}
	}
	cols := []column{{title: "", w: 15}, {title: "", w: 12}, {title: "", w: 8, grow: 1, drop: 1}}
	choice := func(text string) line { return cat(txt(inkKey, "‹"), txt(inkStrong, text), txt(inkKey, "›")) }
	load, what := txt(inkText, "▸ start"), "enter, or s"
	if l := d.Load; l != nil && l.Running {
		load, what = cat(txt(inkWarn, "■ stop")), "by "+l.By+", "+age(l.Ends.Sub(m.nodeNow()))+" left"
	}
	rows := []row{
		{txt(inkText, "pattern"), choice(p.pattern), txt(inkMuted, patternDocs[p.pattern])},
		{txt(inkText, "rate"), choice(perSecond(p.rate)), txt(inkMuted, "at most, by ←→")},
		{txt(inkText, "length"), choice(age(p.length)), txt(inkMuted, "then it ends")},
		{txt(inkStrong, "load"), load, txt(inkMuted, what)},
	}
	for _, f := range d.Faults {
		state := txt(inkMuted, "· off")
		if f.Active {
			state = txt(inkBad, "✗ on "+age(f.Until.Sub(m.nodeNow())))
		}
		rows = append(rows, row{txt(inkText, f.Title), state, txt(inkMuted, f.Doc)})
	}
	cursor := slices.Index(m.drillRows(), m.selected(viewDrill))
	out := append([]line{title}, table(cols, rows, cursor, w, h-1)[1:]...)
	if d.Without != "" && len(out)+1 < h {
		out = append(append(out, nil), wrap(inkMuted, d.Without, w, h-len(out)-1)...)
	}
	return out
}

// loadNow says how the newest load is answered, second by second.
func (m *model) loadNow(w, _ int) []line {
	d := m.practice.drill
	switch {
	case m.inPast():
		return []line{titled("Load", w), txt(inkMuted, noData+" no metric tells of it")}
	case d.Load == nil:
		return []line{titled("Load", w), txt(inkMuted, noData+" none was started here")}
	}
	l := d.Load
	state := cat(txt(inkMuted, "ended "+since(m.nodeNow(), l.Ends)+" ago"))
	if l.Running {
		state = cat(txt(inkGood, "● "), txt(inkText, age(l.Ends.Sub(m.nodeNow()))+" left"))
	}
	out := []line{titledRight("Load: "+l.Pattern+" "+perSecond(l.Rate), state, w)}
	if l.Problem != "" {
		return append(out, wrap(inkBad, "✗ "+l.Problem, w, 4)...)
	}
	if len(l.Timeline) == 0 {
		return append(out, txt(inkMuted, "… it finds out what to ask for"))
	}
	n := max(w-19, 0)
	draw := func(name string, u control.Unit, of func(control.DrillSecond) float64, drawn, written ink) line {
		last := l.Timeline[max(0, len(l.Timeline)-n):]
		values := make([]float64, len(last))
		for i, s := range last {
			values[i] = of(s)
		}
		return labelled(name, number(u, of(l.Timeline[len(l.Timeline)-1])), written, txt(drawn, spark(values, 0)))
	}
	bad := inkMuted
	if l.Errors > 0 {
		bad = inkBad
	}
	ratio := 0.0
	if l.Requests > 0 {
		ratio = float64(l.Errors) / float64(l.Requests)
	}
	return append(out,
		draw("due", control.UnitPerSecond, func(s control.DrillSecond) float64 { return float64(s.Due) }, inkChart4, inkMuted),
		draw("answered", control.UnitPerSecond, func(s control.DrillSecond) float64 { return float64(s.Answered) }, inkChart1, inkStrong),
		draw("errors", control.UnitPerSecond, func(s control.DrillSecond) float64 { return float64(s.Errors) }, inkBad, bad),
		draw("p50", control.UnitSeconds, func(s control.DrillSecond) float64 { return float64(s.P50) }, inkChart2, inkStrong),
		draw("p99", control.UnitSeconds, func(s control.DrillSecond) float64 { return float64(s.P99) }, inkChart2, inkStrong),
		cat(txt(inkMuted, pad("in all", 9)), txt(inkText, lead(whole(l.Requests), 8)), txt(inkMuted, "  "), txt(bad, percent(ratio)+" failed"),
			txt(inkMuted, ", p99 "+seconds(float64(l.P99)))).fit(w),
		txt(inkMuted, prefixed("most fail with ", l.Failure)).fit(w),
	)
}
