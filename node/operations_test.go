package node_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/devchain"
)

// operation returns the operation of that name.
func (r *running) operation(id string) control.Operation {
	r.Helper()
	i := slices.IndexFunc(r.host.Operations, func(o control.Operation) bool { return o.ID == id })
	if i < 0 {
		r.Fatalf("there is no operation %q", id)
	}
	return r.host.Operations[i]
}

// do does one by its name and returns the state of its target after it.
func (r *running) do(id, target string) string {
	r.Helper()
	o := r.operation(id)
	if o.TargetsNow != nil && !slices.Contains(o.TargetsNow(), target) {
		r.Fatalf("%s cannot be done to %q, only to %q", id, target, o.TargetsNow())
	}
	if err := o.Do(r.Context(), target, "by test"); err != nil {
		r.Fatalf("%s %s: %v", id, target, err)
	}
	return o.State(target)
}

// What an operator does by hand comes about, is what the operation said would be, and
// can be taken back.
func TestOperationsDoWhatTheySay(t *testing.T) {
	r := start(t, chain(t), t.TempDir())
	upstream := func(name string) control.Upstream {
		list := r.host.Upstreams()
		return list[slices.IndexFunc(list, func(u control.Upstream) bool { return u.Name == name })]
	}
	for _, c := range []struct {
		id, target, want string
		asked            bool // whether dev-a is asked then
	}{
		{"breaker.force_open", "upstream/dev-a", "forced-open", false},
		{"breaker.force_close", "upstream/dev-a", "forced-closed", true},
		{"breaker.metrics_only", "upstream/dev-a", "metrics-only", true},
		{"breaker.reset", "upstream/dev-a", "closed", true},
		{"upstream.drain", "dev-a", "drained", false},
		{"upstream.restore", "dev-a", "closed", true},
	} {
		if got := r.do(c.id, c.target); got != c.want {
			t.Errorf("%s: %s is %q, want %q", c.id, c.target, got, c.want)
		}
		if u := upstream("dev-a"); u.Healthy != c.asked || (u.Preference > 0) != c.asked {
			t.Errorf("%s: %+v", c.id, u)
		}
	}

	if got := r.do("node.drain", ""); got != "drained" || !r.host.Node().Draining {
		t.Errorf("%q, %+v", got, r.host.Node())
	}
	if status, body := r.get("/health/ready"); status != http.StatusServiceUnavailable || !strings.Contains(body, "an operator has drained the node") {
		t.Errorf("drained: %d %s", status, body)
	}
	if got := r.do("node.restore", ""); got != "open for traffic" {
		t.Errorf("%q", got)
	}
	if status, body := r.get("/health/ready"); status != http.StatusOK {
		t.Errorf("restored: %d %s", status, body)
	}

	for _, flush := range []struct{ id, class string }{{"cache.flush_l1", ""}, {"cache.flush_class", "block"}} {
		r.get("/v1/blocks/2")
		r.until(flush.id+": nothing is cached", func() bool { return r.operation("cache.flush_class").State("block") != "0 entries in L1" })
		if got := r.do(flush.id, flush.class); !strings.HasPrefix(got, "0 entries") {
			t.Errorf("%s leaves %s", flush.id, got)
		}
	}
	for _, absent := range []string{"cache.flush_l2", "pool.reset"} { // neither Redis nor PostgreSQL is there
		if slices.ContainsFunc(r.host.Operations, func(o control.Operation) bool { return o.ID == absent }) {
			t.Errorf("%s is offered", absent)
		}
	}
}

// A round of warming that is asked for by hand loads what the configuration lists.
func TestWarmingByHand(t *testing.T) {
	r := start(t, chain(t), t.TempDir(), "cache.warm.list", "block 2,block 3,block 999999", "cache.warm.every", "0s")
	warmed := func() bool { w := r.host.Warming(); return !w.Running && w.Total == 3 && w.Done == 3 }
	r.until("the first round has not ended", warmed)
	first := r.host.Warming()
	r.do("cache.flush_l1", "")
	r.do("cache.warm", "")
	r.until("no second round has ended", func() bool { return warmed() && r.host.Warming().Since.After(first.Since) })
	if got := r.operation("cache.warm").State(""); got != "not warming" {
		t.Errorf("%q", got)
	}
	if r.host.Tiers()[0].Entries == 0 && r.operation("cache.flush_l1").State("") == "0 entries" {
		t.Error("nothing is cached after it")
	}
}

// What operators hold by hand is as it was in the process that takes over; what cannot
// be done there is told of.
func TestWhatIsHeldGoesOver(t *testing.T) {
	c := chain(t)
	r := start(t, c, t.TempDir())
	if held := r.Held(); len(held) != 0 {
		t.Errorf("%+v is held of itself", held)
	}
	r.do("breaker.force_open", "upstream/dev-a")
	r.do("breaker.force_close", "upstream/dev-b")
	r.do("breaker.metrics_only", "upstream/dev-c")
	r.do("upstream.drain", "dev-b")
	r.do("node.drain", "")
	held := r.Held()

	next := start(t, c, t.TempDir())
	next.Hold(t.Context(), append(slices.Clone(held), control.ActionRequest{ID: "breaker.force_open", Target: "upstream/gone"},
		control.ActionRequest{ID: "node.fly"}))
	if got := next.Held(); !slices.Equal(got, held) || len(held) != 5 {
		t.Errorf("%+v, want %+v", got, held)
	}
	for _, b := range next.host.Breakers() {
		if !strings.Contains(b.Reason, "by test") {
			t.Errorf("why %s is held has been lost: %q", b.Name, b.Reason)
		}
	}
	for _, lost := range []string{"upstream/gone: breaker.force_open of the old process does not hold any more", "node.fly of the old process does not hold any more"} {
		if !told(next.Node, lost) {
			t.Errorf("not told: %s", lost)
		}
	}
}

// What is doubtful about a change is said before it is made.
func TestDoubtfulChangesAreWarnedOf(t *testing.T) {
	r := start(t, chain(t), t.TempDir())
	ctx, free := context.WithCancel(t.Context())
	defer free()
	holding := make(chan struct{})
	go func() { r.HoldConnections(ctx); close(holding) }()
	limit := r.host.Pool().Limit
	r.until("the connections are not held", func() bool { return r.host.Pool().InUse == limit })
	r.get("/health/live") // the API lives on
	for _, c := range []struct{ key, old, new, want string }{
		{"pool.limit", "8", "1", "below the current use of"},
		{"pool.limit", "8", "1000", ""},
		{"pool.limit", "8", "many", ""},
		{"store.retention", "0s", "24h", "cannot be undone"},
		{"store.retention", "24h", "48h", ""},
		{"store.retention", "24h", "0s", ""},
		{"store.retention", "48h", "24h", "cannot be undone"},
		{"cache.l1.max_bytes", "64MiB", "1GiB", ""},
		{"api.max_batch", "100", "1", ""},
	} {
		got := strings.Join(r.host.Warn(t.Context(), control.Changed{Key: c.key, Old: c.old, New: c.new}), "; ")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s %s -> %s: %q, want %q", c.key, c.old, c.new, got, c.want)
		}
	}
	free()
	<-holding
	r.until("a connection is still held", func() bool { return r.host.Pool().InUse == 0 })
}

// A node whose providers all fail says so, is not ready while no cache could answer
// instead, and is ready again by itself.
func TestHealthFollowsTheProviders(t *testing.T) {
	r := start(t, chain(t), t.TempDir())
	ready := func(want int) func() bool {
		return func() bool { status, _ := r.get("/health/ready"); return status == want }
	}
	r.get("/v1/blocks/2")
	r.fail(&devchain.Fault{ErrorRate: 1})
	r.until("the providers' breakers are not open", func() bool {
		return !slices.ContainsFunc(r.host.Upstreams(), func(u control.Upstream) bool { return u.Healthy })
	})
	if status, body := r.get("/health/upstreams"); status != http.StatusServiceUnavailable || !strings.Contains(body, "dev-a") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := r.get("/health/ready"); status != http.StatusOK {
		t.Errorf("with something cached: %d %s", status, body)
	}
	r.do("cache.flush_l1", "")
	r.until("it is ready with nothing to answer from", ready(http.StatusServiceUnavailable))
	if _, body := r.get("/health"); !strings.Contains(body, "no provider can be asked, and no cache could answer") {
		t.Error(body)
	}
	r.fail(nil)
	r.until("it is not ready again", ready(http.StatusOK))

	name := r.host.Breakers()[0].Name
	r.until("the breaker is not closed again", func() bool { return r.operation("breaker.reset").State(name) == "closed" })
	list, known := r.host.Transitions(name)
	if !known || len(list) < 3 || list[0].To != "open" || list[len(list)-1].To != "closed" {
		t.Errorf("%+v", list)
	}
	if o, known := r.host.Outcomes(name); !known || len(o.Cells) == 0 {
		t.Errorf("%+v", o)
	}
	if _, known := r.host.Transitions("nobody"); known {
		t.Error("a breaker that is not there did something")
	}
	if _, known := r.host.Outcomes("nobody"); known {
		t.Error("a breaker that is not there has a window")
	}
	if !told(r.Node, name+": closed -> open") || !told(r.Node, name+": half-open -> closed") {
		t.Error("the breaker's states were not told of")
	}
}

// A node whose PostgreSQL and Redis are away starts, answers, keeps its verdicts aside,
// and says what it lacks.
func TestANodeWithoutItsServers(t *testing.T) {
	r := start(t, chain(t), t.TempDir(), "store.dsn", "postgres://user:hunter2@127.0.0.1:1/none", "cache.l2.url", "redis://127.0.0.1:1", "cache.l2.secret", "a secret of the tests",
		"breaker.database.minimum_calls", "1", "breaker.redis.minimum_calls", "1", "breaker.redis.window_kind", "time")
	if status, body := r.get("/v1/blocks/2"); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	r.until("the database is not known to be away", func() bool { p := r.host.Pool(); return !p.Reachable && p.Outbox > 0 && p.LastError != "" })
	r.until("Redis is not known to be away", func() bool {
		_, body := r.get("/health/cache")
		return strings.Contains(body, "Redis is not asked")
	})
	status, body := r.get("/health/database")
	if status != http.StatusOK || !strings.Contains(body, "verdicts go to the outbox") || strings.Contains(body, "hunter2") {
		t.Errorf("%d %s", status, body)
	}
	if said := r.host.Node(); said.Ledger != "postgresql" || said.L2 != "redis" {
		t.Errorf("%+v", said)
	}
	for _, offered := range []string{"cache.flush_l2", "pool.reset"} {
		if state := r.operation(offered).State(""); state == "" {
			t.Errorf("%s does not say what is", offered)
		}
	}
	if err := r.operation("cache.flush_l2").Do(t.Context(), "", ""); err == nil {
		t.Error("what Redis holds was flushed, though it is away")
	}
	r.do("pool.reset", "")
}
