package load

import (
	"cmp"
	"context"
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are recorded in microseconds with three significant digits, as wrk2 and
// YCSB do; the longest is the longest timeout.
const (
	shortest = 1
	digits   = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(shortest, 2*maxTimeout.Microseconds(), digits)
}

// notBegun is the failure of requests that could not begin before their timeout.
const notBegun = "not begun"

// maxTimeline bounds the rows of the timeline; of a longer run the newest are kept.
const maxTimeline = 24 * 60 * 60

// blame says why a request began late.
type blame uint8

const (
	onTime blame = iota
	concurrencyFull
	generatorLate
)

// Latency are quantiles of latency in seconds, from the due time on. What failed
// counts too.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	const second = 1e6
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / second }
	return Latency{h.Mean() / second, at(50), at(90), at(95), at(99), at(99.9), float64(h.Max()) / second}
}

// KindReport is what became of one kind of request.
type KindReport struct {
	Kind     string  `json:"kind"`
	Requests int     `json:"requests"`
	Errors   int     `json:"errors"`
	Latency  Latency `json:"latency_seconds"`
}

// Refusals are the answers 429 and 503, by which a target says that it has too much to
// do. Their latency counts from when the request was sent: a refusal is worth something
// when it is quick.
type Refusals struct {
	Count   int     `json:"count"`
	Latency Latency `json:"latency_seconds"`
}

// Failure counts the requests of a kind that failed for one reason: "HTTP 503",
// "error -32000" of JSON-RPC, "timeout", "undecided", "not begun", …
type Failure struct {
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// Second is a row of the timeline: what ended in one second.
type Second struct {
	At       float64 `json:"at"` // seconds since the pattern's begin; below 0 in the warm-up
	Due      float64 `json:"due"`
	Answered int     `json:"answered"`
	Errors   int     `json:"errors"`
	InFlight int     `json:"in_flight"`
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
	Max      float64 `json:"max"`
}

// Report is what a load saw. Times are in seconds, rates a second; the warm-up is in
// the timeline alone.
type Report struct {
	Target   string    `json:"target"`
	Pattern  Shape     `json:"pattern"`
	Mix      Mix       `json:"mix"`
	Skew     float64   `json:"skew"`
	Peak     float64   `json:"rate_asked"` // the pattern's highest rate
	Began    time.Time `json:"began"`
	Duration float64   `json:"duration"` // of the pattern
	Took     float64   `json:"took"`     // until the last answer

	Requests    int     `json:"requests"` // that fell due
	Errors      int     `json:"errors"`
	ErrorRatio  float64 `json:"error_ratio"`
	Rate        float64 `json:"rate"` // good answers a second
	Interrupted bool    `json:"interrupted"`
	Cut         int     `json:"cut"` // under way when it was interrupted; not in requests

	// What began more than 5 ms after it was due: because all of concurrency were under
	// way, or because this program or its host was slow.
	Concurrency     int `json:"concurrency"`
	ConcurrencyFull int `json:"concurrency_full"`
	GeneratorLate   int `json:"generator_late"`

	Latency  Latency      `json:"latency_seconds"`
	Refused  Refusals     `json:"refused"`
	Kinds    []KindReport `json:"kinds"`
	Failures []Failure    `json:"failures"`
	Timeline []Second     `json:"timeline"`
}

// WriteCSV writes the timeline with a header.
func (r Report) WriteCSV(out io.Writer) error {
	w := csv.NewWriter(out)
	rows := [][]string{{"second", "due", "answered", "errors", "in_flight", "p50_seconds", "p99_seconds", "max_seconds"}}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	for _, s := range r.Timeline {
		rows = append(rows, []string{strconv.FormatFloat(s.At, 'f', 1, 64), strconv.FormatFloat(s.Due, 'f', 0, 64), strconv.Itoa(s.Answered),
			strconv.Itoa(s.Errors), strconv.Itoa(s.InFlight), number(s.P50), number(s.P99), number(s.Max)})
	}
	return w.WriteAll(rows)
}

// observation is one request that has ended.
type observation struct {
	kind     int
	latency  time.Duration
	refused  time.Duration // after being sent; 0 when it was not
	failure  string
	lateness blame
	warm     bool
	begun    bool
	cut      bool
}

// recorder counts what ends. Its methods may be called from any goroutine.
type recorder struct {
	began time.Time

	mu               sync.Mutex
	report           Report
	all              *hdrhistogram.Histogram
	second, before   *hdrhistogram.Histogram // of this second, and of the one before
	refused          *hdrhistogram.Histogram
	kinds            []*hdrhistogram.Histogram
	counts           []KindReport
	failures         map[Failure]int // by kind and reason; Count is 0
	answered, errors int             // in this second
	inFlight         int
	last             time.Time // when the last counted request ended
	pattern          Pattern
	warmUp, warmRate float64
	toldAt           float64 // when the last second ended
}

func newRecorder(c Config, choose chooser, begin time.Time) *recorder {
	r := &recorder{began: begin, all: newHistogram(), second: newHistogram(), before: newHistogram(), refused: newHistogram(), failures: map[Failure]int{}, last: begin,
		pattern: c.Pattern, warmUp: c.WarmUp.Seconds(), warmRate: c.Pattern.rate(0), toldAt: -c.WarmUp.Seconds()}
	r.report = Report{Target: c.Target.Name(), Pattern: c.Pattern.Shape, Mix: c.Mix, Skew: c.Skew, Peak: c.Pattern.Rate,
		Began: begin.UTC(), Duration: c.Pattern.Duration.Seconds(), Concurrency: c.Concurrency}
	for i := range choose.kinds {
		r.kinds = append(r.kinds, newHistogram())
		r.counts = append(r.counts, KindReport{Kind: c.Mix[i].Kind})
	}
	return r
}

func (r *recorder) begin() {
	r.mu.Lock()
	r.inFlight++
	r.mu.Unlock()
}

func (r *recorder) record(o observation) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.begun {
		r.inFlight--
	}
	if o.cut {
		if !o.warm {
			r.report.Cut++
		}
		return
	}
	record := func(h *hdrhistogram.Histogram, d time.Duration) {
		_ = h.RecordValue(max(d.Microseconds(), shortest)) // the timeout keeps it within bounds
	}
	record(r.second, o.latency)
	if o.failure == "" {
		r.answered++
	} else {
		r.errors++
	}
	if o.warm {
		return
	}
	r.last = now
	record(r.all, o.latency)
	record(r.kinds[o.kind], o.latency)
	if o.refused > 0 {
		r.report.Refused.Count++
		record(r.refused, o.refused)
	}
	of := &r.counts[o.kind]
	of.Requests++
	r.report.Requests++
	switch o.lateness {
	case concurrencyFull:
		r.report.ConcurrencyFull++
	case generatorLate:
		r.report.GeneratorLate++
	}
	if o.failure != "" {
		of.Errors++
		r.report.Errors++
		r.failures[Failure{Kind: of.Kind, Reason: o.failure}]++
	}
}

// tick ends a second of the timeline once a second until ctx ends.
func (r *recorder) tick(ctx context.Context, tell func(Report)) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := r.endSecond(time.Now()); tell != nil {
			tell(now)
		}
	}
}

// endSecond adds a row to the timeline and returns the report so far.
func (r *recorder) endSecond(now time.Time) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addRow(now)
	return r.snapshot(now)
}

// addRow adds what ended since the last row to the timeline. The caller holds mu.
func (r *recorder) addRow(now time.Time) {
	l := latencyOf(r.second)
	at := now.Sub(r.began).Seconds()
	row := Second{At: at, Due: r.due(at) - r.due(r.toldAt), Answered: r.answered, Errors: r.errors, InFlight: r.inFlight, P50: l.P50, P99: l.P99, Max: l.Max}
	r.second, r.before = r.before, r.second
	r.second.Reset()
	r.answered, r.errors, r.toldAt = 0, 0, at
	r.report.Timeline = append(r.report.Timeline, row)
	if extra := len(r.report.Timeline) - maxTimeline; extra > 0 {
		r.report.Timeline = slices.Delete(r.report.Timeline, 0, extra)
	}
}

// reopenRow takes the last row of the timeline back, for addRow to add it with what came
// after it. The caller holds mu.
func (r *recorder) reopenRow() {
	last := len(r.report.Timeline) - 1
	row := r.report.Timeline[last]
	r.report.Timeline = slices.Clone(r.report.Timeline[:last]) // earlier reports have the row
	r.second.Merge(r.before)
	r.answered, r.errors = r.answered+row.Answered, r.errors+row.Errors
	r.toldAt = -r.warmUp
	if last > 0 {
		r.toldAt = r.report.Timeline[last-1].At
	}
}

// due is how many requests were due up to a moment, warm-up included.
func (r *recorder) due(at float64) float64 {
	if at <= 0 {
		return r.warmRate * (at + r.warmUp)
	}
	at = min(at, r.pattern.Duration.Seconds())
	return r.warmRate*r.warmUp + r.pattern.due(time.Duration(at*float64(time.Second)))
}

// snapshot returns the report as it is. The caller holds mu. Its timeline is shared
// and only ever appended to.
func (r *recorder) snapshot(now time.Time) Report {
	out := r.report
	out.Timeline = slices.Clip(out.Timeline)
	out.Took = max(now.Sub(r.began).Seconds(), 0)
	if out.Requests > 0 {
		out.ErrorRatio = float64(out.Errors) / float64(out.Requests)
	}
	if out.Took > 0 {
		out.Rate = float64(out.Requests-out.Errors) / out.Took
	}
	out.Latency, out.Refused.Latency = latencyOf(r.all), latencyOf(r.refused)
	out.Kinds = slices.Clone(r.counts)
	for i := range out.Kinds {
		out.Kinds[i].Latency = latencyOf(r.kinds[i])
	}
	out.Failures = []Failure{}
	for f, n := range r.failures {
		f.Count = n
		out.Failures = append(out.Failures, f)
	}
	slices.SortFunc(out.Failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

// finish returns the whole report. The rate is over the time of the pattern, or
// until the last answer when that came later.
func (r *recorder) finish(interrupted bool) Report {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	// A row of some milliseconds would look as if the target had stopped to answer. One of
	// the warm-up stays as it is.
	if rest := now.Sub(r.began).Seconds() - r.toldAt; r.toldAt > 0 && rest < progressEvery.Seconds()/10 {
		r.reopenRow()
	}
	r.addRow(now)
	r.report.Interrupted = interrupted
	end := now
	if !interrupted {
		if end = r.began.Add(r.pattern.Duration); r.last.After(end) {
			end = r.last
		}
	}
	return r.snapshot(end)
}
