package node

import (
	"runtime"

	"github.com/bizra/bizra-top/node/api"
	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/store"
	"github.com/bizra/bizra-top/node/upstream"
	"github.com/bizra/bizra-top/node/validation"
)

// Settings are the tunables of every part of the node.
type Settings struct {
	Name       *settings.Value[string]
	Headroom   *settings.Value[int64] // memory beside L1
	API        api.Settings
	Upstream   upstream.Settings
	Validation validation.Settings
	Verify     verify.Settings
	Cache      cache.Settings
	Pool       pool.Settings
	Store      store.Settings
	Upstreams  breaker.Settings
	Database   breaker.Settings
	Redis      breaker.Settings
	Overrides  *settings.Value[[]string] // of single breakers
}

// The classes of circuit breakers.
const (
	classUpstream = "upstream"
	classDatabase = "database"
	classRedis    = "redis"
)

// Declare declares the settings of every part of the node.
func Declare(r *settings.Registry) Settings {
	judged := validation.Declare(r)
	return Settings{
		Name: settings.String(r, settings.Spec{Key: "node.name", Restart: true,
			Doc: "Name of the node on screens; empty takes the host's name."}, ""),
		Headroom: settings.Bytes(r, settings.Spec{Key: "node.memory_headroom", Min: 64 << 20, Max: 1 << 40, Step: 32 << 20, Risk: settings.RiskMedium,
			Doc: "Memory the process may use beside cache.l1.max_bytes before the garbage collector works harder; GOMEMLIMIT wins."}, 192<<20),
		API:        api.Declare(r),
		Upstream:   upstream.Declare(r),
		Validation: judged,
		Verify:     verify.Declare(r, judged),
		Cache:      cache.Declare(r),
		Pool:       pool.Declare(r, runtime.NumCPU()),
		Store:      store.Declare(r),
		Upstreams:  breaker.Declare(r, classUpstream),
		Database:   breaker.Declare(r, classDatabase),
		Redis:      cache.DeclareBreaker(r, classRedis),
		Overrides:  breaker.DeclareOverrides(r, classUpstream, classDatabase, classRedis),
	}
}
