package node_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/api"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/devchain"
)

// headPart is what /health/upstreams says of the trusted head.
func (r *running) headPart() (whole string, part api.HealthPart) {
	r.Helper()
	_, body := r.get("/health/upstreams")
	var h api.Health
	if err := json.Unmarshal([]byte(body), &h); err != nil {
		r.Fatalf("%v: %s", err, body)
	}
	for _, p := range h.Checks[api.CheckUpstreams] {
		if p.Component == "trusted head" {
			return h.Status, p
		}
	}
	r.Fatalf("no part is the trusted head: %s", body)
	return "", part
}

// Health and the control API say on whose word the head is known.
func TestTheHeadIsToldWithWhoStandsBehindIt(t *testing.T) {
	r := start(t, chain(t), t.TempDir())
	quorum := regexp.MustCompile(`^block \d+ by a quorum of [23] of [23]$`)
	r.until("a quorum is not said to stand behind the head", func() bool {
		whole, p := r.headPart()
		return whole == api.Pass && p.Status == api.Pass && quorum.MatchString(p.Output)
	})
	if h := r.host.Node().Head; h.Trust != control.TrustQuorum || h.Number == 0 || h.Votes < 2 || h.Voters < h.Votes || h.Final > h.Number {
		t.Errorf("%+v", h)
	}
	r.do("upstream.drain", "dev-a")
	r.do("upstream.drain", "dev-b")
	single := regexp.MustCompile(`^block \d+ by one provider's word$`)
	r.until("one provider's word is not said to be that", func() bool {
		whole, p := r.headPart()
		return whole == api.Warn && p.Status == api.Warn && single.MatchString(p.Output)
	})
	if h := r.host.Node().Head; h.Trust != control.TrustSingle {
		t.Errorf("%+v", h)
	}
	r.do("upstream.restore", "dev-a")
	r.do("upstream.restore", "dev-b")
	r.until("the quorum is not back", func() bool { _, p := r.headPart(); return p.Status == api.Pass })
}

// Without any head the check fails, whatever the providers are.
func TestANodeWithoutAHeadSaysSo(t *testing.T) {
	c := chain(t)
	for _, p := range c.Providers {
		p.Override(&devchain.Fault{ErrorRate: 1, Status: 500})
	}
	r := start(t, c, t.TempDir(), "upstream.chain_id", fmt.Sprint(c.Chain.ChainID()))
	whole, p := r.headPart()
	if whole != api.Fail || p.Status != api.Fail || !strings.Contains(p.Output, "no quorum of providers has named a head") {
		t.Errorf("%s: %+v", whole, p)
	}
	if h := r.host.Node().Head; h != (control.Head{Trust: control.TrustNone}) {
		t.Errorf("%+v", h)
	}
	r.fail(nil)
	r.until("there is no head now", func() bool { _, p := r.headPart(); return p.Status == api.Pass })
}
