package settings_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/settings"
)

type handles struct {
	limit   *settings.Value[int]
	ceiling *settings.Value[int]
	ratio   *settings.Value[float64]
	ttl     *settings.Value[time.Duration]
	bound   *settings.Value[int64]
	kind    *settings.Value[string]
	secret  *settings.Value[string]
	list    *settings.Value[[]string]
	on      *settings.Value[bool]
}

func declare() (*settings.Registry, handles) {
	r := settings.NewRegistry()
	h := handles{
		limit:   settings.Int(r, settings.Spec{Key: "pool.limit", Min: 1, Max: 100, Doc: "Limit."}, 8),
		ceiling: settings.Int(r, settings.Spec{Key: "pool.ceiling", Min: 1, Max: 100, Doc: "Ceiling.", Restart: true}, 50),
		ratio:   settings.Ratio(r, settings.Spec{Key: "breaker.upstream.failure_ratio", Doc: "Ratio."}, 0.5),
		ttl:     settings.Duration(r, settings.Spec{Key: "cache.ttl.block", Max: 86400 * 30, Doc: "TTL."}, 24*time.Hour),
		bound:   settings.Bytes(r, settings.Spec{Key: "cache.l1.max_bytes", Min: 1 << 20, Max: 1 << 40, Doc: "Bound."}, 64<<20),
		kind:    settings.Enum(r, settings.Spec{Key: "breaker.upstream.window_kind", Choices: []string{"time", "calls"}, Doc: "Kind."}, "time"),
		secret:  settings.String(r, settings.Spec{Key: "store.dsn", Secret: true, Restart: true, Doc: "DSN."}, ""),
		list:    settings.List(r, settings.Spec{Key: "upstream.providers", Doc: "Providers."}, nil),
		on:      settings.Bool(r, settings.Spec{Key: "cache.on", Doc: "Switch."}, true),
	}
	r.Relate(func(number func(string) float64) error {
		if number("pool.limit") > number("pool.ceiling") {
			return errors.New("is above pool.ceiling")
		}
		return nil
	}, "pool.limit", "pool.ceiling")
	return r, h
}

func TestApply(t *testing.T) {
	for _, c := range []struct {
		key, value string
		want       string // text in force afterwards, or empty for a refusal
		wrong      string // part of the refusal
	}{
		{"pool.limit", "12", "12", ""},
		{"pool.limit", "0", "", "outside 1 to 100"},
		{"pool.limit", "101", "", "outside 1 to 100"},
		{"pool.limit", "51", "", "above pool.ceiling"},
		{"pool.limit", "1.5", "", "whole number"},
		{"pool.limit", "NaN", "", "whole number"},
		{"pool.ceiling", "60", "", "at start only"},
		{"breaker.upstream.failure_ratio", "35%", "0.35", ""},
		{"breaker.upstream.failure_ratio", "NaN", "", "not a number"},
		{"breaker.upstream.failure_ratio", "Inf", "", "not a number"},
		{"breaker.upstream.failure_ratio", "1.01", "", "outside"},
		{"cache.ttl.block", "90s", "1m30s", ""},
		{"cache.ttl.block", "2d", "2d", ""},
		{"cache.ttl.block", "5m", "5m", ""},
		{"cache.ttl.block", "soon", "", "not a duration"},
		{"cache.l1.max_bytes", "128 MiB", "128MiB", ""},
		{"cache.l1.max_bytes", "1500000", "1500000B", ""},
		{"cache.l1.max_bytes", "10", "", "outside"},
		{"cache.l1.max_bytes", "-5MiB", "", "not a size"},
		{"breaker.upstream.window_kind", "calls", "calls", ""},
		{"breaker.upstream.window_kind", "cals", "", "not one of time, calls"},
		{"cache.on", "off", "false", ""},
		{"cache.on", "maybe", "", "neither"},
		{"upstream.providers", "a=http://x, b=http://y", "a=http://x,b=http://y", ""},
		{"upstream.providers", "a\x1b[31m", "", "control characters"},
		{"upstream.providers", "a\u009b31m", "", "control characters"},
		{"upstream.providers", "a\u202eb", "", "control characters"},
		{"pool.limt", "3", "", "did you mean pool.limit?"},
		{"failure_ratio", "3", "", "did you mean breaker.upstream.failure_ratio?"},
	} {
		t.Run(c.key+"="+c.value, func(t *testing.T) {
			r, _ := declare()
			before, _ := r.Get(c.key)
			_, err := r.Apply([]settings.Change{{Key: c.key, Value: c.value}})
			after, _ := r.Get(c.key)
			switch {
			case c.want != "" && err != nil:
				t.Fatal(err)
			case c.want != "" && after.Text != c.want:
				t.Fatalf("got %q, want %q", after.Text, c.want)
			case c.want == "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
				t.Fatalf("error %v, want %q", err, c.wrong)
			case c.want == "" && after.Text != before.Text:
				t.Fatalf("refused, yet changed to %q", after.Text)
			}
		})
	}
}

func TestABatchAppliesWholeOrNotAtAll(t *testing.T) {
	r, h := declare()
	_, err := r.Apply([]settings.Change{{"pool.limit", "20"}, {"cache.ttl.block", "1h"}, {"breaker.upstream.failure_ratio", "7"}})
	if err == nil || h.limit.Get() != 8 || h.ttl.Get() != 24*time.Hour {
		t.Fatalf("err %v, limit %d", err, h.limit.Get())
	}
	applied, err := r.Apply([]settings.Change{{"pool.limit", "20"}, {"cache.ttl.block", "1h"}})
	if err != nil || h.limit.Get() != 20 || h.ttl.Get() != time.Hour {
		t.Fatal(err)
	}
	if applied[0].Old != "8" || applied[0].New != "20" || applied[1].Old != "1d" {
		t.Fatalf("%+v", applied)
	}
}

func TestPlanAppliesNothing(t *testing.T) {
	r, h := declare()
	before := r.Revision()
	if _, err := r.Plan([]settings.Change{{"pool.limit", "20"}}); err != nil || h.limit.Get() != 8 || r.Revision() != before {
		t.Fatal(err, h.limit.Get())
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	r, h := declare()
	const dsn = "postgres://user:hunter2@host/db"
	if err := r.Load(settings.SourceFile, []settings.Change{{"store.dsn", dsn}}); err != nil || h.secret.Get() != dsn {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v", r.All()) + r.Template(); strings.Contains(text, "hunter2") {
		t.Fatal("the secret is shown")
	}
	if s, _ := r.Get("store.dsn"); s.Text != "(set)" || s.Default != "(not set)" {
		t.Fatalf("%+v", s)
	}
}

func TestHooksRunAfterTheChange(t *testing.T) {
	r, h := declare()
	seen, all := 0, 0
	r.OnChange(func() error { seen = h.limit.Get(); return nil }, "pool.limit")
	r.OnChange(func() error { all++; return nil })
	for _, c := range []settings.Change{{"pool.limit", "9"}, {"cache.on", "false"}} {
		if _, err := r.Apply([]settings.Change{c}); err != nil {
			t.Fatal(err)
		}
	}
	if seen != 9 || all != 2 {
		t.Fatalf("seen %d, all %d", seen, all)
	}
}

func TestParseYAML(t *testing.T) {
	for _, c := range []struct{ name, yaml, want, wrong string }{
		{"dotted", "pool.limit: 12", "pool.limit=12", ""},
		{"nested", "pool:\n  limit: 12\ncache:\n  ttl:\n    block: 1h", "pool.limit=12 cache.ttl.block=1h", ""},
		{"list", "upstream.providers:\n  - a=http://x\n  - b=http://y", "upstream.providers=a=http://x,b=http://y", ""},
		{"empty", "", "", ""},
		{"comments only", "pool:\n  # limit: 3\n", "", ""},
		{"unknown", "pool:\n  limt: 12", "", "f.yaml:2:3: pool.limt: is not a setting; did you mean pool.limit?"},
		{"bad value", "x: 1\npool.limit: many", "", "f.yaml:2:1: pool.limit: \"many\" is not a whole number"},
		{"twice", "pool.limit: 1\npool:\n  limit: 2", "", "already set in line 1"},
		{"not a mapping", "- 1", "", "expected keys"},
		{"syntax", "pool: [", "", "f.yaml"},
		{"list in list", "upstream.providers: [[a]]", "", "single values"},
		{"too large", strings.Repeat("#\n", 1<<19+1), "", "bytes are more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := declare()
			changes, err := r.ParseYAML("f.yaml", []byte(c.yaml))
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Fatalf("error %v, want %q", err, c.wrong)
				}
				return
			}
			var got []string
			for _, ch := range changes {
				got = append(got, ch.Key+"="+ch.Value)
			}
			if err != nil || strings.Join(got, " ") != c.want {
				t.Fatalf("got %q, %v", got, err)
			}
		})
	}
}

func TestTheTemplateIsAConfiguration(t *testing.T) {
	r, _ := declare()
	text := r.Template()
	if changes, err := r.ParseYAML("init", []byte(text)); err != nil || len(changes) != 0 {
		t.Fatal(changes, err)
	}
	// With every setting uncommented it still loads, and changes nothing.
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") && line != "#\n" {
			line = line[1:]
		}
		b.WriteString(line)
	}
	changes, err := r.ParseYAML("init", []byte(b.String()))
	if err != nil || len(changes) != len(r.All()) {
		t.Fatalf("%d of %d: %v", len(changes), len(r.All()), err)
	}
	if err := r.Load(settings.SourceFile, changes); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.All() {
		if s.Text != s.Default {
			t.Errorf("%s: %q is not the default %q", s.Key, s.Text, s.Default)
		}
	}
}

func TestParseEnvironment(t *testing.T) {
	r, _ := declare()
	changes, err := r.ParseEnvironment([]string{"HOME=/root", "BIZRA_POOL_LIMIT=3", "BIZRA_TEST_X=1"})
	if err != nil || len(changes) != 1 || changes[0] != (settings.Change{Key: "pool.limit", Value: "3"}) {
		t.Fatal(changes, err)
	}
	if _, err := r.ParseEnvironment([]string{"BIZRA_POOL_LIMT=3"}); err == nil {
		t.Fatal("an unknown variable was taken")
	}
}

func TestReadsDuringChanges(t *testing.T) {
	r, h := declare()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10000 {
				if v := h.limit.Get(); v < 1 || v > 50 {
					t.Errorf("limit %d", v)
				}
			}
		})
	}
	for i := range 500 {
		if _, err := r.Apply([]settings.Change{{"pool.limit", fmt.Sprint(1 + i%50)}}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

func FuzzParseYAML(f *testing.F) {
	f.Add("pool.limit: 12")
	f.Add("a: &a [*a]")
	f.Add("? {x: y}\n: z")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		r, _ := declare()
		changes, err := r.ParseYAML("fuzz", []byte(text))
		if err == nil {
			_ = r.Load(settings.SourceFile, changes)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	_, h := declare()
	for b.Loop() {
		h.limit.Get()
	}
}
