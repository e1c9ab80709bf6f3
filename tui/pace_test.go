package tui

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/bizra/bizra-top/node/control"
)

func TestLooksComeAsOftenAsTheyAreSeen(t *testing.T) {
	trial := []control.Trial{{}}
	for name, of := range map[string]struct {
		refresh      time.Duration
		slow, unseen bool
		trials       []control.Trial
		want         time.Duration
	}{
		"as chosen":                 {refresh: time.Second, want: time.Second},
		"slow":                      {refresh: time.Second, slow: true, want: slowRefresh},
		"slow, rarely anyhow":       {refresh: 10 * time.Second, slow: true, want: 10 * time.Second},
		"no focus":                  {refresh: time.Second, unseen: true, want: unseenRefresh},
		"no focus, slow":            {refresh: time.Second, slow: true, unseen: true, want: unseenRefresh},
		"a countdown while unseen":  {refresh: 10 * time.Second, unseen: true, trials: trial, want: time.Second},
		"often, a countdown":        {refresh: 250 * time.Millisecond, trials: trial, want: 250 * time.Millisecond},
		"a countdown on a slow one": {refresh: time.Second, slow: true, trials: trial, want: time.Second},
	} {
		m := model{refresh: of.refresh, slow: of.slow, unseen: of.unseen, look: control.Look{Trials: of.trials}}
		if got := m.every(); got != of.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// stallingWriter takes its time for what it is given.
type stallingWriter struct{ takes time.Duration }

func (w *stallingWriter) Write(p []byte) (int, error) {
	time.Sleep(w.takes)
	return len(p), nil
}

// A terminal that is slow to take what is drawn is spared, until it keeps up again.
func TestASlowTerminalIsSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := newModel(t.Context(), newFakeDoor(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		w := &stallingWriter{}
		out := m.link
		out.Writer = w
		for _, step := range []struct {
			takes, after time.Duration
			want         time.Duration
		}{
			{0, 0, time.Second}, {100 * time.Millisecond, 0, time.Second}, {400 * time.Millisecond, 0, slowRefresh},
			{0, slowFor / 2, slowRefresh}, {0, slowFor, time.Second},
		} {
			w.takes = step.takes
			if n, err := io.WriteString(out, "frame"); n != 5 || err != nil {
				t.Fatal(n, err)
			}
			time.Sleep(step.after)
			m.watchLink()
			if got := m.every(); got != step.want {
				t.Errorf("%v: a look every %s", step, got)
			}
		}
	})
}

// Without focus looks come rarely; with it one comes at once.
func TestFocus(t *testing.T) {
	m, err := newModel(t.Context(), newFakeDoor(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Update(tea.BlurMsg{}); m.every() != unseenRefresh {
		t.Errorf("unseen: a look every %s", m.every())
	}
	before := m.generation
	if _, cmd := m.Update(tea.FocusMsg{}); cmd == nil || !m.inflight || m.generation == before || m.every() != time.Second {
		t.Errorf("seen again: no look at once, or one every %s", m.every())
	}
	if _, cmd := m.Update(tea.FocusMsg{}); cmd != nil {
		t.Error("a focus it had is news")
	}
}

// A slow link is written half as much to.
func TestASlowLinkTakesHalf(t *testing.T) {
	took := func(slow bool, w, h int) int {
		out := &tape{}
		synctest.Test(t, func(t *testing.T) {
			ctx, end := context.WithCancelCause(t.Context())
			in, keys := io.Pipe()
			o := Options{Theme: "dark", Slow: slow, Input: in, Output: out}
			door, begun := newFakeDoor(), time.Now()
			door.now = func() time.Time { return fakeStart.Add(time.Since(begun)) }
			m, err := newModel(ctx, door, o)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- m.run(ctx, end, o, tea.WithWindowSize(w, h), tea.WithoutSignalHandler()) }()
			time.Sleep(5 * time.Second)
			settled := len(out.String())
			time.Sleep(2 * time.Minute)
			out.mu.Lock()
			out.buf.Next(settled)
			out.mu.Unlock()
			end(nil)
			if err := errors.Join(<-ended, keys.Close()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // ticks under way end
		})
		return len(out.String())
	}
	for _, size := range [][2]int{{80, 24}, {120, 40}, {200, 50}} {
		all, half := took(false, size[0], size[1]), took(true, size[0], size[1])
		t.Logf("%dx%d: %d bytes a second, on a slow link %d", size[0], size[1], all/120, half/120)
		if 2*half > all {
			t.Errorf("%dx%d: %d of %d bytes", size[0], size[1], half, all)
		}
	}
}
