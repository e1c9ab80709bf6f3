package tui

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/bizra/bizra-top/node/control"
)

// failing is a node of which some answers fail.
type failing struct {
	*fakeDoor
	fails map[string]error
	asked map[string]int
}

func (d *failing) try(what string) error {
	d.asked[what]++
	return d.fails[what]
}

func (d *failing) Panels(ctx context.Context) ([]control.Panel, error) {
	if err := d.try("panels"); err != nil {
		return nil, err
	}
	return d.fakeDoor.Panels(ctx)
}

func (d *failing) History(ctx context.Context, span, step time.Duration) (map[string][]control.Series, error) {
	if err := d.try("history"); err != nil {
		return nil, err
	}
	return d.fakeDoor.History(ctx, span, step)
}

func (d *failing) HistoryUntil(ctx context.Context, end time.Time, span, step time.Duration) (map[string][]control.Series, error) {
	if err := d.try("past history"); err != nil {
		return nil, err
	}
	return d.fakeDoor.HistoryUntil(ctx, end, span, step)
}

func (d *failing) LookAt(ctx context.Context, at time.Time) (control.Look, error) {
	if err := d.try("past"); err != nil {
		return control.Look{}, err
	}
	return d.fakeDoor.LookAt(ctx, at)
}

func (d *failing) Settings(ctx context.Context) ([]control.Setting, error) {
	if err := d.try("settings"); err != nil {
		return nil, err
	}
	return d.fakeDoor.Settings(ctx)
}

func (d *failing) Actions(ctx context.Context) ([]control.Action, error) {
	if err := d.try("actions"); err != nil {
		return nil, err
	}
	return d.fakeDoor.Actions(ctx)
}

func (d *failing) EventsUntil(ctx context.Context, at time.Time) (control.Happened, error) {
	if err := d.try("events"); err != nil {
		return control.Happened{}, err
	}
	return d.fakeDoor.EventsUntil(ctx, at)
}

func (d *failing) Transitions(ctx context.Context, breaker string) ([]control.Transition, error) {
	if err := d.try("transitions"); err != nil {
		return nil, err
	}
	return d.fakeDoor.Transitions(ctx, breaker)
}

func (d *failing) Outcomes(ctx context.Context, breaker string) (control.Outcomes, error) {
	if err := d.try("outcomes"); err != nil {
		return control.Outcomes{}, err
	}
	return d.fakeDoor.Outcomes(ctx, breaker)
}

func (d *failing) Change(ctx context.Context, r control.ChangeRequest) (control.ChangeResult, error) {
	if err := d.try("change"); err != nil && !r.DryRun {
		return control.ChangeResult{}, err
	}
	return d.fakeDoor.Change(ctx, r)
}

var errSlow = fmt.Errorf("%w at /run/x.sock: %w", control.ErrNoAnswer, context.DeadlineExceeded)

// failingScreen is a screen whose node fails to answer what is named.
func failingScreen(t *testing.T, what ...string) (*screen, *failing) {
	t.Helper()
	s := newScreen(t, 120, 40)
	d := &failing{s.door, map[string]error{}, map[string]int{}}
	for _, w := range what {
		d.fails[w] = errSlow
	}
	s.model.door = d
	return s, d
}

// Whatever fails is said, asked for again less and less often, and drawn once it has
// come. Nothing is swallowed.
func TestEveryAnswerComesOrIsSaidAndAskedForAgain(t *testing.T) {
	for what, c := range map[string]struct {
		ask  func(*model) tea.Cmd
		says string
		has  func(*model) bool
	}{
		"panels":   {(*model).fetchPanels, "the list of panels: ", func(m *model) bool { return len(m.panels) > 0 }},
		"history":  {(*model).fetchHistory, "the charts' past: ", func(m *model) bool { return len(m.history.rings) > 0 }},
		"settings": {(*model).fetchSettings, "the settings: ", func(m *model) bool { return len(m.settings) > 0 }},
		"actions":  {(*model).fetchActions, "the actions: ", func(m *model) bool { return len(m.actions) > 0 }},
		"events":   {(*model).fetchEvents, "older events: ", func(m *model) bool { return len(m.happened.older.Sources) > 0 }},
	} {
		t.Run(what, func(t *testing.T) {
			s, d := failingScreen(t, what)
			s.panels, s.history, s.settings, s.actions, s.happened.older = nil, newHistory(), nil, nil, control.Happened{}
			s.run(c.ask(s.model))
			s.shows(c.says, "asked again in 1s, try 2")
			s.after(time.Second)
			s.shows("asked again in 2s, try 3")
			for range 120 {
				s.after(time.Second)
			}
			if n := d.asked[what]; n < 6 || n > 12 {
				t.Errorf("it was asked %d times in two minutes", n)
			}
			delete(d.fails, what)
			for range 31 {
				s.after(time.Second)
			}
			if !c.has(s.model) {
				t.Error("it has not come")
			}
			s.hides(c.says)
		})
	}
}

// The same in the past: the moment, and the charts at it.
func TestThePastComesOrIsSaidAndAskedForAgain(t *testing.T) {
	for what, says := range map[string]string{"past": "the node at that moment: ", "past history": "the charts at that moment: "} {
		t.Run(what, func(t *testing.T) {
			s, d := failingScreen(t, what)
			s.keys("[")
			s.shows(says, "try 2")
			delete(d.fails, what)
			s.after(time.Second)
			s.hides(says)
			if !s.past.shown.Equal(s.past.at) || d.asked[what] != 2 {
				t.Errorf("%v is shown, wanted is %v; asked %d times", s.past.shown, s.past.at, d.asked[what])
			}
		})
	}
}

// A history that takes long leaves no chart blank without a word.
func TestASlowHistoryIsSaid(t *testing.T) {
	s, _ := failingScreen(t)
	s.history = newHistory()
	cmd := s.fetchHistory()
	s.keys("2")
	s.shows("the node is asked for the charts' past")
	s.at = s.at.Add(3 * time.Second)
	s.shows("the charts' past: asked for 3s ago")
	s.run(cmd)
	s.hides("asked for")
}

// What a breaker did is asked for again while its drill-down is open.
func TestABreakersDrillDownAsksAgain(t *testing.T) {
	s, d := failingScreen(t, "transitions", "outcomes")
	s.keys("4", "enter")
	s.shows("no answer from a node")
	clear(d.fails)
	s.after(time.Second)
	s.hides("no answer from a node")
}

// A change whose answer is lost may have been made: the screen does not say that it
// was not.
func TestAChangeWithoutAnAnswerIsNotSaidToBeUndone(t *testing.T) {
	s, _ := failingScreen(t, "change")
	s.keys("ctrl+u", "7")
	s.Update(doneMsg{text: "applied", err: cleanError(errSlow), unsure: unsure(errSlow)})
	s.shows("it may have been done")
	refused := &control.Problem{Status: 422, Text: "no"}
	s.Update(doneMsg{text: "applied", err: cleanError(refused), unsure: unsure(refused)})
	s.shows("not done: no")
	if unsure(errors.New("encode")) || unsure(nil) {
		t.Error("what was never sent is in doubt")
	}
}
