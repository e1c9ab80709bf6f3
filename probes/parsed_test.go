package probes_test

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// An expression that is evaluated again has the answer of one that never was.
func TestExpressionsEvaluatedAgain(t *testing.T) {
	r, _ := sample(t, t.TempDir())
	count := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "c_total"}, []string{"b", "a"})
	for i := range 6 {
		count.WithLabelValues(fmt.Sprint(i%2), fmt.Sprint(i)).Add(float64(i))
	}
	r.metrics.MustRegister(count)
	eventually(t, "sampled", func() bool { return len(r.query(t, "c_total")) == 6 })
	exprs := []string{
		`c_total`, `-c_total`, `(c_total{a="1"})`, `1 + 2 ^ 3`, `"text"`, `c_total @ end()`, `c_total offset 1s`, `c_total[2s]`,
		`sum by (b, a) (c_total)`, `sum without (b) (rate(c_total[2s]))`, `topk(2, c_total)`, `quantile(scalar(max(c_total)) / 10, c_total)`,
		`c_total * on (b) group_left (a) sum by (b) (c_total)`, `c_total > bool 2`, `c_total and on (b, a) c_total{b="1"}`,
		`max_over_time(rate(c_total[1s])[2s:1s] @ start())`, `label_replace(c_total, "d", "$1", "a", "(.*)")`, `absent(nothing)`, `vector(time())`,
	}
	for _, p := range r.Panels() {
		exprs = append(exprs, p.Expr)
	}
	last := r.secondOfSamples(t)
	answer := func(expr string, at time.Time) string {
		v, err := r.history.Instant(t.Context(), expr, at)
		for i := range v {
			if math.IsNaN(v[i].F) {
				v[i].F = 0
			}
		}
		return fmt.Sprint(v, err != nil)
	}
	var wg sync.WaitGroup
	for _, expr := range exprs {
		for back := range 2 {
			at := last.Add(-time.Duration(back) * time.Second)
			fresh := answer(expr+strings.Repeat(" ", 1+back), at) // another text, so it is parsed
			for range 3 {
				wg.Go(func() {
					if again := answer(expr, at); again != fresh {
						t.Errorf("%s %d s ago is %s, parsed anew %s", expr, back, again, fresh)
					}
				})
			}
		}
	}
	wg.Wait()
}
