package promises_test

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node"
	"github.com/bizra/bizra-top/node/api"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes/promises"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onEmbedded returns what a quick run of the parts needs.
func onEmbedded(t *testing.T, changes ...settings.Change) promises.Options {
	t.Helper()
	e, err := promises.StartEmbedded(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	registry := settings.NewRegistry()
	s := node.Declare(registry)
	if err := registry.Load(settings.SourceDefault, append(e.Settings(), changes...)); err != nil {
		t.Fatal(err)
	}
	return promises.Options{Settings: s, Dir: t.TempDir(), Quick: true, Parts: e.String()}
}

// Every part is measured, before and after, and the rows say the same as their
// figures. Whether a target is reached is a matter of the host, but for what differs
// by orders of magnitude: a scanned breaker needs more memory than was promised.
func TestPartsAreMeasured(t *testing.T) {
	o := onEmbedded(t)
	o.Only = []string{"breaker", "cache.l1_mean", "cache.l2_mean", "pool", "database", "validation"}
	var told []string
	o.Progress = func(what string, step, steps int) {
		told = append(told, what)
		if step != len(told) || steps != 12 {
			t.Errorf("%s: step %d of %d", what, step, steps)
		}
	}
	r, err := promises.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != 12 || len(r.Rows) != 11 {
		t.Fatalf("%d steps, %d rows", len(told), len(r.Rows))
	}
	for _, row := range r.Rows {
		if !(row.Before > 0) || !(row.After > 0) || math.IsInf(row.Before, 0) || math.IsInf(row.After, 0) || row.How == "" || row.Unit == "" {
			t.Errorf("%+v", row)
		}
		if row.Passed != (row.After <= row.Target) && !row.Higher || row.Passed != (row.After >= row.Target) && row.Higher {
			t.Errorf("the verdict is wrong: %+v", row)
		}
		if row.Name == "breaker.memory" && (row.Before < 1000 || !row.Passed) {
			t.Errorf("%+v", row)
		}
	}
}

// unobserved is a node whose metrics nobody keeps.
type unobserved struct{}

func (unobserved) Query(context.Context, string) ([]api.Sample, error) { return nil, nil }
func (unobserved) Panel(string) (string, bool)                         { return "", false }

// The API is measured on a whole node, which is started apart from what the parts hold,
// and closed; so is the memory it takes.
func TestTheAPIIsMeasured(t *testing.T) {
	o := onEmbedded(t)
	o.Only = []string{"api", "cache.hit_ratio", "memory"}
	starts, closed := 0, false
	o.Start = func(ctx context.Context, changes []settings.Change) (promises.Running, error) {
		starts++
		registry, metrics := settings.NewRegistry(), prometheus.NewRegistry()
		declared := node.Declare(registry)
		if err := registry.Load(settings.SourceFlag, append([]settings.Change{
			{Key: "upstream.providers", Value: strings.Join(o.Settings.Upstream.Providers.Get(), ",")},
			{Key: "cache.l2.url", Value: o.Settings.Cache.URL.Get()}, {Key: "cache.l2.secret", Value: strings.Join(o.Settings.Cache.Secret.Get(), ",")}}, changes...)); err != nil {
			return promises.Running{}, err
		}
		if declared.Cache.Prefix.Get() == o.Settings.Cache.Prefix.Get() {
			t.Error("its entries in Redis are not apart from the operator's")
		}
		n, err := node.New(ctx, node.Options{Registry: registry, Settings: declared, StateDir: t.TempDir(), Mode: "node", Log: slog.New(slog.DiscardHandler), Metrics: metrics})
		if err != nil {
			return promises.Running{}, err
		}
		if err := n.Open(ctx, node.Opening{Observer: unobserved{}}); err != nil {
			return promises.Running{}, err
		}
		running, stop := context.WithCancel(ctx)
		serving, ended := make(chan struct{}), make(chan error, 1)
		go func() { ended <- n.Run(running, func() { close(serving) }) }()
		<-serving
		return promises.Running{URL: "http://" + n.Address(), Metrics: metrics, Close: func() error { closed = true; stop(); return <-ended }}, nil
	}
	r, err := promises.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if starts != 1 || !closed {
		t.Errorf("the node was started %d times, closed: %v", starts, closed)
	}
	var names []string
	for _, row := range r.Rows {
		names = append(names, row.Name)
		if math.IsNaN(row.Before) || math.IsNaN(row.After) || row.Before < 0 || row.After < 0 {
			t.Errorf("%+v", row)
		}
		// Every node answers from its cache what was just asked for.
		if row.Name == "cache.hit_ratio" && row.After < 50 || row.Name == "api.rate" && row.After < 1 {
			t.Errorf("%+v", row)
		}
	}
	if len(names) < 6 || len(r.Memory) < 10 || r.Memory[0].RSS <= 0 || r.Memory[0].Heap <= 0 {
		t.Errorf("rows %v, memory %+v", names, r.Memory)
	}
}

// A run that is ended returns what it has.
func TestInterruptedRunReturnsWhatItHas(t *testing.T) {
	o := onEmbedded(t)
	o.Only = []string{"breaker", "validation"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Progress = func(what string, _, _ int) {
		if what == "validation, before" {
			cancel()
		}
	}
	r, err := promises.Run(ctx, o)
	if err == nil || !strings.Contains(err.Error(), "validation, before") || len(r.Rows) != 4 {
		t.Errorf("%v, %d rows", err, len(r.Rows))
	}
}

func TestChoosingRows(t *testing.T) {
	for _, name := range []string{"breake", "api.latency", "", "breaker.rate.x"} {
		if _, err := promises.Run(t.Context(), promises.Options{Only: []string{name}}); err == nil || !strings.Contains(err.Error(), "api.latency_p99") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Memory that grows all the time is found; a collection's saw, noise, an early step, a peak
// and what caches take at first are not growth.
func TestGrowthRule(t *testing.T) {
	const mib = 1 << 20
	random := rand.New(rand.NewPCG(1, 2))
	for name, c := range map[string]struct {
		at    func(second float64) float64 // MiB
		grows bool
	}{
		"flat":                          {func(float64) float64 { return 200 }, false},
		"noise":                         {func(float64) float64 { return 200 + 40*random.Float64() }, false},
		"saw":                           {func(s float64) float64 { return 200 + 50*math.Mod(s, 3) }, false},
		"early step":                    {func(s float64) float64 { return 200 + 100*min(math.Floor(s/14), 1) }, false},
		"peak":                          {func(s float64) float64 { return 200 + 2000*math.Exp(-math.Pow(s-20, 2)) }, false},
		"fills, then flat":              {func(s float64) float64 { return 100 + 40*min(s, 9) }, false},
		"below the floor":               {func(s float64) float64 { return 40 + s/2 }, false},
		"below 5 %":                     {func(s float64) float64 { return 4000 + 5*s }, false},
		"shrinks":                       {func(s float64) float64 { return 500 - 5*s }, false},
		"leaks":                         {func(s float64) float64 { return 200 + 3*s }, true},
		"leaks behind saw":              {func(s float64) float64 { return 200 + 3*s + 40*math.Mod(s, 3) }, true},
		"leaks slowly":                  {func(s float64) float64 { return 200 + 1.5*s + 10*random.Float64() }, true},
		"leaks in noise":                {func(s float64) float64 { return 200 + 3*s + 40*random.Float64() }, true},
		"leaks from the end of filling": {func(s float64) float64 { return 200 + 3*max(s-10, 0) }, true},
	} {
		for _, heap := range []bool{false, true} {
			var samples []promises.Sample
			for s := 0.0; s < 30; s += 0.1 {
				sample := promises.Sample{At: s, RSS: c.at(s) * mib}
				if heap {
					sample = promises.Sample{At: s, RSS: 100 * mib, Heap: c.at(s) * mib}
				}
				samples = append(samples, sample)
			}
			if got := promises.Growth(samples); got > 0 != c.grows {
				t.Errorf("%s, heap %v: growth of %.1f %%", name, heap, got)
			}
		}
	}
	if promises.Growth(nil) != 0 || promises.Growth(make([]promises.Sample, 5)) != 0 {
		t.Error("nothing grows")
	}
}

func TestChangeSinceAnOlderRun(t *testing.T) {
	row := func(after, target float64, higher bool) promises.Row {
		passed := after <= target
		if higher {
			passed = after >= target
		}
		return promises.Row{Name: "x", Unit: "ms", After: after, Target: target, Passed: passed, Higher: higher}
	}
	for name, c := range map[string]struct {
		old, now   promises.Row
		regression bool
	}{
		"alike":                   {row(10, 20, false), row(11, 20, false), false},
		"better":                  {row(10, 20, false), row(5, 20, false), false},
		"worse":                   {row(10, 20, false), row(13, 20, false), true},
		"missed now, by a little": {row(19.9, 20, false), row(20.1, 20, false), true},
		"missed then too":         {row(21, 20, false), row(22, 20, false), false},
		"worse, far inside":       {row(0.01, 20, false), row(0.03, 20, false), false},
		"rate fell":               {row(4000, 3500, true), row(3000, 3500, true), true},
		"rate rose":               {row(4000, 3500, true), row(6000, 3500, true), false},
		"rate fell, far inside":   {row(9e6, 3500, true), row(6e6, 3500, true), false},
		"from none to some":       {row(0, 3, false), row(1, 3, false), true},
	} {
		got := c.now.Since(promises.Report{Rows: []promises.Row{c.old}})
		if !got.Known || got.Regression != c.regression || got.Old != c.old.After {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if row(1, 2, false).Since(promises.Report{}).Known {
		t.Error("a row that is not there is known")
	}
}

func TestReadReport(t *testing.T) {
	if r, err := promises.ReadReport(strings.NewReader(`{"rows":[{"name":"api.rate","unit":"/s","before":1,"target":2,"after":3,"passed":true}]}`)); err != nil || r.Rows[0].After != 3 {
		t.Error(r, err)
	}
	for _, text := range []string{"", "{}", "[]", "<html>", `{"rows":"x"}`} {
		if _, err := promises.ReadReport(strings.NewReader(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestProfilesAreLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profiles")
	end, err := promises.Profile(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := promises.Profile(dir); err == nil {
		t.Error("two profiles at once")
	}
	pprof.Do(t.Context(), pprof.Labels("phase", "after"), func(context.Context) {})
	if err := end(); err != nil {
		t.Fatal(err)
	}
	var names []string
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.Size() > 0 {
			names = append(names, f.Name())
		}
	}
	if !slices.Equal(names, []string{"block.pprof", "cpu.pprof", "heap.pprof"}) {
		t.Error(names)
	}
}
