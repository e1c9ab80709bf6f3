package breaker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bizra/bizra-top/node/settings"
)

// fields takes one tunable of a class over from another Settings, by the last
// part of its key.
var fields = map[string]func(to *Settings, from Settings){
	"window_kind":   func(to *Settings, from Settings) { to.WindowKind = from.WindowKind },
	"window":        func(to *Settings, from Settings) { to.Window = from.Window },
	"window_calls":  func(to *Settings, from Settings) { to.WindowCalls = from.WindowCalls },
	"minimum_calls": func(to *Settings, from Settings) { to.MinimumCalls = from.MinimumCalls },
	"failure_ratio": func(to *Settings, from Settings) { to.FailureRatio = from.FailureRatio },
	"slow_ratio":    func(to *Settings, from Settings) { to.SlowRatio = from.SlowRatio },
	"slow_after":    func(to *Settings, from Settings) { to.SlowAfter = from.SlowAfter },
	"open_for":      func(to *Settings, from Settings) { to.OpenFor = from.OpenFor },
	"open_for_max":  func(to *Settings, from Settings) { to.OpenForMax = from.OpenForMax },
	"probes":        func(to *Settings, from Settings) { to.Probes = from.Probes },
	"probe_timeout": func(to *Settings, from Settings) { to.ProbeTimeout = from.ProbeTimeout },
}

// DeclareOverrides declares "breaker.overrides", the list of tunables in which a
// single breaker differs from its class: "upstream/alpha.failure_ratio=0.3". The
// part of a breaker's name before the slash is its class, one of classes. Each
// value obeys the bounds that [Declare] gives that tunable. Hand the result to
// [WithOverrides].
func DeclareOverrides(r *settings.Registry, classes ...string) *settings.Value[[]string] {
	return settings.List(r, settings.Spec{Key: "breaker.overrides", Risk: settings.RiskHigh,
		Doc: `Tunables in which one breaker differs from its class, such as "upstream/alpha.failure_ratio=0.3".`,
		Check: func(list string) error {
			seen := map[string]bool{}
			for entry := range strings.SplitSeq(list, ",") {
				if entry == "" {
					continue
				}
				o, err := parseOverride(entry)
				if err != nil {
					return err
				}
				if class := classOf(o.breaker); !slices.Contains(classes, class) {
					return fmt.Errorf("%q: no class of breakers is called %q; there are %s", entry, class, strings.Join(classes, ", "))
				}
				at := o.breaker + "." + o.field
				if seen[at] {
					return fmt.Errorf("%s is given twice", at)
				}
				seen[at] = true
				if _, err := o.settings(); err != nil {
					return fmt.Errorf("%q: %w", entry, err)
				}
			}
			return nil
		}}, nil)
}

// override is one entry of the list.
type override struct{ breaker, field, value string }

func parseOverride(entry string) (override, error) {
	key, value, ok := strings.Cut(entry, "=")
	dot := strings.LastIndexByte(key, '.')
	if !ok || dot <= 0 {
		return override{}, fmt.Errorf("%q is not of the form upstream/alpha.failure_ratio=0.3", entry)
	}
	o := override{strings.TrimSpace(key[:dot]), strings.TrimSpace(key[dot+1:]), strings.TrimSpace(value)}
	if fields[o.field] == nil {
		return override{}, fmt.Errorf("%q: breakers have no tunable %q", entry, o.field)
	}
	return o, nil
}

func classOf(breaker string) string {
	class, _, _ := strings.Cut(breaker, "/")
	return class
}

// settings returns the class's declaration with the one value in force, which
// is where its kind and its bounds come from.
func (o override) settings() (Settings, error) {
	r := settings.NewRegistry()
	class := classOf(o.breaker)
	s := Declare(r, class)
	return s, r.Load(settings.SourceDefault, []settings.Change{{Key: "breaker." + class + "." + o.field, Value: o.value}})
}

// with returns s with what list says of the breaker. The list has been checked.
func (s Settings) with(list []string, breaker string) Settings {
	for _, entry := range list {
		o, err := parseOverride(entry)
		if err != nil || o.breaker != breaker {
			continue
		}
		if own, err := o.settings(); err == nil {
			fields[o.field](&s, own)
		}
	}
	return s
}
