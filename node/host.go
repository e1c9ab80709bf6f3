package node

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/settings"
)

// Host returns the node as the operator's door shows it. Observer, Alerts, Silencer,
// Changed, Condition, Audit, Overrides and Groups are the caller's to fill in.
func (n *Node) Host() control.Host {
	return control.Host{
		Registry: n.options.Registry, Gatherer: n.metrics, Events: n.events, Operations: n.operations(),
		Node: n.describe, Breakers: n.breakerList, Transitions: n.transitions, Outcomes: n.outcomes, Upstreams: n.upstreamList, Pool: n.poolState, Tiers: n.tiers, Warming: n.warming, HotKeys: n.hotKeys, Warn: n.warn,
	}
}

func (n *Node) describe() control.Node {
	l2 := "off"
	switch {
	case n.redis != nil && n.options.Mode == "demo":
		l2 = "embedded"
	case n.redis != nil:
		l2 = "redis"
	}
	return control.Node{Name: n.name(), Version: n.options.Version, PID: os.Getpid(), Mode: n.options.Mode, Listen: n.server.Address(),
		StateDir: n.options.StateDir, Socket: n.options.Socket, ChainID: n.chainID, Started: n.started,
		Draining: n.server.Draining(), Ledger: n.ledger.Backend(), L2: l2, Head: n.trustedHead()}
}

func (n *Node) breakerList() []control.Breaker {
	out := make([]control.Breaker, len(n.breakers))
	for i, b := range n.breakers {
		s := b.Snapshot()
		out[i] = control.Breaker{Name: s.Name, Class: s.Class, State: string(s.State), Reason: s.Reason, Since: s.Since,
			Calls: s.Calls, Failures: s.Failures, Slow: s.Slow, FailureRatio: control.Number(s.FailureRatio),
			SlowRatio: control.Number(s.SlowRatio), Threshold: control.Number(s.Threshold), NextProbe: s.NextProbe,
			LastError: s.LastError, Opened: s.Opened}
	}
	return out
}

// breaker returns the breaker of that name, or nil.
func (n *Node) breaker(name string) *breaker.Breaker {
	if i := slices.IndexFunc(n.breakers, func(b *breaker.Breaker) bool { return b.Name() == name }); i >= 0 {
		return n.breakers[i]
	}
	return nil
}

// transitions returns what a breaker did lately, oldest first.
func (n *Node) transitions(name string) (list []control.Transition, known bool) {
	b := n.breaker(name)
	if b == nil {
		return nil, false
	}
	list = []control.Transition{}
	for _, t := range b.History() {
		list = append(list, control.Transition{From: string(t.From), To: string(t.To), Reason: t.Reason, At: t.At})
	}
	return list, true
}

// outcomes returns what is in a breaker's window, oldest first.
func (n *Node) outcomes(name string) (o control.Outcomes, known bool) {
	b := n.breaker(name)
	if b == nil {
		return o, false
	}
	now := b.Outcomes()
	o = control.Outcomes{Span: now.Span, Each: now.Each, Cells: make([]control.Cell, len(now.Cells))}
	for i, c := range now.Cells {
		o.Cells[i] = control.Cell{Calls: c.Calls, Failures: c.Failures, Slow: c.Slow}
	}
	return o, true
}

func (n *Node) upstreamList() []control.Upstream {
	status := n.upstreams.Status()
	out := make([]control.Upstream, len(status))
	for i, s := range status {
		out[i] = control.Upstream{Name: s.Name, Host: s.Host, Breaker: s.Breaker, State: s.State, Healthy: s.Healthy,
			Head: s.Head, Lag: s.Lag, P50: control.Number(s.P50.Seconds()), P95: control.Number(s.P95.Seconds()), P99: control.Number(s.P99.Seconds()),
			InFlight: s.InFlight, Calls: s.Calls, Failures: s.Failures, Lies: s.Lies, LastError: s.LastError, Preference: s.Preference, Lacks: s.Lacks}
	}
	return out
}

// trustedHead is the head as the operator's door tells it.
func (n *Node) trustedHead() control.Head {
	now, current := n.upstreams.Followed()
	if now == nil {
		return control.Head{Trust: control.TrustNone}
	}
	h := control.Head{Number: now.Number, Trust: now.Trust.String(), Votes: now.Votes, Voters: now.Voters, Final: now.Final.Number}
	if !current {
		h.Trust = control.TrustNone
	}
	return h
}

func (n *Node) poolState() control.Pool {
	s := n.gate.Stat()
	p := control.Pool{Backend: n.ledger.Backend(), Limit: s.Limit, InUse: s.InUse, Waiting: s.Waiting,
		Ceiling: n.settings.Pool.Ceiling.Get(), Outbox: n.ledger.Outbox(), Reachable: true, LastError: n.ledger.LastError()}
	if n.postgres != nil {
		p.Idle = n.postgres.Idle()
		p.LastError = cmp.Or(p.LastError, n.postgres.LastError())
		p.Reachable = n.breakerNamed(classDatabase).Allows()
	}
	return p
}

func (n *Node) tiers() []control.Tier {
	stats := n.cache.Stats()
	out := make([]control.Tier, len(stats))
	for i, s := range stats {
		out[i] = control.Tier{Tier: s.Tier.String(), Class: s.Class.String(), Hits: s.Hits, Misses: s.Misses,
			Entries: uint64(s.Entries), Bytes: uint64(s.Bytes), Evictions: s.Evictions,
			TTL: settings.FormatNumber(settings.KindDuration, n.cache.TTL(s.Class).Seconds())}
	}
	return out
}

func (n *Node) warming() control.Warming {
	w := n.warmer.Warming()
	return control.Warming{Running: w.Running, Done: w.Done, Failed: w.Failed, Total: w.Total, Since: w.Since}
}

// hotKeyLength bounds what is told of a key: as much as a terminal shows of it.
const hotKeyLength = 160

func (n *Node) hotKeys(limit int) []control.HotKey {
	list := n.cache.HotKeys(limit)
	out := make([]control.HotKey, len(list))
	for i, k := range list {
		out[i] = control.HotKey{Key: printable.Clean(k.Key, hotKeyLength), Class: k.Class.String(), Share: control.Number(k.Share), Bytes: uint64(k.Bytes)}
	}
	return out
}

// warn says what is doubtful about a change.
func (n *Node) warn(_ context.Context, c control.Changed) []string {
	switch c.Key {
	case "pool.limit":
		limit, err := strconv.Atoi(c.New)
		if inUse := n.gate.Stat().InUse; err == nil && limit < inUse {
			return []string{fmt.Sprintf("below the current use of %d connections: it takes effect as they are given back", inUse)}
		}
	case "store.retention":
		before, err1 := settings.ParseNumber(settings.KindDuration, c.Old)
		after, err2 := settings.ParseNumber(settings.KindDuration, c.New)
		if err1 == nil && err2 == nil && after > 0 && (before == 0 || after < before) {
			return []string{fmt.Sprintf("verdicts older than %s are deleted ten minutes from now, which cannot be undone", c.New)}
		}
	case "cache.l1.max_bytes":
		bound, err := settings.ParseNumber(settings.KindBytes, c.New)
		if used := n.cache.Bytes(); err == nil && bound < float64(used) {
			return []string{fmt.Sprintf("below the %s in use: entries are evicted at once", settings.FormatNumber(settings.KindBytes, float64(used)))}
		}
	}
	return nil
}

func (n *Node) breakerNamed(name string) *breaker.Breaker {
	for _, b := range n.breakers {
		if b.Name() == name {
			return b
		}
	}
	return nil
}

func (n *Node) breakerNames() []string {
	out := make([]string, len(n.breakers))
	for i, b := range n.breakers {
		out[i] = b.Name()
	}
	return out
}

func (n *Node) providerNames() []string {
	var out []string
	for _, s := range n.upstreams.Status() {
		out = append(out, s.Name)
	}
	return out
}

// operations declares what can be done by hand.
func (n *Node) operations() []control.Operation {
	ops := append(n.breakerOperations(), n.upstreamOperations()...)
	ops = append(ops, control.Operation{
		Action:  control.Action{ID: "cache.flush_l1", Title: "flush L1", Doc: "Forget everything the memory cache holds.", Risk: "medium", Word: "flush"},
		State:   func(string) string { return fmt.Sprintf("%d entries", n.cache.Entries()) },
		Outcome: "0 entries",
		Do:      func(context.Context, string, string) error { n.cache.FlushL1(); return nil },
	}, control.Operation{
		Action: control.Action{ID: "cache.warm", Title: "warm", Doc: "Load what cache.warm.list names anew.", Risk: "low"},
		State: func(string) string {
			if w := n.warmer.Warming(); w.Running {
				return fmt.Sprintf("warming, %d of %d", w.Done, w.Total)
			}
			return "not warming"
		},
		Outcome: "a round of warming",
		Do:      func(context.Context, string, string) error { n.warmer.Again(); return nil },
	})
	ops = append(ops, control.Operation{
		Action:     control.Action{ID: "cache.flush_class", Title: "flush class", Doc: "Forget the entries of one class, in memory and in Redis.", Risk: "medium", Word: "flush"},
		TargetsNow: cache.ClassNames, Outcome: "0 entries of it",
		State: func(class string) string { return fmt.Sprintf("%d entries in L1", n.entriesOf(class)) },
		Do: func(ctx context.Context, class, _ string) error {
			_, err := n.cache.FlushClass(ctx, cache.ClassNamed(class))
			return err
		},
	}, control.Operation{
		Action:  control.Action{ID: "node.drain", Title: "drain the node", Doc: "Say at /health/ready that no traffic should come, until it is restored. Requests that come are answered.", Risk: "high", Word: "drain"},
		State:   n.traffic,
		Outcome: "drained",
		Do:      func(context.Context, string, string) error { n.server.Drain(true); return nil },
	}, control.Operation{
		Action:  control.Action{ID: "node.restore", Title: "restore the node", Doc: "Have traffic come again after a drain.", Risk: "low"},
		State:   n.traffic,
		Outcome: "open for traffic",
		Do:      func(context.Context, string, string) error { n.server.Drain(false); return nil },
	})
	if n.redis != nil {
		ops = append(ops, control.Operation{
			Action:  control.Action{ID: "cache.flush_l2", Title: "flush L2", Doc: "Remove this chain's entries from Redis, also for other nodes with the same prefix.", Risk: "high", Word: "flush"},
			State:   func(string) string { return "entries in Redis" },
			Outcome: "none of this chain's entries in Redis",
			Do: func(ctx context.Context, _, _ string) error {
				_, err := n.cache.FlushL2(ctx)
				return err
			},
		})
	}
	if n.postgres != nil {
		ops = append(ops, control.Operation{
			Action:  control.Action{ID: "pool.reset", Title: "reset pool", Doc: "Close every database connection as it is given back; new ones open on demand.", Risk: "medium"},
			State:   func(string) string { return fmt.Sprintf("%d idle connections", n.postgres.Idle()) },
			Outcome: "0 idle connections",
			Do:      func(context.Context, string, string) error { n.postgres.Reset(); return nil },
		})
	}
	return ops
}

func (n *Node) entriesOf(class string) (sum uint64) {
	for _, t := range n.tiers() {
		if t.Class == class {
			sum += t.Entries
		}
	}
	return sum
}

func (n *Node) traffic(string) string {
	if n.server.Draining() {
		return "drained"
	}
	return "open for traffic"
}

func (n *Node) breakerOperations() []control.Operation {
	state := func(name string) string { return string(n.breakerNamed(name).State()) }
	force := func(id, title, doc, risk string, to breaker.State) control.Operation {
		return control.Operation{
			Action:     control.Action{ID: id, Title: title, Doc: doc, Risk: risk},
			TargetsNow: n.breakerNames, State: state, Outcome: string(to),
			Do: func(_ context.Context, name, reason string) error {
				return n.breakerNamed(name).Force(to, heldPrefix+reason)
			},
		}
	}
	return []control.Operation{
		force("breaker.force_open", "force open", "Refuse every call until it is reset.", "high", breaker.ForcedOpen),
		force("breaker.force_close", "force close", "Disable it: allow every call until it is reset, whatever fails, and go on measuring.", "high", breaker.ForcedClosed),
		force("breaker.metrics_only", "metrics only", "Allow every call and only report when it would have opened.", "medium", breaker.MetricsOnly),
		{
			Action:     control.Action{ID: "breaker.reset", Title: "reset", Doc: "Close it and forget its window; it works by itself again.", Risk: "medium"},
			TargetsNow: n.breakerNames, State: state, Outcome: string(breaker.Closed),
			Do: func(_ context.Context, name, reason string) error {
				n.breakerNamed(name).Reset("reset " + reason)
				return nil
			},
		},
	}
}

func (n *Node) upstreamOperations() []control.Operation {
	state := func(name string) string {
		for _, s := range n.upstreams.Status() {
			if s.Name == name {
				return s.State
			}
		}
		return "unknown"
	}
	return []control.Operation{
		{
			Action:     control.Action{ID: "upstream.drain", Title: "drain", Doc: "Send the provider no more calls until it is restored.", Risk: "high"},
			TargetsNow: n.providerNames, State: state, Outcome: "drained",
			Do: func(_ context.Context, name, _ string) error { return n.upstreams.Drain(name, true) },
		},
		{
			Action:     control.Action{ID: "upstream.restore", Title: "restore", Doc: "Send a drained provider calls again.", Risk: "low"},
			TargetsNow: n.providerNames, State: state, Outcome: "asked again",
			Do: func(_ context.Context, name, _ string) error { return n.upstreams.Drain(name, false) },
		},
	}
}
