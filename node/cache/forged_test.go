package cache_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	miniserver "github.com/alicebob/miniredis/v2/server"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/settings"
)

// shared returns caches on one Redis, each with its secrets.
func shared(t *testing.T, secrets ...string) []rig {
	t.Helper()
	redis := miniredis.RunT(t)
	var out []rig
	for _, s := range secrets {
		r := buildOn(t, "single", "redis://"+redis.Addr(), nil, settings.Change{Key: "cache.l2.secret", Value: s}, settings.Change{Key: "cache.l2.timeout", Value: "5s"})
		r.server = redis
		out = append(out, r)
	}
	return out
}

// keys are those of values in Redis.
func keys(r rig) []string {
	return slices.DeleteFunc(r.server.Keys(), func(key string) bool { return strings.Contains(key, ":write-check:") })
}

func written(r rig) int { return len(keys(r)) }

const (
	one     = "the first secret of all"
	another = "another secret of them"
)

// Whoever could write to Redis made the node answer "valid". What is there is believed
// only with the signature of a secret that the node knows.
func TestForgedValuesInRedisAreNotTaken(t *testing.T) {
	for _, test := range []struct {
		name, writer, reader string
		taken                bool
	}{
		{"the same secret", one, one, true},
		{"another secret", another, one, false},
		{"no signature", "", one, false},
		{"no secret", one, "", false},
		{"neither", "", "", false},
		{"rotated: the old one still reads", one, another + "," + one, true},
		{"rotated: the new one is accepted before it signs", another + "," + one, one + "," + another, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := shared(t, test.writer, test.reader)
			// A forger without the secret may have a node of his own.
			for _, c := range r {
				c.Prove(func(string) bool { return c.Cache == r[0].Cache && test.writer == "" }, func(string, []byte) bool { return false })
			}
			get(t, r[0].Cache, "block 17", body(`{"outcome":"valid"}`))
			eventually(t, "the value is in Redis", func() bool { return written(r[0]) == 1 })
			got, tier := get(t, r[1].Cache, "block 17", body("asked"))
			if taken := tier == cache.L2; taken != test.taken {
				t.Errorf("%q from %s", got, tier)
			}
		})
	}
}

// A value that is signed stands where it was put: under no other key, and in no other
// chain's part of Redis.
func TestASignedValueStandsWhereItWasPut(t *testing.T) {
	r := shared(t, one, one)
	get(t, r[0].Cache, "k", body("v"))
	eventually(t, "the value is in Redis", func() bool { return written(r[0]) == 1 })
	name := keys(r[0])[0]
	v, _ := r[0].server.Get(name)
	for _, place := range []string{strings.TrimSuffix(name, "k") + "other"} {
		if err := r[0].server.Set(place, v); err != nil {
			t.Fatal(err)
		}
	}
	if got, tier := get(t, r[1].Cache, "other", body("asked")); tier == cache.L2 {
		t.Errorf("%q was taken for another key", got)
	}
}

// Without a secret, what proves itself is taken, and nothing else.
func TestWithoutASecretOnlyProofCounts(t *testing.T) {
	r := shared(t, "", "")
	for _, c := range r {
		c.Prove(func(key string) bool { return strings.HasPrefix(key, "hash of ") },
			func(key string, body []byte) bool { return key == "hash of "+string(body) })
	}
	get(t, r[0].Cache, "hash of true", body("true"))
	get(t, r[0].Cache, "hash of false", body("forged"))
	get(t, r[0].Cache, "block 17", body("valid"))
	eventually(t, "what may prove itself is in Redis", func() bool { return written(r[0]) == 2 })
	if got, tier := get(t, r[1].Cache, "hash of true", body("asked")); tier != cache.L2 {
		t.Errorf("%q from %s", got, tier)
	}
	for _, key := range []string{"hash of false", "block 17"} {
		if got, tier := get(t, r[1].Cache, key, body("asked")); tier == cache.L2 {
			t.Errorf("%s: %q was taken", key, got)
		}
	}
}

// A value is no older than the reader's own time to live, whatever it says itself.
func TestAValueIsNoOlderThanTheReadersTime(t *testing.T) {
	r := shared(t, one, one)
	get(t, r[0].Cache, "k", body("old"))
	eventually(t, "the value is in Redis", func() bool { return written(r[0]) == 1 })
	set(t, r[1], "cache.ttl.block", "10ms")
	eventually(t, "the value is too old for the reader", func() bool {
		_, tier := get(t, r[1].Cache, "k", body("new"))
		return tier == cache.Origin
	})
}

// A Redis that is full refuses writes and answers reads: reads go on, and the breaker
// that both share stays closed.
func TestAFullRedisIsStillRead(t *testing.T) {
	c := build(t, true)
	get(t, c.Cache, "before", body("v"))
	eventually(t, "the value is in Redis", func() bool { return written(c) == 1 })
	c.server.Server().SetPreHook(func(p *miniserver.Peer, cmd string, _ ...string) bool {
		if cmd == "SET" {
			p.WriteError("OOM command not allowed when used memory > 'maxmemory'.")
			return true
		}
		return false
	})
	c.FlushL1()
	for i := range 100 {
		get(t, c.Cache, strings.Repeat("x", i+1), body("v"))
		time.Sleep(time.Millisecond)
	}
	eventually(t, "Redis has said why it takes nothing", func() bool {
		_, failed := c.redis.LastWrite()
		return strings.HasPrefix(failed, "OOM")
	})
	if !c.breaker.Allows() {
		t.Error("the breaker is open")
	}
	if got, tier := get(t, c.Cache, "before", never(t)); got != "v" || tier != cache.L2 {
		t.Errorf("%q from %s", got, tier)
	}
	c.server.Server().SetPreHook(nil)
	eventually(t, "writes go on", func() bool {
		_, err := c.Get(context.Background(), cache.Block, time.Now().String(), body("v"))
		_, failed := c.redis.LastWrite()
		return err == nil && failed == "" && written(c) > 2
	})
}

func TestShortSecretsAreRefused(t *testing.T) {
	reg := settings.NewRegistry()
	cache.Declare(reg)
	err := reg.Load(settings.SourceFile, []settings.Change{{Key: "cache.l2.secret", Value: "short"}})
	if err == nil || !strings.Contains(err.Error(), "openssl") || strings.Contains(err.Error(), `"short"`) {
		t.Error(err)
	}
}
