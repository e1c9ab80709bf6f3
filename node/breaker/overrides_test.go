package breaker_test

import (
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/settings"
)

func TestOverridesOfOneBreaker(t *testing.T) {
	reg := settings.NewRegistry()
	class := breaker.Declare(reg, "upstream")
	list := breaker.DeclareOverrides(reg, "upstream", "database")
	alpha := breaker.New("upstream/alpha", "upstream", class, breaker.WithOverrides(list))
	beta := breaker.New("upstream/beta", "upstream", class, breaker.WithOverrides(list))
	set := func(value string) {
		t.Helper()
		if _, err := reg.Apply([]settings.Change{{Key: "breaker.overrides", Value: value}}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(b *breaker.Breaker, threshold float64) {
		t.Helper()
		if got := b.Snapshot().Threshold; got != threshold {
			t.Errorf("%s opens at %g, want %g", b.Name(), got, threshold)
		}
	}
	set("upstream/alpha.failure_ratio=30%, upstream/alpha.minimum_calls = 4")
	want(alpha, 0.3)
	want(beta, 0.5)
	for i := range 4 {
		call(t, alpha, map[bool]error{true: errDown}[i < 2])
		call(t, beta, map[bool]error{true: errDown}[i < 2])
	}
	if alpha.State() != breaker.Open || beta.State() != breaker.Closed {
		t.Errorf("alpha %s, beta %s", alpha.State(), beta.State())
	}
	// What is not overridden follows the class; what no longer is, does again.
	if _, err := reg.Apply([]settings.Change{{Key: "breaker.upstream.failure_ratio", Value: "0.7"}}); err != nil {
		t.Fatal(err)
	}
	want(alpha, 0.3)
	want(beta, 0.7)
	set("")
	want(alpha, 0.7)
}

func TestOverridesAreChecked(t *testing.T) {
	reg := settings.NewRegistry()
	breaker.Declare(reg, "upstream")
	breaker.DeclareOverrides(reg, "upstream", "database")
	plan := func(value string) error {
		_, err := reg.Plan([]settings.Change{{Key: "breaker.overrides", Value: value}})
		return err
	}
	for value, problem := range map[string]string{
		"upstream/alpha.failure_ratio":                                         "not of the form",
		"failure_ratio=0.3":                                                    "not of the form",
		"upstream/alpha.colour=red":                                            `no tunable "colour"`,
		"upstraem/alpha.failure_ratio=0.3":                                     "there are upstream, database",
		"upstream/alpha.failure_ratio=3":                                       "outside 0.001 to 1",
		"database.window_kind=moon":                                            "not one of time, calls",
		"upstream/alpha.probes=2,upstream/alpha.probes=3":                      "given twice",
		"database.slow_after=1s,database.window=fast":                          "not a duration",
		"upstream/alpha.failure_ratio=0.3,upstream/beta.failure_ratio=0.00001": "outside",
	} {
		if err := plan(value); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v, want %q", value, err, problem)
		}
	}
	// Every tunable of a class can be overridden, also for a name with dots.
	for _, s := range reg.All() {
		if field, ok := strings.CutPrefix(s.Key, "breaker.upstream."); ok {
			if err := plan("upstream/rpc.example.org." + field + "=" + s.Default); err != nil {
				t.Error(err)
			}
		}
	}
}
