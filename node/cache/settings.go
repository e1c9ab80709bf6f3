package cache

import (
	"slices"
	"time"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/settings"
)

// Class says what kind of data an entry is, and so how long it lives. Its number is
// written into L2 and never given another meaning.
type Class uint8

// The classes.
const (
	Transaction Class = iota + 1
	Block
	Address
	RPC      // other JSON-RPC answers
	NotFound // the providers know of no such thing
	classes
)

var classNames = [classes]string{"", "transaction", "block", "address", "rpc", "not_found"}

func (c Class) String() string { return classNames[c] }

// ClassNamed returns the class with a name, or 0.
func ClassNamed(name string) Class { return Class(max(0, slices.Index(classNames[:], name))) }

// ClassNames returns the names of all classes.
func ClassNames() []string { return slices.Clone(classNames[1:]) }

// Classes lists every class.
var Classes = []Class{Transaction, Block, Address, RPC, NotFound}

// Tier says where an answer came from.
type Tier uint8

// The tiers.
const (
	Origin Tier = iota
	L1
	L2
)

var tierNames = []string{"origin", "l1", "l2"}

func (t Tier) String() string { return tierNames[t] }

// DeclareBreaker declares the tunables of the breakers of Redis. Each call it fails
// costs a reader the whole of cache.l2.timeout and brings nothing, so few calls
// decide, however many went well before.
func DeclareBreaker(r *settings.Registry, class string) breaker.Settings {
	return breaker.DeclareWith(r, class, breaker.Defaults{WindowKind: "calls", WindowCalls: 20, ProbeTimeout: time.Second})
}

// Settings are the live tunables of the cache.
type Settings struct {
	MaxBytes     *settings.Value[int64]
	TTL          [classes]*settings.Value[time.Duration]
	Unfinalised  *settings.Value[time.Duration]
	StaleFor     *settings.Value[time.Duration]
	RefreshAhead *settings.Value[float64]
	URL          *settings.Value[string]
	Mode         *settings.Value[string]
	Secret       *settings.Value[[]string]
	Prefix       *settings.Value[string]
	L2Timeout    *settings.Value[time.Duration]
	LoadBudget   *settings.Value[time.Duration]
	MaxLoads     *settings.Value[int]
	Warm         WarmSettings
}

// Declare declares the cache's tunables.
func Declare(r *settings.Registry) Settings {
	ttl := func(class Class, doc string, def time.Duration) *settings.Value[time.Duration] {
		return settings.Duration(r, settings.Spec{Key: "cache.ttl." + class.String(), Min: 0, Max: 30 * 86400, Step: 5,
			Doc: doc, Risk: settings.RiskMedium}, def)
	}
	return Settings{
		MaxBytes: settings.Bytes(r, settings.Spec{Key: "cache.l1.max_bytes", Min: 1 << 20, Max: 1 << 40, Step: 8 << 20,
			Doc: "Bound of the L1 cache; the process uses more than this.", Risk: settings.RiskMedium}, 64<<20),
		TTL: [classes]*settings.Value[time.Duration]{
			Transaction: ttl(Transaction, "Time to live of what is known of a transaction.", 5*time.Minute),
			Block:       ttl(Block, "Time to live of what is known of a block.", 24*time.Hour),
			Address:     ttl(Address, "Time to live of what is known of an address.", 15*time.Minute),
			RPC:         ttl(RPC, "Time to live of other JSON-RPC answers.", time.Second),
			NotFound:    ttl(NotFound, "Time to live of \"not found\".", 2*time.Second),
		},
		Unfinalised: settings.Duration(r, settings.Spec{Key: "cache.ttl.unfinalised", Min: 0, Max: 3600, Step: 1,
			Doc: "Longest time to live of anything a reorganisation of the chain could change.", Risk: settings.RiskMedium}, 12*time.Second),
		StaleFor: settings.Duration(r, settings.Spec{Key: "cache.stale_for", Min: 0, Max: 30 * 86400, Step: 3600,
			Doc: "How long past its time an immutable answer is kept, and served when no provider answers.", Risk: settings.RiskMedium}, 24*time.Hour),
		RefreshAhead: settings.Ratio(r, settings.Spec{Key: "cache.refresh_ahead", Min: 0, Max: 0.9, Step: 0.05,
			Doc: "Last share of its time in which an entry that is read is loaded anew in the background; 0 turns that off.", Risk: settings.RiskMedium}, 0.1),
		Warm: declareWarm(r),
		URL: settings.String(r, settings.Spec{Key: "cache.l2.url", Restart: true, Secret: true,
			Doc: "Redis address, such as redis://user:password@host:6379/0; empty turns L2 off."}, ""),
		Mode: settings.Enum(r, settings.Spec{Key: "cache.l2.mode", Restart: true, Choices: []string{"single", "cluster", "sentinel"},
			Doc: "How Redis is deployed."}, "single"),
		Secret: settings.List(r, settings.Spec{Key: "cache.l2.secret", Restart: true, Secret: true, Check: checkSecrets,
			Doc: "Secrets that sign values in Redis, the same in all nodes that share them; the first signs, all are accepted. Without one, only what proves itself is taken from Redis."}, nil),
		Prefix: settings.String(r, settings.Spec{Key: "cache.l2.prefix", Restart: true,
			Doc: "Start of every key in Redis; nodes with the same prefix and chain share their entries."}, "bizra"),
		L2Timeout: settings.Duration(r, settings.Spec{Key: "cache.l2.timeout", Min: 0.001, Max: 10, Step: 0.01,
			Doc: "Longest wait for Redis; after it a read counts as a miss.", Risk: settings.RiskMedium}, 50*time.Millisecond),
		LoadBudget: settings.Duration(r, settings.Spec{Key: "cache.load_timeout", Min: 0.05, Max: 300, Step: 1,
			Doc: "Longest time a load that callers share may take.", Risk: settings.RiskMedium}, 15*time.Second),
		MaxLoads: settings.Int(r, settings.Spec{Key: "cache.max_loads", Unit: "loads", Min: 1, Max: 1_000_000, Step: 64,
			Doc: "Loads under way above which further ones are answered 503 at once.", Risk: settings.RiskHigh}, 1024),
	}
}
