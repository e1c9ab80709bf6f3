package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/bizra/bizra-top/node/devchain"
)

// While blocks come, and some are replaced, the newest block never goes back, and is one of
// the chain; answers for it are those of the chain.
func TestTheNewestBlockNeverGoesBack(t *testing.T) {
	for n, cast := range casts[1:] {
		for i, name := range []string{"lags by 1", "lags by 3", "claims 900 more blocks", "claims block 2^63-1", "null for reads", "{} for reads", "500 for reads", "slow"} {
			if !turn(i, n, len(casts)-1) {
				continue
			}
			t.Run(fmt.Sprintf("%d of %d %s", len(cast.bad), cast.providers, name), func(t *testing.T) {
				t.Parallel()
				chain, err := devchain.NewChain(devchain.Config{Seed: 7, Prefill: 24, Traffic: true, MinTx: 1, MaxTx: 2, GenesisTime: time.Now().Add(-time.Hour)})
				if err != nil {
					t.Fatal(err)
				}
				w := &world{real: chain}
				w.oracle = w.provider(t, chain, "oracle")
				b := behaviours[slices.IndexFunc(behaviours, func(b behaviour) bool { return b.name == name })]
				s := w.scene(t, b, cast.providers, cast.bad, map[string]string{"upstream.poll_every": "100ms"})
				s.ready()
				s.follow()
			})
		}
	}
}

// follow mines blocks, replaces some, and asks all the while.
func (s *scene) follow() {
	s.Helper()
	var last uint64
	for round := range 5 {
		if round == 3 {
			if err := s.real.Reorg(2); err != nil {
				s.Fatal(err)
			}
		}
		if _, err := s.real.Mine(); err != nil {
			s.Fatal(err)
		}
		head, hash := s.real.Head()
		behind := uint64(0)
		if s.honest == 1 {
			behind = s.behaviour.fault.Stale
		}
		s.await("the new block", func() bool {
			var n hexutil.Uint64
			got := s.call(request("eth_blockNumber"))
			if got.Error == nil && json.Unmarshal(got.Result, &n) != nil || got.Error == nil && uint64(n) < last || uint64(n) > head {
				s.Fatalf("eth_blockNumber: %s after %d, of %d", got.Result, last, head)
			}
			last = max(last, uint64(n))
			// A height alone does not say on which side of a reorganisation it is.
			canonical, known := s.set.Heads().Canonical(head)
			return uint64(n) == head-behind && (behind > 0 || known && canonical == hash)
		})
		at := hexutil.EncodeUint64(last)
		for _, c := range []cell{
			{name: "block", body: request("eth_getBlockByNumber", "latest", true), want: s.truth(s, request("eth_getBlockByNumber", at, true))},
			{name: "balance", body: request("eth_getBalance", s.real.Accounts()[0], "latest"), want: s.truth(s, request("eth_getBalance", s.real.Accounts()[0], at))},
			{name: "logs", body: request("eth_getLogs", map[string]any{}), want: s.truth(s, request("eth_getLogs", map[string]any{"fromBlock": at, "toBlock": at}))},
		} {
			if o, why := s.judge(s.call(c.body), c); o == wrong || o == failed && s.honest > 1 {
				s.Errorf("round %d, %s at %d: %s", round, c.name, last, why)
			}
		}
	}
}
