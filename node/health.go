package node

import (
	"fmt"
	"maps"
	"regexp"

	"github.com/bizra/bizra-top/node/api"
	"github.com/bizra/bizra-top/node/store"
	"github.com/bizra/bizra-top/node/upstream/head"
)

// health says how the node is. It is ready while a provider can be asked, or a
// cache could answer.
func (n *Node) health() api.Health {
	providers := n.upstreamHealth()
	h := api.Health{Status: api.Pass, Ready: true, Checks: map[string][]api.HealthPart{
		api.CheckUpstreams: append(providers, n.headHealth()),
		api.CheckBreakers:  n.breakerHealth(),
		api.CheckDatabase:  n.databaseHealth(),
		api.CheckCache:     n.cacheHealth(),
	}}
	if n.besides != nil {
		maps.Copy(h.Checks, n.besides())
	}
	for check, parts := range h.Checks {
		switch api.Worst(parts, check == api.CheckUpstreams) {
		case api.Warn, api.Fail:
			h.Status = api.Warn
		}
	}
	if api.Worst(providers, true) == api.Fail && n.cache.Entries() == 0 && !n.redisAnswers() {
		h.Status, h.Ready, h.Output = api.Fail, false, "no provider can be asked, and no cache could answer"
	}
	return h
}

func (n *Node) redisAnswers() bool { return n.redis != nil && n.breakerNamed(classRedis).Allows() }

func (n *Node) upstreamHealth() (parts []api.HealthPart) {
	for _, s := range n.upstreams.Status() {
		part := api.HealthPart{Component: s.Name, Status: api.Pass}
		if !s.Healthy {
			part.Status, part.Output, part.Detail = api.Fail, s.State, s.LastError
		}
		parts = append(parts, part)
	}
	return parts
}

// headHealth is how far the trusted head can be relied on. Most calls need one, so it
// fails where there is none, whatever the providers are.
func (n *Node) headHealth() api.HealthPart {
	part := api.HealthPart{Component: "trusted head", Status: api.Pass, Needed: true}
	now, current := n.upstreams.Followed()
	switch {
	case now == nil:
		part.Status, part.Output = api.Fail, "no quorum of providers has named a head yet"
	case !current:
		part.Status, part.Output = api.Fail, fmt.Sprintf("block %d, which no quorum has stood behind lately", now.Number)
	case now.Trust == head.Single:
		part.Status, part.Output = api.Warn, fmt.Sprintf("block %d by one provider's word", now.Number)
	default:
		part.Output = fmt.Sprintf("block %d by a quorum of %d of %d", now.Number, now.Votes, now.Voters)
	}
	return part
}

func (n *Node) breakerHealth() (parts []api.HealthPart) {
	for _, b := range n.breakers {
		s := b.Snapshot()
		part := api.HealthPart{Component: s.Name, Status: api.Pass, Since: s.Since.UTC()}
		if !b.Allows() {
			part.Status, part.Output, part.Detail = api.Warn, string(s.State), s.Reason
		}
		parts = append(parts, part)
	}
	return parts
}

// databaseHealth follows what statements do, those of the ledger's own checks included:
// the database as a whole, then reads and writes apart, each with when one worked last. It
// fails when verdicts cannot be written, and so are not answered, and when the database is
// there and refuses what is asked of it; one that is away is made up for by the outbox.
func (n *Node) databaseHealth() []api.HealthPart {
	p, whole := n.poolState(), api.HealthPart{Component: n.ledger.Backend(), Status: api.Pass}
	reads := statementHealth("reads", n.ledger.Reads(), "the ledger cannot be read")
	writes := statementHealth("writes", n.ledger.Writes(), "verdicts cannot be written")
	switch {
	case n.ledger.LastError() != "":
		whole.Status, whole.Output, whole.Detail = api.Fail, "verdicts cannot be written"+sqlState(n.ledger.LastError()), n.ledger.LastError()
	case writes.Status == api.Fail:
		whole.Status, whole.Output = api.Fail, writes.Output // the part itself has the detail
	case reads.Status == api.Fail:
		whole.Status, whole.Output = api.Fail, reads.Output
	case !p.Reachable:
		whole.Status, whole.Output, whole.Detail = api.Warn, "verdicts go to the outbox: the database does not answer", p.LastError
	case p.Waiting > 0 && p.InUse >= p.Limit:
		whole.Status, whole.Output = api.Warn, "all connections of pool.limit are in use and callers wait"
	}
	return []api.HealthPart{whole, reads, writes}
}

// statementHealth is one direction of a database.
func statementHealth(name string, s store.Statements, what string) api.HealthPart {
	part := api.HealthPart{Component: name, Status: api.Pass, Time: s.LastSuccess.UTC()}
	switch {
	case s.Error == "":
	case s.Refused:
		part.Status, part.Output, part.Detail = api.Fail, what+": the database refuses it"+sqlState(s.Error), s.Error
	default:
		part.Status, part.Output, part.Detail = api.Warn, what+" now", s.Error
	}
	return part
}

var sqlStates = regexp.MustCompile(`SQLSTATE [0-9A-Z]{5}`)

// sqlState is the code of a database's error, which names the kind of mistake and nothing
// of the database.
func sqlState(text string) string {
	if code := sqlStates.FindString(text); code != "" {
		return " (" + code + ")"
	}
	return ""
}

// cacheHealth only ever warns: without a cache the providers answer.
func (n *Node) cacheHealth() []api.HealthPart {
	parts := []api.HealthPart{{Component: "l1", Status: api.Pass}}
	if n.redis != nil {
		l2 := api.HealthPart{Component: "l2", Status: api.Pass}
		if !n.redisAnswers() {
			l2.Status, l2.Output, l2.Detail = api.Warn, "Redis is not asked: its breaker is open", n.breakerNamed(classRedis).Snapshot().LastError
		}
		at, failed := n.redis.LastWrite()
		writes := api.HealthPart{Component: "l2 writes", Status: api.Pass, Time: at.UTC()}
		if failed != "" {
			writes.Status, writes.Output, writes.Detail = api.Warn, "Redis takes no values", failed
		}
		parts = append(parts, l2, writes)
	}
	return parts
}
