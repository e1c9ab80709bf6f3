package probes

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// A clock that was set back by an hour squeezed the samples of that hour into a thousandth
// of it, so that every rate was a thousand times what it was, and nothing was written after a
// restart.
func TestTheHistoryGoesOnBehindAClockThatWasSetBack(t *testing.T) {
	dir := t.TempDir()
	h, _, closed := open(t, dir)
	if lead := h.Lead(); lead != 0 {
		t.Fatalf("a new history is %s ahead", lead)
	}
	a := h.raw().db.AppenderV2(t.Context())
	ahead := time.Now().Add(time.Hour)
	if _, err := a.Append(0, labels.FromStrings("__name__", "m"), 0, ahead.UnixMilli(), 1, nil, nil, storage.AppendV2Options{}); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	closed()

	h, _, _ = open(t, dir)
	if lead := h.Lead(); lead < time.Hour-10*time.Second || lead > time.Hour {
		t.Fatalf("the history is %s ahead", lead)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "asked_total"}))
	m := NewSampler(h, reg, h.settings, slog.New(slog.DiscardHandler))
	if err := m.sample(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, began := m.last.Load(), time.Now()
	for range 10 {
		time.Sleep(100 * time.Millisecond)
		if err := m.sample(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	if apart := time.Duration(m.last.Load()-first) * time.Millisecond; apart < took-100*time.Millisecond || apart > took+100*time.Millisecond {
		t.Errorf("samples of %s are %s apart in the history", took, apart)
	}
	if lag := h.Present().Sub(m.Latest()); lag < 0 || lag > time.Second {
		t.Errorf("the newest sample is %s old", lag)
	}
}
