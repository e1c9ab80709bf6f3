package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// LookAt is what a node without texts knows of a moment of the last quarter of an hour.
func (d *fakeDoor) LookAt(ctx context.Context, at time.Time) (control.Look, error) {
	if at.Before(fakeStart.Add(-15 * time.Minute)) {
		return control.Look{Time: at}, nil
	}
	now := d.now
	d.now = func() time.Time { return at }
	defer func() { d.now = now }()
	l, err := d.Look(ctx, 0)
	if err != nil {
		return l, err
	}
	l.Events, l.Trials, l.Role, l.Alerts = nil, nil, "", l.Alerts[:1]
	l.Alerts[0].Summary, l.Alerts[0].Expr = "", ""
	for i := range l.Breakers {
		l.Breakers[i].Reason, l.Breakers[i].LastError = "", ""
	}
	for i := range l.Upstreams {
		l.Upstreams[i].Host, l.Upstreams[i].LastError, l.Upstreams[i].Lacks = "", "", nil
	}
	d.visited = append(d.visited, at)
	return l, err
}

func (d *fakeDoor) HistoryUntil(ctx context.Context, end time.Time, span, step time.Duration) (map[string][]control.Series, error) {
	now := d.now
	d.now = func() time.Time { return end }
	defer func() { d.now = now }()
	return d.History(ctx, span, step)
}

func (d *fakeDoor) SettingsAt(context.Context, time.Time) ([]control.Setting, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := slices.Clone(d.settings)
	for i := range out {
		if out[i].Key == "pool.limit" {
			out[i].Value, out[i].Number = "11", 11
		}
	}
	return slices.DeleteFunc(out, func(s control.Setting) bool { return !s.Numeric }), d.err
}

func (d *fakeDoor) Comparison(_ context.Context, alert string, end time.Time, span, step time.Duration) (control.Comparison, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, "comparison "+alert)
	c := control.Comparison{Values: []control.Series{{Label: "name=upstream/alpha"}, {Label: "name=upstream/beta"}}, Thresholds: []control.Series{{}}}
	for t := end.Add(-span); !t.After(end); t = t.Add(step) {
		for i, v := range []float64{0.9, wave(t, 97, 0.5, 0.3)} {
			c.Values[i].Points = append(c.Values[i].Points, control.Point{T: t.UnixMilli(), V: control.Number(v)})
		}
		c.Thresholds[0].Points = append(c.Thresholds[0].Points, control.Point{T: t.UnixMilli(), V: 0.5})
	}
	if alert == "LedgerOutboxGrowing" {
		c.Thresholds = nil
	}
	return c, d.err
}

// Evaluate knows three names: waves and many give several series, broken an error.
func (d *fakeDoor) Evaluate(_ context.Context, expr string, start, end time.Time, step time.Duration) ([]control.Labelled, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, "evaluate "+expr)
	if d.err != nil {
		return nil, d.err
	}
	n := map[string]int{"waves": 3, "many": 40, "one": 1}[expr]
	if n == 0 {
		return nil, errors.New("no such metric: " + expr)
	}
	var out []control.Labelled
	for i := range n {
		s := control.Labelled{Labels: map[string]string{"__name__": expr, "provider": fmt.Sprintf("p%02d%s", i, d.evil)}}
		if n == 1 {
			s.Labels = nil
		}
		for t := start; !t.After(end); t = t.Add(step) {
			s.Points = append(s.Points, control.Point{T: t.UnixMilli(), V: control.Number(wave(t, float64(40+10*i), 0.2+0.1*float64(i), 0.08))})
		}
		out = append(out, s)
	}
	return out, nil
}

func (d *fakeDoor) Drill(context.Context) (control.Drill, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.drill("how it goes")
}

// drill is how the drill goes after a step. The lock is held.
func (d *fakeDoor) drill(step string) (control.Drill, error) {
	d.asked = append(d.asked, "drill "+step)
	if d.old {
		return control.Drill{}, tooOld
	}
	out := control.Drill{Patterns: []string{"constant", "ramp", "spike", "wave", "burst"}, MaxRate: 1000, MaxLength: "10m0s", FaultFor: "2m0s"}
	if d.real {
		out.Word, out.Without = "load", "this node is no demo: nothing of it is made to fail"
	} else {
		for _, f := range [][2]string{{"alpha.slow", "answers take 700 ms"}, {"alpha.down", "connections are cut without an answer"}, {"redis.gone", "connections are closed and refused"}, {"database.held", "every connection of the pool is taken"}} {
			one := control.DrillFault{ID: f[0], Title: strings.Replace(f[0], ".", " ", 1), Doc: f[1], Active: d.faults[f[0]]}
			if one.Active {
				one.Until, one.By = d.now().Add(97*time.Second), "uid 0"
			}
			out.Faults = append(out.Faults, one)
		}
		out.Without = "the ledger's file is not damaged here"
	}
	if d.load != nil {
		l := *d.load
		for i := range 30 {
			at := d.now().Add(time.Duration(i-29) * time.Second)
			l.Timeline = append(l.Timeline, control.DrillSecond{Due: control.Number(wave(at, 15, 70, 30)), Answered: int(wave(at, 15, 68, 30)), Errors: max(0, i-25),
				P50: control.Number(wave(at, 20, 0.004, 0.001)), P99: control.Number(wave(at, 20, 0.04, 0.01))})
		}
		l.Requests, l.Errors, l.P50, l.P99, l.Failure = 2080, 10, 0.004, 0.047, "transaction: undecided"
		out.Load = &l
	}
	return out, d.err
}

func (d *fakeDoor) StartLoad(_ context.Context, r control.LoadRequest) (control.Drill, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.real && r.Word != "load" {
		return control.Drill{}, &control.Problem{Status: 422, Text: "this is no demo: confirm the load with the word"}
	}
	length, err := time.ParseDuration(r.Length)
	if err != nil {
		return control.Drill{}, err
	}
	d.load = &control.DrillLoad{Pattern: r.Pattern, Rate: r.Rate, By: "uid 0", Started: d.now(), Ends: d.now().Add(length), Running: true}
	return d.drill(fmt.Sprintf("load %s %g %s", r.Pattern, r.Rate, r.Length))
}

func (d *fakeDoor) StopLoad(context.Context) (control.Drill, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.load.Running, d.load.Ends = false, d.now()
	return d.drill("stop")
}

func (d *fakeDoor) SetFault(_ context.Context, id string) (control.Drill, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults[id] = true
	return d.drill("fault " + id)
}

func (d *fakeDoor) Lift(_ context.Context, id string) (control.Drill, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for one := range d.faults {
		if id == "" || id == one {
			delete(d.faults, one)
		}
	}
	return d.drill("lift " + id)
}

func (d *fakeDoor) HotKeys(_ context.Context, limit int) ([]control.HotKey, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, "hot keys")
	if d.old {
		return nil, tooOld
	}
	list := []control.HotKey{
		{Key: `eth_getBlockByNumber["0x145b3ce",true]`, Class: "block", Share: 0.183, Bytes: 148_320},
		{Key: "transaction 0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060", Class: "transaction", Share: 0.0712, Bytes: 4210},
		{Key: "address 0x00000000219ab540356cBB839Cbe05303d7705Fa", Class: "address", Share: 0.0441, Bytes: 2904},
		{Key: `eth_getTransactionReceipt["0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060"]`, Class: "transaction", Share: 0.0309, Bytes: 3122},
		{Key: "eth_chainId[]", Class: "rpc", Share: 0.012},
	}
	return bounded(list, limit), d.err
}

func (d *fakeDoor) Outcomes(_ context.Context, breaker string) (control.Outcomes, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, "outcomes "+breaker)
	if d.old {
		return control.Outcomes{}, tooOld
	}
	o := control.Outcomes{Span: 10 * time.Second}
	for i := range uint64(10) {
		o.Cells = append(o.Cells, control.Cell{Calls: 6 * (9 - i), Failures: 3 * i * (9 - i) / 6, Slow: i % 3})
	}
	o.Cells[0].Slow = 0
	return o, d.err
}

func (d *fakeDoor) EventsUntil(_ context.Context, at time.Time) (control.Happened, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.old {
		return control.Happened{}, tooOld
	}
	h := control.Happened{Sources: []control.Source{
		{Name: "memory", What: "changes, alerts, starts", Since: fakeStart.Add(-192 * time.Second)},
		{Name: "memory", What: "breakers, providers, ledger", Since: fakeStart.Add(-192 * time.Second)},
		{Name: "audit trail", What: "changes", Since: fakeStart.Add(-50 * time.Hour)},
		{Name: "alert history", What: "alerts"},
	}}
	for _, e := range append(slices.Clone(d.recorded), d.events...) {
		if !e.Time.After(at) {
			h.Events = append(h.Events, e)
		}
	}
	return h, d.err
}

func (d *fakeDoor) Transitions(_ context.Context, breaker string) ([]control.Transition, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, "transitions "+breaker)
	if breaker != "upstream/beta" {
		return nil, d.err
	}
	at := func(ago time.Duration) time.Time { return fakeStart.Add(-ago) }
	return []control.Transition{
		{From: "closed", To: "open", Reason: "51.0% of 50 calls failed", At: at(7 * time.Minute)},
		{From: "open", To: "half-open", Reason: "probing after 250ms", At: at(5 * time.Minute)},
		{From: "half-open", To: "closed", Reason: "3 probes in a row succeeded", At: at(4 * time.Minute)},
		{From: "closed", To: "open", Reason: "62.5% of 48 calls failed", At: at(41 * time.Second)},
	}, d.err
}
