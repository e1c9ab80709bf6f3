package probes

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/settings"
)

// TestMain has databases look for new blocks every second instead of every minute.
func TestMain(m *testing.M) {
	reloadEvery = time.Second
	var leaks []goleak.Option
	if os.Getenv("BIZRA_TEST_SMALL_DISK") != "" {
		// A database that cannot write at its end leaves this one behind.
		leaks = append(leaks, goleak.IgnoreTopFunction("github.com/prometheus/prometheus/tsdb/wlog.(*WL).run"))
	}
	goleak.VerifyTestMain(m, leaks...)
}

// open opens a history with settings KEY, VALUE, and returns how to change them
// and how to close it, which the end of the test does at last.
func open(t *testing.T, dir string, with ...string) (_ *History, set func(key, value string), closed func()) {
	t.Helper()
	r := settings.NewRegistry()
	s := Declare(r)
	set = func(key, value string) {
		t.Helper()
		if _, err := r.Apply([]settings.Change{{Key: key, Value: value}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < len(with); i += 2 {
		set(with[i], with[i+1])
	}
	h, err := OpenHistory(dir, s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	closed = sync.OnceFunc(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(closed)
	return h, set, closed
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("never: " + what)
}

// distribution is a native histogram of n observations of one second.
func distribution(n int64) *histogram.Histogram {
	return &histogram.Histogram{Schema: 5, Count: uint64(n), Sum: float64(n),
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 1}}, PositiveBuckets: []int64{n}}
}

// fill writes a counter that grows by seven a second, a histogram that is observed
// three times a second, and an alert that fires in the first two of every ten
// minutes, one sample a second.
func fill(t *testing.T, h *History, start, end time.Time) {
	t.Helper()
	counter := labels.FromStrings(model.MetricNameLabel, "calls_total")
	times := labels.FromStrings(model.MetricNameLabel, "call_seconds")
	alert := labels.FromStrings(model.MetricNameLabel, "ALERTS", "alertname", "Slow")
	was := false
	for at := start; at.Before(end); {
		a := h.raw().db.AppenderV2(context.Background())
		put := func(l labels.Labels, v float64, hist *histogram.Histogram) {
			if _, err := a.Append(0, l, 0, at.UnixMilli(), v, hist, nil, storage.AppendV2Options{}); err != nil {
				t.Fatal(err)
			}
		}
		for range 600 {
			n := at.Unix() - start.Unix()
			put(counter, float64(7*n), nil)
			put(times, 0, distribution(3*n+1))
			firing := at.Minute()%10 < 2
			if firing {
				put(alert, 1, nil)
			} else if was {
				put(alert, math.Float64frombits(value.StaleNaN), nil)
			}
			was = firing
			at = at.Add(time.Second)
		}
		if err := a.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

func one(t *testing.T, h *History, expr string, at time.Time) (float64, bool) {
	t.Helper()
	v, err := h.Instant(context.Background(), expr, at)
	if err != nil {
		t.Fatal(err)
	}
	if len(v) == 0 {
		return 0, false
	}
	return v[0].F, true
}

// TestOldHistoryIsThinned looks at the same moments while every sample is there,
// then when one in ten seconds is, then one a minute: rates, quantiles and which
// alerts fired are what they were.
func TestOldHistoryIsThinned(t *testing.T) {
	const spanned = 13 * time.Hour
	// Blocks are a tenth of the retention at most, so these stay at two hours.
	h, change, _ := open(t, t.TempDir(), "history.retention_10s", "20h", "history.retention", "20h")
	now := time.Now().Truncate(time.Hour)
	start := now.Add(-spanned)
	fill(t, h, start, now)
	if err := h.thin(t.Context(), now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "thinned blocks are found", func() bool { return h.isThinned(windowOf(now.UnixMilli())) })

	check := func(name string, at time.Time, resolution time.Duration) {
		t.Helper()
		if got := h.resolution(at.UnixMilli()); got != resolution {
			t.Fatalf("%s: one sample in %s, want %s", name, got, resolution)
		}
		for _, q := range []struct {
			expr      string
			want, off float64
		}{
			{`rate(calls_total[10s])`, 7, 0.01},
			{`calls_total`, 7 * at.Sub(start).Seconds(), 7 * 2 * resolution.Seconds()},
			{`sum(rate(calls_total[30s] offset 5m))`, 7, 0.01},
			{`histogram_count(rate(call_seconds[10s]))`, 3, 0.01},
			{`histogram_quantile(0.5, rate(call_seconds[10s]))`, 1, 0.045},
		} {
			if got, ok := one(t, h, q.expr, at); !ok || math.Abs(got-q.want) > q.off {
				t.Errorf("%s: %s is %v (%v), want %v", name, q.expr, got, ok, q.want)
			}
		}
		for _, minute := range []int{1, 4} { // in the middle of firing, and well after it
			when := at.Truncate(10 * time.Minute).Add(time.Duration(minute)*time.Minute + 30*time.Second)
			if _, fires := one(t, h, `ALERTS`, when); fires != (minute == 1) {
				t.Errorf("%s: the alert fires %v in minute %d", name, fires, minute)
			}
		}
	}
	old, older := now.Add(-5*time.Hour), now.Add(-11*time.Hour)
	check("every sample", older, time.Second)

	change("history.retention_raw", "1h")
	waitFor(t, "raw blocks are dropped", func() bool { from, _ := h.raw().from(); return from > old.UnixMilli() })
	check("one in ten seconds", old, 10*time.Second)
	change("history.retention_10s", "6h")
	waitFor(t, "blocks of ten seconds are dropped", func() bool { from, _ := h.tiers[1].from(); return from > older.UnixMilli() })
	check("one a minute", older, time.Minute)
	check("one in ten seconds", old, 10*time.Second)

	// A range over all three has no hole and nothing twice.
	last, steps := -1.0, 0
	err := h.Range(t.Context(), `calls_total`, start.Add(2*time.Minute), now.Add(-time.Second), time.Minute, func(s promql.Series) {
		steps = len(s.Floats)
		for _, p := range s.Floats {
			if p.F <= last {
				t.Fatalf("at %v the counter is %v after %v", time.UnixMilli(p.T), p.F, last)
			}
			last = p.F
		}
	})
	if err != nil || steps != int(spanned/time.Minute)-2 {
		t.Errorf("%d steps, want %d (%v)", steps, int(spanned/time.Minute)-2, err)
	}

	change("history.retention", "8h")
	waitFor(t, "blocks of one minute are dropped", func() bool { from, _ := h.tiers[2].from(); return from > older.UnixMilli() })
	if _, there := one(t, h, `calls_total`, older); there {
		t.Error("history out of retention is still there")
	}
}

// TestThinningGoesOnAfterARestart has a second process thin what the first did not
// come to, and nothing twice.
func TestThinningGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(2 * time.Hour)
	h, _, closed := open(t, dir)
	fill(t, h, now.Add(-8*time.Hour), now)
	if err := h.thin(t.Context(), now.Add(-4*time.Hour+settleFor)); err != nil {
		t.Fatal(err)
	}
	closed()
	h, _, _ = open(t, dir)
	for range 2 {
		if err := h.thin(t.Context(), now.Add(settleFor)); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "thinned blocks are found", func() bool { return h.isThinned(now.UnixMilli()) })
	}
	for _, tier := range h.tiers[1:] {
		q, err := tier.db.Querier(math.MinInt64, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		samples := 0
		set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, "calls_total"))
		for set.Next() {
			for it := set.At().Iterator(nil); it.Next() != 0; {
				samples++
			}
		}
		if want := int(8 * time.Hour / tier.resolution); samples != want || q.Close() != nil {
			t.Errorf("%s: %d samples, want %d", tier.name, samples, want)
		}
	}
}

// TestHistoryStaysWithinItsBound fills more than fits: the oldest goes, the newest
// stays.
func TestHistoryStaysWithinItsBound(t *testing.T) {
	h, _, _ := open(t, t.TempDir(), "history.max_bytes", fmt.Sprint(64<<20))
	now := time.Now().Truncate(2 * time.Hour)
	fill(t, h, now.Add(-12*time.Hour), now)
	waitFor(t, "the head has become blocks", func() bool { return len(h.raw().db.Blocks()) > 3 })
	blocks := h.raw().db.Blocks()
	if gone := h.expired(h.raw(), blocks, 64<<20); len(gone) != 0 {
		t.Fatalf("%d blocks go from %d bytes", len(gone), h.raw().bytes())
	}
	gone := h.expired(h.raw(), blocks, h.raw().bytes()-1)
	if _, oldest := gone[blocks[0].Meta().ULID]; !oldest || len(gone) == len(blocks) {
		t.Errorf("%d of %d blocks go, the oldest %v", len(gone), len(blocks), oldest)
	}
}
