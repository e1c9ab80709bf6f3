package upstream

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/settings"
)

// Settings are the tunables of the providers and of how they are asked.
type Settings struct {
	Providers    *settings.Value[[]string]
	Archive      *settings.Value[[]string]
	ChainID      *settings.Value[int]
	Deadline     *settings.Value[time.Duration]
	AttemptLimit *settings.Value[time.Duration]
	Attempts     *settings.Value[int]
	RetryBudget  *settings.Value[float64]
	HedgeAfter   *settings.Value[float64]
	HedgeFloor   *settings.Value[time.Duration]
	PollEvery    *settings.Value[time.Duration]
	MaxLag       *settings.Value[int]
	MaxBody      *settings.Value[int64]
	MaxCalls     *settings.Value[int]
}

// Declare declares the tunables of the upstream part.
func Declare(r *settings.Registry) Settings {
	s := Settings{
		Providers: settings.List(r, settings.Spec{Key: "upstream.providers", Restart: true, Secret: true, Check: checkProviders,
			Doc: "JSON-RPC providers as name=URL; the URL may hold a key and is never shown."}, nil),
		Archive: settings.List(r, settings.Spec{Key: "upstream.archive", Restart: true,
			Doc: "Names of the providers that keep all states; where it is set, no other is asked for a state more than 128 blocks old. Empty: the node finds out."}, nil),
		ChainID: settings.Int(r, settings.Spec{Key: "upstream.chain_id", Restart: true, Min: 0, Max: 1 << 53,
			Doc: "Chain the providers must serve; 0 takes the one most of them serve at start."}, 0),
		Deadline: settings.Duration(r, settings.Spec{Key: "upstream.deadline", Min: 0.05, Max: 120, Step: 0.5,
			Doc: "Time one call may take, with all its attempts, retries and hedges.", Risk: settings.RiskHigh}, 8*time.Second),
		AttemptLimit: settings.Duration(r, settings.Spec{Key: "upstream.attempt_timeout", Min: 0.02, Max: 60, Step: 0.25,
			Doc: "Time one provider has to answer one attempt.", Risk: settings.RiskHigh}, 3*time.Second),
		Attempts: settings.Int(r, settings.Spec{Key: "upstream.attempts", Unit: "attempts", Min: 1, Max: 10, Step: 1,
			Doc: "Attempts a call may make in all, the first included; to ask another because one refuses does not count.", Risk: settings.RiskMedium}, 4),
		RetryBudget: settings.Ratio(r, settings.Spec{Key: "upstream.retry_budget", Min: 0, Max: 1, Step: 0.05,
			Doc: "Retries and hedges under way as a share of the calls under way; three are always allowed.", Risk: settings.RiskMedium}, 0.2),
		HedgeAfter: settings.Ratio(r, settings.Spec{Key: "upstream.hedge_after", Min: 0.5, Max: 1, Step: 0.01,
			Doc: "Quantile of a provider's own latency after which a second one is asked too; 1 turns hedging off.", Risk: settings.RiskMedium}, 0.95),
		HedgeFloor: settings.Duration(r, settings.Spec{Key: "upstream.hedge_floor", Min: 0.001, Max: 10, Step: 0.005,
			Doc: "A second provider is never asked sooner than this.", Risk: settings.RiskMedium}, 20*time.Millisecond),
		PollEvery: settings.Duration(r, settings.Spec{Key: "upstream.poll_every", Min: 0.1, Max: 60, Step: 0.5,
			Doc: "How often each provider is asked for its head."}, time.Second),
		MaxLag: settings.Int(r, settings.Spec{Key: "upstream.max_lag", Unit: "blocks", Min: 1, Max: 10000, Step: 1,
			Doc: "A provider further behind the trusted head than this is asked last.", Risk: settings.RiskMedium}, 5),
		MaxBody: settings.Bytes(r, settings.Spec{Key: "upstream.max_body", Min: 64 << 10, Max: 1 << 30, Step: 1 << 20,
			Doc: "Largest answer that is read from a provider, after decompression.", Risk: settings.RiskMedium}, 32<<20),
		MaxCalls: settings.Int(r, settings.Spec{Key: "upstream.max_calls", Unit: "calls", Min: 1, Max: 100_000, Step: 16,
			Doc: "Calls one provider may have under way; where all have that many, further ones are answered 503 at once.", Risk: settings.RiskHigh}, 256),
	}
	r.Relate(func(number func(string) float64) error {
		if a, d := number("upstream.attempt_timeout"), number("upstream.deadline"); a > d {
			return fmt.Errorf("%gs is longer than upstream.deadline, %gs", a, d)
		}
		return nil
	}, "upstream.attempt_timeout", "upstream.deadline")
	return s
}

// maxProviders is how many a call can keep apart.
const maxProviders = 256

// providerSet is a set of providers, by index.
type providerSet [maxProviders / 64]uint64

func (s *providerSet) add(index int)      { s[index/64] |= 1 << (index % 64) }
func (s *providerSet) has(index int) bool { return s[index/64]&(1<<(index%64)) != 0 }

// address is one configured provider.
type address struct {
	name string
	url  *url.URL
}

func checkProviders(text string) error {
	seen := map[string]bool{}
	for i, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		a, err := parseAddress(part)
		if err != nil {
			return fmt.Errorf("provider %d: %w", i+1, err)
		}
		if seen[a.name] {
			return fmt.Errorf("two providers are named %q; write name=URL to tell them apart", a.name)
		}
		if seen[a.name] = true; len(seen) > maxProviders {
			return fmt.Errorf("more than %d providers", maxProviders)
		}
	}
	return nil
}

// parseAddress reads name=URL or URL. Its errors never quote the URL.
func parseAddress(text string) (address, error) {
	name, raw, named := strings.Cut(text, "=")
	if !named || strings.Contains(name, "://") {
		name, raw = "", text
	}
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return address{}, fmt.Errorf("the address is not an http or https URL; write name=https://host/path")
	}
	if name = strings.TrimSpace(name); name == "" {
		name = u.Hostname()
	}
	for _, r := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", r) {
			return address{}, fmt.Errorf("the name may hold letters, digits, '-', '_' and '.' only")
		}
	}
	if len(name) > 32 {
		return address{}, fmt.Errorf("the name is longer than 32 characters")
	}
	return address{name, u}, nil
}
