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
	size, minimum, needed  int // size 0 is a window that forgets nothing
	failThousandths        int
	slowThousandths        int
	openFor, openForMax    time.Duration
	probeTimeout           time.Duration
	state                  breaker.State
	generation             int
	outcomes               [][2]bool // failed, slow
	now, wait, next        time.Duration
	probes                 map[int]time.Duration
	passed, opened, refuse int
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
	m.wait = max(m.openFor, min(m.wait*2, m.openForMax))
	m.next = m.now + m.wait
	m.move(breaker.Open)
}

func (m *model) close() {
	m.outcomes, m.wait = nil, 0
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
		case !ignored:
			if m.passed++; m.passed >= m.needed {
				m.close()
				m.move(breaker.Closed)
			}
		}
		return
	}
	if ignored {
		return
	}
	m.outcomes = append(m.outcomes, [2]bool{failed, slow})
	if m.size > 0 {
		m.outcomes = m.outcomes[max(0, len(m.outcomes)-m.size):]
	}
	calls, failures, slows := m.counts()
	if m.state == breaker.Closed && calls >= m.minimum &&
		(failures*1000 >= m.failThousandths*calls || slows*1000 >= m.slowThousandths*calls) {
		m.open()
	}
}

func (m *model) sleep(d time.Duration) {
	end := m.now + d
	for id := range m.probes { // at most one is given up: then the breaker opens
		first := id
		for other, deadline := range m.probes {
			if deadline < m.probes[first] {
				first = other
			}
		}
		if at := m.probes[first] + 1; at <= end {
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

// difference is what panics when breaker and model disagree.
type difference string

func differ(format string, args ...any) { panic(difference(fmt.Sprintf(format, args...))) }

func againstModel(t *rapid.T) {
	m := model{state: breaker.Closed, probes: map[int]time.Duration{}, openForMax: time.Second,
		openFor: 250 * time.Millisecond, probeTimeout: 700 * time.Millisecond,
		minimum: rapid.IntRange(1, 12).Draw(t, "minimum"), needed: rapid.IntRange(1, 3).Draw(t, "probes"),
		failThousandths: rapid.IntRange(1, 1000).Draw(t, "failures"), slowThousandths: rapid.IntRange(1, 1000).Draw(t, "slow")}
	kind := "time"
	if rapid.Bool().Draw(t, "window of calls") {
		kind, m.size = "calls", rapid.IntRange(10, 20).Draw(t, "size")
	}
	reg := settings.NewRegistry()
	s := breaker.Declare(reg, "test")
	var changes []settings.Change
	for key, v := range map[string]float64{"minimum_calls": float64(m.minimum), "probes": float64(m.needed),
		"failure_ratio": float64(m.failThousandths) / 1000, "slow_ratio": float64(m.slowThousandths) / 1000,
		"window_calls": float64(max(m.size, 10))} {
		changes = append(changes, settings.Change{Key: "breaker.test." + key, Value: settings.FormatNumber(settings.KindFloat, v)})
	}
	for key, v := range map[string]string{"window_kind": kind, "window": "1h", "slow_after": "5m", "probe_timeout": m.probeTimeout.String()} {
		changes = append(changes, settings.Change{Key: "breaker.test." + key, Value: v})
	}
	if err := reg.Load(settings.SourceFlag, changes); err != nil {
		differ("%v", err)
	}
	b := breaker.New("test/one", "test", s, breaker.WithProber())
	var passes []*pass
	id := 0
	for range rapid.IntRange(1, 150).Draw(t, "steps") {
		switch step := rapid.IntRange(0, 19).Draw(t, "step"); {
		case step < 8:
			p, err := b.Acquire()
			if allowed := m.state == breaker.Closed || m.state == breaker.ForcedClosed || m.state == breaker.MetricsOnly; allowed != (err == nil) {
				differ("%s: Acquire says %v", m.state, err)
			}
			if err != nil {
				m.refuse++
			} else {
				passes = append(passes, &pass{p, m.generation, 0})
			}
		case step < 16 && len(passes) > 0:
			p := passes[rapid.IntRange(0, len(passes)-1).Draw(t, "which")] // may have reported
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
		case step == 16:
			d := time.Duration(rapid.IntRange(1, 1100).Draw(t, "sleep")) * time.Millisecond
			time.Sleep(d)
			synctest.Wait()
			m.sleep(d)
		case step <= 18:
			p, ok := b.Probe()
			if m.state == breaker.Open && m.now >= m.next {
				m.passed = 0
				m.move(breaker.HalfOpen)
			}
			if want := m.state == breaker.HalfOpen && len(m.probes)+m.passed < m.needed; ok != want {
				differ("%s: Probe says %v", m.state, ok)
			}
			if ok {
				id++
				m.probes[id] = m.now + m.probeTimeout
				passes = append(passes, &pass{p, m.generation, id})
			}
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
