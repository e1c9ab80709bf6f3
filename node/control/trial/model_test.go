package trial_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/bizra/bizra-top/node/control/trial"
	"github.com/bizra/bizra-top/node/settings"
)

// Whatever operators, guards, the clock, the configuration file and the disk do: the
// value in force is what the screen says, and what a confirmation keeps, after each step.
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

// difference is what panics when book and model disagree.
type difference string

func differ(format string, args ...any) { panic(difference(fmt.Sprintf(format, args...))) }

var keys = []string{"a", "b", "c"}

// sources is what the sources say of one setting; 0 is nothing.
type sources struct{ file, overrides, live int }

func (s sources) value() int {
	for _, v := range []int{s.live, s.overrides, s.file} {
		if v != 0 {
			return v
		}
	}
	return 8
}

// made is a change as the model remembers it.
type made struct {
	id       uint64
	by       string
	deadline time.Time      // zero when it is kept
	before   map[string]int // the live value before it
	guards   []string
}

func (m *made) keys() []string { return slices.Sorted(maps.Keys(m.before)) }

// model is the book as one would write it without goroutines.
type model struct {
	now     map[string]sources
	done    []*made
	undone  []*made
	last    uint64
	reports []string
}

func (m *model) trials() (out []*made) {
	for _, c := range m.done {
		if !c.deadline.IsZero() {
			out = append(out, c)
		}
	}
	return out
}

// holds says whether the relation between a and b, a at most b, holds with other live
// values.
func (m *model) holds(live map[string]int) bool {
	of := func(key string) int {
		s := m.now[key]
		if v, ok := live[key]; ok {
			s.live = v
		}
		return s.value()
	}
	return of("a") <= of("b")
}

// set puts live values in force and returns those before.
func (m *model) set(live map[string]int) (before map[string]int) {
	before = map[string]int{}
	for key, v := range live {
		s := m.now[key]
		before[key] = s.live
		s.live = v
		m.now[key] = s
	}
	return before
}

func (m *model) report(verb string, id uint64) {
	m.reports = append(m.reports, fmt.Sprint(verb, " ", id))
}

func (m *model) takeBack(c *made, verb string) bool {
	if !m.holds(c.before) {
		return false
	}
	before := m.set(c.before)
	m.done = slices.DeleteFunc(m.done, func(d *made) bool { return d == c })
	m.undone = append(m.undone, &made{id: c.id, before: before})
	m.report(verb, c.id)
	return true
}

// revert is what the node does by itself.
func (m *model) revert(c *made) {
	if !m.takeBack(c, "revert") {
		c.deadline, c.guards = time.Time{}, nil
		m.report("failed revert", c.id)
	}
}

func (m *model) sleep(until time.Time) {
	for {
		var first *made
		for _, c := range m.trials() {
			if !c.deadline.After(until) && (first == nil || c.deadline.Before(first.deadline)) {
				first = c
			}
		}
		if first == nil {
			return
		}
		m.revert(first)
	}
}

// text is what taking back would do.
func (m *model) text(stack []*made) string {
	if len(stack) == 0 {
		return ""
	}
	top := stack[len(stack)-1]
	var parts []string
	for _, key := range top.keys() {
		s := m.now[key]
		from := s.value()
		s.live = top.before[key]
		parts = append(parts, fmt.Sprintf("%s %d -> %d", key, from, s.value()))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// ear collects reports and answers for guards.
type ear struct {
	mu      sync.Mutex
	reports []string
	making  string // a guard that is asked because of a change that is being made
	answer  bool   // to that
	asked   []*question
}

type question struct {
	guard string
	reply chan bool
}

func (e *ear) hear(r trial.Report) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.Verb == "guard" {
		return // one that took too long
	}
	verb := r.Verb
	if r.Err != nil {
		verb = "failed " + verb
	}
	e.reports = append(e.reports, fmt.Sprint(verb, " ", r.ID))
}

func (e *ear) condition(ctx context.Context, guard string) (bool, error) {
	e.mu.Lock()
	if guard == e.making {
		defer e.mu.Unlock()
		return e.answer, nil
	}
	q := &question{guard, make(chan bool)}
	e.asked = append(e.asked, q)
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.asked = slices.DeleteFunc(e.asked, func(o *question) bool { return o == q })
	}()
	select {
	case holds := <-q.reply:
		return holds, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// walk is one random sequence.
type walk struct {
	*rapid.T
	model
	ear    ear
	reg    *settings.Registry
	book   *trial.Book
	values map[string]*settings.Value[int]
	jump   time.Duration // of the clock on the wall
	half   *settings.Overridden
}

func againstModel(t *rapid.T) {
	w := &walk{T: t, model: model{now: map[string]sources{}}, reg: settings.NewRegistry(), values: map[string]*settings.Value[int]{}}
	for _, key := range keys {
		w.values[key] = settings.Int(w.reg, settings.Spec{Key: key, Min: 1, Max: 99, Doc: "Key."}, 8)
	}
	w.reg.Relate(func(number func(string) float64) error {
		if number("a") > number("b") {
			return errors.New("a is more than b")
		}
		return nil
	}, "a", "b")
	w.book = trial.New(trial.Options{Registry: w.reg, Condition: w.ear.condition, Report: w.ear.hear,
		Wall: func() time.Time { return time.Now().Add(w.jump) }})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { w.book.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		w.step()
		synctest.Wait()
		w.compare()
	}
}

func (w *walk) compare() {
	for _, key := range keys {
		if got, want := w.values[key].Get(), w.now[key].value(); got != want {
			differ("%s is %d, the model's %d", key, got, want)
		}
	}
	shown, trials := w.book.Shown(), w.trials()
	if len(shown.Trials) != len(trials) {
		differ("%d trials are shown, the model has %d", len(shown.Trials), len(trials))
	}
	wall := time.Now().Add(w.jump)
	for i, t := range trials {
		s := shown.Trials[i]
		if left := s.Deadline.Sub(wall); s.ID != t.id || s.By != t.by || left != time.Until(t.deadline) || s.Guard != strings.Join(t.guards, " or ") || len(s.Changes) != len(t.before) {
			differ("shown is %+v with %s left, the model's %+v", s, left, t)
		}
		for _, c := range s.Changes {
			back := w.now[c.Key]
			back.live = t.before[c.Key]
			if c.New != strconv.Itoa(w.values[c.Key].Get()) || c.Old != strconv.Itoa(back.value()) {
				differ("shown is %+v, in force is %d, and before it was %d", c, w.values[c.Key].Get(), back.value())
			}
		}
	}
	if got, want := sorted(shown.Undo), w.text(w.done); got != want {
		differ("undo would do %q, the model's %q", got, want)
	}
	if got, want := sorted(shown.Redo), w.text(w.undone); got != want {
		differ("redo would do %q, the model's %q", got, want)
	}
	w.ear.mu.Lock()
	defer w.ear.mu.Unlock()
	if !slices.Equal(w.ear.reports, w.reports) {
		differ("told %q, the model %q", w.ear.reports, w.reports)
	}
}

func sorted(text string) string {
	parts := strings.Split(text, ", ")
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
