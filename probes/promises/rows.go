package promises

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// scene is what measures several rows at once.
type scene string

const (
	sceneBreaker    scene = "breaker"
	scenePool       scene = "pool"
	sceneDatabase   scene = "database"
	sceneL1         scene = "l1"
	sceneL2         scene = "l2"
	sceneValidation scene = "validation"
	sceneAPI        scene = "api"
)

// promise is a row before it is measured.
type promise struct {
	scene  scene
	name   string
	unit   string
	target float64
	higher bool // the target is the least, not the most
	how    string
}

// promises are all of them, in the order in which they are told.
var promises = []promise{
	{sceneAPI, "api.latency_mean", "ms", 50, false, apiHow},
	{sceneAPI, "api.latency_p99", "ms", 80, false, apiHow},
	{sceneAPI, "api.rate", "/s", promisedRate, true, apiHow},
	{sceneAPI, "api.errors", "%", 3, false, apiHow},
	{sceneAPI, "cache.hit_ratio", "%", 90, true, "reads of the API's load that no provider was asked for"},
	{sceneAPI, "memory.rss", "MiB", 4096, false, "most resident memory under the API's load, of this whole process"},
	{sceneAPI, "memory.growth", "%", 0, false, growthRule},
	{sceneDatabase, "database.query_mean", "ms", 15, false, databaseHow},
	{scenePool, "pool.acquire_mean", "ms", 10, false, poolHow},
	{scenePool, "pool.acquire_p95", "ms", 20, false, poolHow},
	{sceneBreaker, "breaker.rate", "/s", 25_000, true, breakerHow},
	{sceneBreaker, "breaker.p50", "ms", 0.4, false, breakerHow},
	{sceneBreaker, "breaker.p99", "ms", 1.2, false, breakerHow},
	{sceneBreaker, "breaker.memory", "KB", 400, false, "one breaker with that window, full"},
	{sceneL1, "cache.l1_mean", "ms", 2, false, fmt.Sprintf("%d callers read %d keys that are in memory; before: FIFO, one lock, a sweep a second", cacheCallers, l1Keys)},
	{sceneL2, "cache.l2_mean", "ms", 15, false, fmt.Sprintf("%d callers read %d keys that are in Redis alone; before: one connection", cacheCallers, l2Keys)},
	{sceneValidation, "validation.mean", "ms", 20, false, validationHow},
	{sceneValidation, "validation.p95", "ms", 50, false, validationHow},
}

// Row is a promise that was measured.
type Row struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Before float64 `json:"before"`
	Target float64 `json:"target"`
	After  float64 `json:"after"`
	Passed bool    `json:"passed"`
	// Higher says that the target is the least, not the most.
	Higher bool   `json:"higher_is_better"`
	How    string `json:"how"` // it was measured
}

func (p promise) row(before, after float64) Row {
	passed := after <= p.target
	if p.higher {
		passed = after >= p.target
	}
	return Row{p.name, p.unit, before, p.target, after, passed, p.higher, p.how}
}

// Report is a run of the bench.
type Report struct {
	Version string    `json:"version"`
	Host    string    `json:"host"`  // processors and platform
	Parts   string    `json:"parts"` // what it ran on
	Quick   bool      `json:"quick"`
	Began   time.Time `json:"began"`
	Took    float64   `json:"took_seconds"`
	// Others is the share of the host's processors that other programs used meanwhile,
	// below 0 where that cannot be told. What they use, what is measured lacks.
	Others float64  `json:"others_cpu_ratio"`
	Rows   []Row    `json:"rows"`
	Memory []Sample `json:"memory"` // under the API's load, of the node's own parts
}

// Missed are the rows that did not pass.
func (r Report) Missed() []Row {
	return slices.DeleteFunc(slices.Clone(r.Rows), func(row Row) bool { return row.Passed })
}

// maxReport bounds a report that is read.
const maxReport = 16 << 20

// ReadReport reads a report that was written as JSON.
func ReadReport(in io.Reader) (Report, error) {
	var r Report
	if err := json.NewDecoder(io.LimitReader(in, maxReport)).Decode(&r); err != nil {
		return r, fmt.Errorf("it is no report of the bench: %w", err)
	}
	if len(r.Rows) == 0 {
		return r, fmt.Errorf("it is no report of the bench: it has no rows")
	}
	return r, nil
}

// Change is what became of a row since an older run.
type Change struct {
	Known      bool    // the older run has the row
	Old        float64 // what was measured then
	Ratio      float64 // new to old; NaN when that was 0
	Regression bool    // worse than noise explains
}

// noise is the change up to which two runs on one host are taken as alike: runs of
// the parts that last a second differ by about as much.
const noise = 0.25

// Since compares a row with the same in an older report.
func (r Row) Since(old Report) Change {
	i := slices.IndexFunc(old.Rows, func(o Row) bool { return o.Name == r.Name && o.Unit == r.Unit })
	if i < 0 {
		return Change{}
	}
	was := old.Rows[i]
	c := Change{Known: true, Old: was.After, Ratio: math.NaN()}
	if was.After != 0 {
		c.Ratio = r.After / was.After
	}
	worse := r.After > was.After*(1+noise)
	if r.Higher {
		worse = r.After < was.After/(1+noise)
	}
	// What is far inside of its target is noise whatever its ratio; what used to pass
	// is a regression when it does not any more.
	near := r.After > r.Target/10
	if r.Higher {
		near = r.After < r.Target*10
	}
	c.Regression = was.Passed && !r.Passed || worse && near
	return c
}

// choose returns the promises that names select, each a whole name or its first part:
// "breaker", "api.rate". None selects all.
func choose(names []string) ([]promise, error) {
	if len(names) == 0 {
		return promises, nil
	}
	var out []promise
	for _, p := range promises {
		if slices.ContainsFunc(names, func(n string) bool { return n == p.name || strings.HasPrefix(p.name, n+".") }) {
			out = append(out, p)
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(out, func(p promise) bool { return n == p.name || strings.HasPrefix(p.name, n+".") }) {
			return nil, fmt.Errorf("there is no promise %.40q: there are %s", n, strings.Join(Names(), ", "))
		}
	}
	return out, nil
}

// Names are the names of all rows.
func Names() []string {
	var out []string
	for _, p := range promises {
		out = append(out, p.name)
	}
	return out
}
