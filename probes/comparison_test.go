package probes_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/probes"
)

func TestSides(t *testing.T) {
	for condition, want := range map[string][2]string{
		"a > 5":                                    {"a", "5"},
		"(sum(rate(a[1m])) / b) < on () s":         {"(sum(rate(a[1m])) / b)", "s"},
		"((a > scalar(max(s)))) and (b > 0)":       {"a", "scalar(max(s))"},
		"(x or y) and b >= 2":                      {"b", "2"},
		"absent(a)":                                {"absent(a)", ""},
		"sum by (name) (a{state=~\"open\"}) > 0":   {`sum by (name) (a{state=~"open"})`, "0"},
		"rate(a[1m]) > bool 1 unless on (x) b > 2": {"rate(a[1m])", "1"},
	} {
		value, threshold, err := probes.Sides(condition)
		if err != nil || value != want[0] || threshold != want[1] {
			t.Errorf("%s: %q and %q, %v; want %q", condition, value, threshold, err, want)
		}
	}
	if _, _, err := probes.Sides("a >"); err == nil {
		t.Error("what is no PromQL is taken")
	}
}

func TestComparison(t *testing.T) {
	r, _ := sample(t, t.TempDir())
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "g"}, []string{"name"})
	g.WithLabelValues("a").Set(3)
	g.WithLabelValues("b").Set(4)
	r.metrics.MustRegister(g)
	eventually(t, "sampled", func() bool { return len(r.query(t, "g")) == 2 })
	c, err := r.Comparison(t.Context(), "g > 2", r.secondOfSamples(t), time.Minute, time.Second)
	if err != nil || len(c.Values) != 2 || len(c.Thresholds) != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	if c.Values[0].Label == c.Values[1].Label || c.Values[0].Label != "name=a" && c.Values[0].Label != "name=b" {
		t.Errorf("the series are called %q and %q", c.Values[0].Label, c.Values[1].Label)
	}
	if p := c.Thresholds[0].Points; p[len(p)-1].V != 2 {
		t.Errorf("the threshold is %v", p)
	}
}
