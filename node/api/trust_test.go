package api_test

import (
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/api"
)

// Each result that goes out is counted by what X-Verified says of it; an error and what
// nobody reads are not.
func TestAnswersAreCountedByWhatTheyRestOn(t *testing.T) {
	r := start(t, options{with: map[string]string{"gateway.verify.blocks": "before"}})
	r.await("a head by a quorum", func() bool { return r.set.Moment() != nil })
	number, block, call := request("eth_blockNumber"), request("eth_getBlockByNumber", "0x3", true), request("eth_gasPrice")
	for name, c := range map[string]struct {
		body     string
		verified string // header
		counted  map[string]float64
	}{
		"quorum":       {number, "quorum", map[string]float64{"quorum": 1}},
		"proof":        {block, "proof", map[string]float64{"proof": 1}},
		"single":       {call, "single", map[string]float64{"single": 1}},
		"batch":        {"[" + strings.Join([]string{number, block, call, number}, ",") + "]", "single", map[string]float64{"quorum": 2, "proof": 1, "single": 1}},
		"notification": {`{"jsonrpc":"2.0","method":"eth_blockNumber","params":[]}`, "", nil},
		"error":        {request("eth_accounts"), "", nil},
	} {
		before := map[string]float64{}
		trusts := []string{"proof", "quorum", "single"}
		for _, trust := range trusts {
			before[trust] = r.metric(`bizra_gateway_answers_total{trust="` + trust + `"}`)
		}
		a := r.send("POST", "/", c.body)
		if got := a.header.Get("X-Verified"); got != c.verified {
			t.Errorf("%s: X-Verified: %s; %s", name, got, a.body)
		}
		for _, trust := range trusts {
			if n := r.metric(`bizra_gateway_answers_total{trust="`+trust+`"}`) - before[trust]; n != c.counted[trust] {
				t.Errorf("%s: %g counted as %s, not %g", name, n, trust, c.counted[trust])
			}
		}
	}
}

// A part that no other makes up for fails the whole alone; where it passes, the others
// fail the whole together.
func TestWorst(t *testing.T) {
	for name, c := range map[string]struct {
		providers []string
		head      string
		want      string
	}{
		"all well":               {[]string{api.Pass, api.Pass}, api.Pass, api.Pass},
		"one provider":           {[]string{api.Pass, api.Fail}, api.Pass, api.Warn},
		"every provider":         {[]string{api.Fail, api.Fail}, api.Pass, api.Fail},
		"one provider's word":    {[]string{api.Pass, api.Fail}, api.Warn, api.Warn},
		"no head":                {[]string{api.Pass, api.Pass}, api.Fail, api.Fail},
		"no head and a provider": {[]string{api.Pass, api.Fail}, api.Fail, api.Fail},
	} {
		parts := []api.HealthPart{{Status: c.head, Needed: true}}
		for _, s := range c.providers {
			parts = append(parts, api.HealthPart{Status: s})
		}
		if got := api.Worst(parts, true); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
}
