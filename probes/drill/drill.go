// Package drill practises on a running node: it puts load on its API from inside, and
// in a demo has the parts behind it fail, one by one.
//
// Whatever it begins ends by itself, also when nobody looks any more: a load after its
// length, a fault after [FaultFor], and both when the node stops.
package drill

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/probes/load"
)

// Bounds of what is practised. A drill shows how a node behaves; what it can do at most
// is measured from another host, with bizra-top load.
const (
	MaxRate   = 5000 // requests a second
	MinLength = time.Second
	MaxLength = 10 * time.Minute
	// FaultFor is how long a fault stays unless it is lifted.
	FaultFor = 2 * time.Minute
	// Word is what must be typed before a load on a node that is no demo.
	Word = "load"

	blocks      = 64 // the newest are asked about
	concurrency = 256
	timeout     = 5 * time.Second
	maxTimeline = 120
	liftWait    = 2 * time.Second
)

// Fault is something that can fail on demand.
type Fault struct {
	ID, Title, Doc string
	// Do has it fail until ctx ends, and has put it right when it returns.
	Do func(ctx context.Context) error
}

// Options say what a runner practises on.
type Options struct {
	Address string // of the node's HTTP API, as it is dialled
	Demo    bool   // nobody's traffic is harmed
	Faults  []Fault
	Without string // what cannot fail here, and why; empty for nothing to say
	// Notify is told how what was begun ended.
	Notify func(severity, subject, text string)
}

// Runner practises on one node: it is a [control.Driller]. Close it.
type Runner struct {
	options Options
	base    context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	load   *control.DrillLoad // the newest; nil before the first
	end    context.CancelFunc // of it
	done   chan struct{}      // closed when it has ended
	active map[string]*active
}

// active is a fault that is in force.
type active struct {
	until time.Time
	by    string
	end   context.CancelFunc
	done  chan struct{}
}

// New returns a runner.
func New(o Options) *Runner {
	r := &Runner{options: o, active: map[string]*active{}}
	r.base, r.stop = context.WithCancel(context.Background())
	return r
}

// Close ends all that was begun and waits for it. Nothing begins after it.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.running.Wait()
}

// Drill says what is practised now, and what can be.
func (r *Runner) Drill() control.Drill {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := control.Drill{Patterns: load.Shapes(), MaxRate: MaxRate, MaxLength: MaxLength.String(), FaultFor: FaultFor.String(),
		Faults: []control.DrillFault{}, Without: r.options.Without, Word: r.word()}
	if r.load != nil {
		one := *r.load
		one.Timeline = slices.Clone(one.Timeline)
		d.Load = &one
	}
	for _, f := range r.options.Faults {
		one := control.DrillFault{ID: f.ID, Title: f.Title, Doc: f.Doc}
		if a := r.active[f.ID]; a != nil {
			one.Active, one.Until, one.By = true, a.until, a.by
		}
		d.Faults = append(d.Faults, one)
	}
	return d
}

func (r *Runner) word() string {
	if r.options.Demo {
		return ""
	}
	return Word
}

func problem(status int, format string, args ...any) error {
	return &control.Problem{Status: status, Text: fmt.Sprintf(format, args...)}
}

// open refuses what would begin after Close. The lock is held.
func (r *Runner) open() error {
	if r.closed {
		return problem(http.StatusServiceUnavailable, "the node stops")
	}
	return nil
}

// StartLoad puts a load on the node, one at a time.
func (r *Runner) StartLoad(req control.LoadRequest, by string) error {
	length, err := time.ParseDuration(req.Length)
	switch {
	case !slices.Contains(load.Shapes(), req.Pattern):
		return problem(http.StatusUnprocessableEntity, "the pattern is one of %s", strings.Join(load.Shapes(), ", "))
	case !(req.Rate >= 1) || req.Rate > MaxRate:
		return problem(http.StatusUnprocessableEntity, "the rate must be from 1 to %d requests a second", MaxRate)
	case err != nil || length < MinLength || length > MaxLength:
		return problem(http.StatusUnprocessableEntity, "the length must be a duration from %s to %s, such as 1m", MinLength, MaxLength)
	case r.options.Demo && req.Word != "":
		return problem(http.StatusUnprocessableEntity, "this is a demo: a load needs no word")
	case req.Word != r.word():
		return problem(http.StatusUnprocessableEntity, "this is no demo: confirm the load with the word %q", Word)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.open(); err != nil {
		return err
	}
	if r.load != nil && r.load.Running {
		return problem(http.StatusConflict, "a %s load by %s runs already: stop it first", r.load.Pattern, r.load.By)
	}
	target, err := load.NewTarget("http://"+r.options.Address, false)
	if err != nil {
		return err
	}
	now := time.Now()
	state := &control.DrillLoad{Pattern: req.Pattern, Rate: req.Rate, By: by, Started: now, Ends: now.Add(length), Running: true, Timeline: []control.DrillSecond{}}
	var ctx context.Context
	ctx, r.end = context.WithTimeout(r.base, length+2*timeout)
	r.load, r.done = state, make(chan struct{})
	done, end := r.done, r.end
	supervise.Go(&r.running, "load of a drill", func() {
		defer close(done)
		defer end()
		defer target.Close()
		r.run(ctx, target, load.Pattern{Shape: load.Shape(req.Pattern), Rate: req.Rate, Duration: length, Poisson: true}, state)
	}, nil)
	return nil
}

// run puts a load on the node and keeps state up to date.
func (r *Runner) run(ctx context.Context, target *load.Target, p load.Pattern, state *control.DrillLoad) {
	subjects, err := load.Find(ctx, target, blocks)
	var report load.Report
	if err == nil {
		report, err = load.Run(ctx, load.Config{Target: target, Pattern: p, Mix: load.DefaultMix(), Subjects: subjects, Skew: 1, Follow: blocks,
			Timeout: timeout, Concurrency: concurrency, Progress: func(now load.Report) { r.note(state, now) }})
	}
	if err == nil {
		r.note(state, report)
	}
	r.mu.Lock()
	state.Running, state.Ends = false, time.Now()
	if err != nil && ctx.Err() == nil {
		state.Problem = printable.Clean(err.Error(), 200)
	}
	text := fmt.Sprintf("the %s load of at most %g/s has ended: %d requests, %d errors, p99 %s", state.Pattern, state.Rate, state.Requests, state.Errors,
		time.Duration(float64(state.P99)*float64(time.Second)).Round(10*time.Microsecond))
	severity := "info"
	if state.Problem != "" {
		severity, text = "warn", "the load did not run: "+state.Problem
	}
	r.mu.Unlock()
	r.options.Notify(severity, "load", text)
}

// note keeps what is told of a report.
func (r *Runner) note(state *control.DrillLoad, report load.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state.Requests, state.Errors = report.Requests, report.Errors
	state.P50, state.P99 = control.Number(report.Latency.P50), control.Number(report.Latency.P99)
	if len(report.Failures) > 0 {
		most := slices.MaxFunc(report.Failures, func(a, b load.Failure) int { return cmp.Compare(a.Count, b.Count) })
		state.Failure = printable.Clean(most.Kind+": "+most.Reason, 80)
	}
	rows := report.Timeline[max(0, len(report.Timeline)-maxTimeline):]
	state.Timeline = make([]control.DrillSecond, len(rows))
	for i, s := range rows {
		state.Timeline[i] = control.DrillSecond{Due: control.Number(s.Due), Answered: s.Answered, Errors: s.Errors, P50: control.Number(s.P50), P99: control.Number(s.P99)}
	}
}

// StopLoad ends the load that runs, and says which it was.
func (r *Runner) StopLoad() (string, error) {
	r.mu.Lock()
	if r.load == nil || !r.load.Running {
		r.mu.Unlock()
		return "", problem(http.StatusConflict, "no load runs")
	}
	what := fmt.Sprintf("%s load of at most %g/s", r.load.Pattern, r.load.Rate)
	end, done := r.end, r.done
	r.mu.Unlock()
	end()
	awaited(done)
	return what, nil
}

// awaited waits for an end that is near, for a moment.
func awaited(done <-chan struct{}) {
	select {
	case <-done:
	case <-time.After(liftWait):
	}
}

// SetFault has a part of the demo fail, for [FaultFor] at most.
func (r *Runner) SetFault(id, by string) error {
	i := slices.IndexFunc(r.options.Faults, func(f Fault) bool { return f.ID == id })
	switch {
	case len(r.options.Faults) == 0:
		return problem(http.StatusConflict, "this node is no demo: nothing of it is made to fail")
	case i < 0:
		return problem(http.StatusNotFound, "there is no fault %q; GET /v1/drill lists them", id)
	}
	f := r.options.Faults[i]
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.open(); err != nil {
		return err
	}
	if r.active[id] != nil {
		return problem(http.StatusConflict, "%s: it is so already", f.Title)
	}
	a := &active{until: time.Now().Add(FaultFor), by: by, done: make(chan struct{})}
	var ctx context.Context
	ctx, a.end = context.WithDeadline(r.base, a.until)
	r.active[id] = a
	supervise.Go(&r.running, "fault of a drill", func() {
		defer close(a.done)
		defer a.end()
		err := f.Do(ctx)
		r.mu.Lock()
		delete(r.active, id)
		r.mu.Unlock()
		switch {
		case err != nil:
			r.options.Notify("bad", "fault", f.Title+": "+err.Error())
		case ctx.Err() == context.DeadlineExceeded:
			r.options.Notify("good", "fault", f.Title+" has lifted itself")
		}
	}, nil)
	return nil
}

// Lift ends a fault, all for "", and returns the titles of those it ended.
func (r *Runner) Lift(id string) ([]string, error) {
	var ended []*active
	var titles []string
	r.mu.Lock()
	for _, f := range r.options.Faults {
		if a := r.active[f.ID]; a != nil && (id == "" || id == f.ID) {
			ended, titles = append(ended, a), append(titles, f.Title)
		}
	}
	r.mu.Unlock()
	if len(ended) == 0 {
		return nil, problem(http.StatusConflict, "no such fault is in force")
	}
	for _, a := range ended {
		a.end()
	}
	for _, a := range ended {
		awaited(a.done)
	}
	return titles, nil
}
