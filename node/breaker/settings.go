package breaker

import (
	"cmp"
	"time"

	"github.com/bizra/bizra-top/node/settings"
)

// Settings are the live tunables of one class of breakers, or of one breaker
// with overrides of its own.
type Settings struct {
	WindowKind   *settings.Value[string]        // "time" or "calls"
	Window       *settings.Value[time.Duration] // length of a time window
	WindowCalls  *settings.Value[int]           // length of a window of calls
	MinimumCalls *settings.Value[int]
	FailureRatio *settings.Value[float64]
	SlowRatio    *settings.Value[float64]
	SlowAfter    *settings.Value[time.Duration]
	OpenFor      *settings.Value[time.Duration] // wait before the first probe
	OpenForMax   *settings.Value[time.Duration] // bound of the doubling wait
	Probes       *settings.Value[int]           // successes in a row that close it
	ProbeTimeout *settings.Value[time.Duration] // a probe unanswered for so long has failed
}

// Defaults are where a class of breakers starts from; what is zero is left as
// [Declare] has it.
type Defaults struct {
	WindowKind   string
	WindowCalls  int
	ProbeTimeout time.Duration
}

// Declare declares the tunables of a class of breakers under
// "breaker.<class>.". The defaults suit calls over a network that are usually
// answered within a second.
func Declare(r *settings.Registry, class string) Settings { return DeclareWith(r, class, Defaults{}) }

// DeclareWith is Declare with other defaults.
func DeclareWith(r *settings.Registry, class string, d Defaults) Settings {
	spec := func(name, doc string, more settings.Spec) settings.Spec {
		more.Key, more.Doc = "breaker."+class+"."+name, doc
		if more.Risk == "" {
			more.Risk = settings.RiskMedium
		}
		return more
	}
	return Settings{
		WindowKind: settings.Enum(r, spec("window_kind", "What the window of outcomes is measured in.",
			settings.Spec{Choices: []string{"time", "calls"}}), cmp.Or(d.WindowKind, "time")),
		Window: settings.Duration(r, spec("window", "Length of the window of outcomes when it is measured in time.",
			settings.Spec{Min: 1, Max: 3600, Step: 5}), 10*time.Second),
		WindowCalls: settings.Int(r, spec("window_calls", "Length of the window of outcomes when it is measured in calls.",
			settings.Spec{Unit: "calls", Min: 10, Max: MaxWindowCalls, Step: 50}), cmp.Or(d.WindowCalls, 100)),
		MinimumCalls: settings.Int(r, spec("minimum_calls", "Calls in the window below which the breaker never opens.",
			settings.Spec{Unit: "calls", Min: 1, Max: 100_000, Step: 1}), 10),
		FailureRatio: settings.Ratio(r, spec("failure_ratio", "Share of failed calls that opens the breaker.",
			settings.Spec{Min: 0.001, Max: 1, Step: 0.05, Risk: settings.RiskHigh}), 0.5),
		SlowRatio: settings.Ratio(r, spec("slow_ratio", "Share of slow calls that opens the breaker.",
			settings.Spec{Min: 0.001, Max: 1, Step: 0.05, Risk: settings.RiskHigh}), 0.8),
		SlowAfter: settings.Duration(r, spec("slow_after", "A call that takes longer than this is slow.",
			settings.Spec{Min: 0.001, Max: 300, Step: 0.1}), 2*time.Second),
		OpenFor: settings.Duration(r, spec("open_for", "Wait between opening and the first probe; doubles with each failed probe.",
			settings.Spec{Min: 0.01, Max: 3600, Step: 0.25}), 250*time.Millisecond),
		OpenForMax: settings.Duration(r, spec("open_for_max", "Longest wait between probes.",
			settings.Spec{Min: 0.01, Max: 3600, Step: 0.5}), 500*time.Millisecond), // with three probes, back within 1 s
		Probes: settings.Int(r, spec("probes", "Probes that must succeed in a row to close the breaker.",
			settings.Spec{Unit: "probes", Min: 1, Max: 100, Step: 1}), 3),
		ProbeTimeout: settings.Duration(r, spec("probe_timeout", "A probe without a result for this long has failed.",
			settings.Spec{Min: 0.01, Max: 300, Step: 0.5}), cmp.Or(d.ProbeTimeout, 5*time.Second)),
	}
}

// limits are the settings in force at one moment.
type limits struct {
	windowKind   string
	window       time.Duration
	windowCalls  int
	minimumCalls uint64
	failureRatio float64
	slowRatio    float64
	slowAfter    time.Duration
	openFor      time.Duration
	openForMax   time.Duration
	probes       int
	probeTimeout time.Duration
}

func (s *Settings) read() limits {
	return limits{
		windowKind: s.WindowKind.Get(), window: s.Window.Get(), windowCalls: s.WindowCalls.Get(),
		minimumCalls: uint64(s.MinimumCalls.Get()), failureRatio: s.FailureRatio.Get(),
		slowRatio: s.SlowRatio.Get(), slowAfter: s.SlowAfter.Get(),
		openFor: s.OpenFor.Get(), openForMax: s.OpenForMax.Get(),
		probes: s.Probes.Get(), probeTimeout: s.ProbeTimeout.Get(),
	}
}

// sameWindow says whether a window made for l serves o.
func (l limits) sameWindow(o limits) bool {
	return l.windowKind == o.windowKind && l.window == o.window && l.windowCalls == o.windowCalls
}
