package breaker_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/settings"
)

// model is the breaker as one would write it without a thought for speed.
type model struct {
	tunables
	state          breaker.State
	generation     int
	outcomes       [][2]bool // failed, slow
	now, tripped   time.Duration
	failed         int                   // times in a row that probing has failed
	probes         map[int]time.Duration // with when they began
	passed, opened int
	refuse         int
}

// tunables are the settings, all of which may change at every moment.
type tunables struct {
	calls               bool // the window is one of calls
	window              time.Duration
	windowCalls         int
	minimum, needed     int
	failThousandths     int
	slowThousandths     int
	slowAfter           time.Duration
	openFor, openForMax time.Duration
	probeTimeout        time.Duration
}

func drawTunables(t *rapid.T) tunables {
	thousandths := rapid.IntRange(1, 1000)
	ms := func(from, to int, label string) time.Duration {
		return time.Duration(rapid.IntRange(from, to).Draw(t, label)) * time.Millisecond
	}
	return tunables{calls: rapid.Bool().Draw(t, "window of calls"), window: ms(3_000_000, 3_600_000, "window"),
		windowCalls: rapid.IntRange(10, 20).Draw(t, "window_calls"),
		minimum:     rapid.IntRange(1, 12).Draw(t, "minimum"), needed: rapid.IntRange(1, 3).Draw(t, "probes"),
		failThousandths: thousandths.Draw(t, "failures"), slowThousandths: thousandths.Draw(t, "slow"),
		slowAfter: ms(250_000, 300_000, "slow_after"), // longer than any walk
		openFor:   ms(10, 5000, "open_for"), openForMax: ms(10, 8000, "open_for_max"), probeTimeout: ms(10, 2000, "probe_timeout")}
}

func (u tunables) changes() (out []settings.Change) {
	for key, v := range map[string]float64{"minimum_calls": float64(u.minimum), "probes": float64(u.needed), "window_calls": float64(u.windowCalls),
		"failure_ratio": float64(u.failThousandths) / 1000, "slow_ratio": float64(u.slowThousandths) / 1000} {
		out = append(out, settings.Change{Key: "breaker.test." + key, Value: settings.FormatNumber(settings.KindFloat, v)})
	}
	kind := map[bool]string{true: "calls", false: "time"}[u.calls]
	for key, v := range map[string]string{"window_kind": kind, "window": u.window.String(), "slow_after": u.slowAfter.String(),
		"open_for": u.openFor.String(), "open_for_max": u.openForMax.String(), "probe_timeout": u.probeTimeout.String()} {
		out = append(out, settings.Change{Key: "breaker.test." + key, Value: v})
	}
	return out
}

type pass struct {
	breaker.Permit
	generation, probe int
}

func (m *model) move(to breaker.State) {
	m.state = to
	m.generation++
	m.probes = map[int]time.Duration{}
}

func (m *model) open() {
	if m.state == breaker.Closed {
		m.opened++
	}
	if m.state == breaker.HalfOpen {
		m.failed++
	}
	m.tripped = m.now
	m.move(breaker.Open)
}

// next is when it may be probed.
func (m *model) next() time.Duration {
	wait := m.openFor
	for range m.failed {
		wait = min(wait*2, max(m.openForMax, m.openFor))
	}
	return m.tripped + wait
}

func (m *model) close() {
	m.outcomes, m.failed = nil, 0
}

// closes closes it when enough probes have passed.
func (m *model) closes() {
	if m.state == breaker.HalfOpen && m.passed >= m.needed {
		m.close()
		m.move(breaker.Closed)
	}
}

// judge opens it when the window says so.
func (m *model) judge() {
	calls, failures, slows := m.counts()
	if m.state == breaker.Closed && calls > 0 && calls >= m.minimum &&
		(failures*1000 >= m.failThousandths*calls || slows*1000 >= m.slowThousandths*calls) {
		m.open()
	}
}

func (m *model) counts() (calls, failures, slow int) {
	for _, o := range m.outcomes {
		if o[0] {
			failures++
		}
		if o[1] {
			slow++
		}
	}
	return len(m.outcomes), failures, slow
}

func (m *model) finish(p *pass, result int) {
	if p.generation != m.generation {
		return
	}
	p.generation = -1
	failed, slow, ignored := result == 1, result == 2, result == 3
	if p.probe != 0 {
		delete(m.probes, p.probe)
		switch {
		case failed:
			m.open()
		default:
			if !ignored {
				m.passed++
			}
			m.closes()
		}
		return
	}
	if ignored {
		return
	}
	m.outcomes = append(m.outcomes, [2]bool{failed, slow})
	if m.calls {
		m.outcomes = m.outcomes[max(0, len(m.outcomes)-m.windowCalls):]
	}
	m.judge()
}

func (m *model) sleep(d time.Duration) {
	end := m.now + d
	for id := range m.probes { // at most one is given up: then the breaker opens
		first := id
		for other, began := range m.probes {
			if began < m.probes[first] {
				first = other
			}
		}
		if at := m.probes[first] + m.probeTimeout + 1; at <= end {
			m.now = at
			m.open()
		}
		break
	}
	m.now = end
}

// Whatever callers, probes, the operator and time do, the breaker on its fast
// path does as the model does, after each step.
func TestBehavesAsTheModel(t *testing.T) {
	for range 10 { // a hundred walks each: half-open is a long way from the start
		rapid.Check(t, func(rt *rapid.T) {
			var failed any // rapid wants its panics in its own goroutine
			synctest.Test(t, func(*testing.T) {
				defer func() { failed = recover() }()
				againstModel(rt)
			})
			switch failed := failed.(type) {
			case nil:
			case difference:
				rt.Fatal(string(failed))
			default:
				panic(failed)
			}
		})
	}
}

// difference is what panics when breaker and model disagree.
type difference string

func differ(format string, args ...any) { panic(difference(fmt.Sprintf(format, args...))) }

var steps = []string{"acquire", "acquire", "acquire", "acquire", "report", "report", "report", "report", "report", "sleep", "sleep",
	"probe", "probe", "probe", "probe", "tune", "tune", "operate"}

func againstModel(t *rapid.T) {
	m := model{state: breaker.Closed, probes: map[int]time.Duration{}, tunables: drawTunables(t)}
	reg := settings.NewRegistry()
	s := breaker.Declare(reg, "test")
	if err := reg.Load(settings.SourceFlag, m.changes()); err != nil {
		differ("%v", err)
	}
	b := breaker.New("test/one", "test", s, breaker.WithProber())
	var passes []*pass
	id := 0
	for range rapid.IntRange(1, 80).Draw(t, "steps") {
		// Drawn from a list, because small numbers are drawn more often than others.
		switch step := rapid.SampledFrom(steps).Draw(t, "step"); {
		case step == "acquire":
			p, err := b.Acquire()
			if allowed := m.state == breaker.Closed || m.state == breaker.ForcedClosed || m.state == breaker.MetricsOnly; allowed != (err == nil) {
				differ("%s: Acquire says %v", m.state, err)
			}
			if err != nil {
				m.refuse++
			} else {
				passes = append(passes, &pass{p, m.generation, 0})
			}
		case step == "report" && len(passes) > 0:
			p := passes[len(passes)-1-rapid.IntRange(0, len(passes)-1).Draw(t, "which")] // may have reported
			result := rapid.IntRange(0, 3).Draw(t, "result")
			m.finish(p, result)
			switch result {
			case 0:
				p.Success()
			case 1:
				p.Failure(errDown)
			case 2:
				p.Slow()
			case 3:
				p.Ignore()
			}
		case step == "sleep":
			d := time.Duration(rapid.IntRange(1, 3000).Draw(t, "sleep")) * time.Millisecond
			time.Sleep(d)
			synctest.Wait()
			m.sleep(d)
		case step == "probe":
			p, ok := b.Probe()
			m.closes()
			if m.state == breaker.Open && m.now >= m.next() {
				m.passed = 0
				m.move(breaker.HalfOpen)
			}
			if want := m.state == breaker.HalfOpen && len(m.probes)+m.passed < m.needed; ok != want {
				differ("%s: Probe says %v", m.state, ok)
			}
			if ok {
				id++
				m.probes[id] = m.now
				passes = append(passes, &pass{p, m.generation, id})
			}
		case step == "tune":
			m.tune(t, b, reg)
		case rapid.Bool().Draw(t, "reset"):
			m.close()
			if m.state != breaker.Closed {
				m.move(breaker.Closed)
			}
			b.Reset("test")
		default:
			to := rapid.SampledFrom([]breaker.State{breaker.ForcedOpen, breaker.ForcedClosed, breaker.MetricsOnly}).Draw(t, "to")
			if m.state != to {
				m.move(to)
			}
			if err := b.Force(to, "test"); err != nil {
				differ("%v", err)
			}
		}
		calls, failures, slow := m.counts()
		if got := b.State(); got != m.state {
			differ("state %s, the model's %s: %+v", got, m.state, b.Snapshot())
		}
		if rapid.Bool().Draw(t, "look") {
			if s := b.Snapshot(); s.Calls != uint64(calls) || s.Failures != uint64(failures) || s.Slow != uint64(slow) ||
				s.Opened != uint64(m.opened) || s.Rejected != uint64(m.refuse) {
				differ("%+v, the model %+v", s, m)
			}
		}
	}
	for _, p := range passes {
		p.Ignore() // so that the breaker rests before the next one
	}
}

// tune changes settings and waits until the breaker has seen it, which it does when it
// is used and every second while it waits for a probe.
func (m *model) tune(t *rapid.T, b *breaker.Breaker, reg *settings.Registry) {
	before, next := m.tunables, drawTunables(t)
	if rapid.Bool().Draw(t, "only probes") {
		probes := next.needed
		next = before
		next.needed = probes
	}
	m.tunables = next
	if _, err := reg.Apply(next.changes()); err != nil {
		differ("%v", err)
	}
	const wait = 1100 * time.Millisecond
	time.Sleep(wait)
	synctest.Wait()
	p, err := b.Acquire()
	p.Ignore()
	m.now += wait
	if before.calls != next.calls || before.window != next.window || before.windowCalls != next.windowCalls {
		m.outcomes = nil
	}
	state := m.state
	m.judge()
	if len(m.probes) > 0 || err == nil { // without a probe under way it need not look, and may
		m.closes()
		for _, began := range m.probes {
			if m.state == breaker.HalfOpen && m.now > began+m.probeTimeout {
				m.open()
			}
		}
	}
	if m.state == breaker.Open && state != breaker.Open { // within the wait: when, only the breaker knows
		m.tripped += time.Until(b.Snapshot().NextProbe) - (m.next() - m.now)
	}
	if m.state == breaker.Open || m.state == breaker.HalfOpen || m.state == breaker.ForcedOpen {
		m.refuse++
	}
	if refused := err != nil; refused != (m.state == breaker.Open || m.state == breaker.HalfOpen || m.state == breaker.ForcedOpen) {
		differ("%s after tuning: Acquire says %v", m.state, err)
	}
}
