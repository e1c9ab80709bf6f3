package validation

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bizra/bizra-top/node/monotonic"

	"github.com/bizra/bizra-top/node/supervise"
)

const (
	// receiptsAtOnce bounds how many receipts are asked for at a time, one by one.
	receiptsAtOnce = 16
	// listsMissingFor is for how long providers are taken to be without
	// eth_getBlockReceipts once they were.
	listsMissingFor = time.Minute
)

// receiptsOf returns a function that asks for the receipts of a block while the
// block is being asked for, and proves them by its header.
//
// Where no provider has eth_getBlockReceipts, they are asked for one by one: the
// root can only be rebuilt from all of them. That takes a round trip more, and as
// many calls as the block has transactions, at most validation.receipt_calls.
func (q *inquiry) receiptsOf(hash common.Hash) func() reply[receiptsAnswer] {
	return q.receipts.about(hash, func() reply[receiptsAnswer] {
		judge := func(raw json.RawMessage) (receiptsAnswer, error) { return q.judgeReceipts(raw, hash) }
		var r reply[receiptsAnswer]
		if missing := q.listsMissing.Load(); missing == 0 || monotonic.Now() >= missing {
			r = ask(q, question[receiptsAnswer]{"eth_getBlockReceipts", []any{hash.Hex()}, judge})
			var quiet *silent
			if !errors.As(r.err, &quiet) || q.ctx.Err() != nil {
				return r
			}
		} else {
			r.err = &silent{errors.New("no provider has eth_getBlockReceipts")}
		}
		b := q.blockByHash(hash)()
		if b.err != nil || b.value.count > q.set.ReceiptCalls.Get() {
			return r // silent, with why there is no list
		}
		if b.value.count == 0 {
			none, err := judge([]byte("[]"))
			return reply[receiptsAnswer]{none, b.provider, err}
		}
		one := q.receiptsOneByOne(b.value, judge)
		if one.err == nil {
			q.listsMissing.Store(monotonic.Now() + int64(listsMissingFor))
			return one
		}
		var quiet *silent
		if errors.As(one.err, &quiet) {
			return r
		}
		return one
	})
}

func (q *inquiry) judgeReceipts(raw json.RawMessage, hash common.Hash) (receiptsAnswer, error) {
	b := q.blockByHash(hash)()
	var other *foreign
	if b.err != nil && !errors.As(b.err, &other) || b.value.headForeign != "" {
		return receiptsAnswer{}, &foreign{"", "there is no proved header to compare the receipts with"}
	}
	return judgeReceipts(raw, b.value)
}

// receiptsOneByOne asks the best provider for every receipt of a block. When
// those together do not hold, which may be one provider's doing among several, it
// asks the witnesses for all of them, and judges what each has sent.
func (q *inquiry) receiptsOneByOne(b blockAnswer, judge func(json.RawMessage) (receiptsAnswer, error)) reply[receiptsAnswer] {
	const method = "eth_getTransactionReceipt"
	p := pollOf(q, question[receiptsAnswer]{method: method, judge: judge})
	lists := q.gather(b, func(params []any) []Answer {
		a, err := q.src.Call(q.ctx, method, params...)
		if err != nil {
			a.Err = err
		}
		return []Answer{a}
	})
	if mixed := joined(lists, b.count); mixed != nil {
		if r, err := judge(mixed); err == nil {
			provider := ""
			for name := range lists {
				q.use(name)
				provider = name
			}
			if len(lists) > 1 {
				provider = ""
			}
			return reply[receiptsAnswer]{value: r, provider: provider}
		}
	}
	lists = q.gather(b, func(params []any) []Answer {
		return q.src.CallEach(q.ctx, q.set.Witnesses.Get(), method, params...)
	})
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		if raw := joined(map[string][]json.RawMessage{name: lists[name]}, b.count); raw != nil {
			p.take(Answer{Provider: name, Result: raw})
		}
	}
	return p.best()
}

// gather asks for each receipt of a block, a few at a time, and returns what each
// provider sent, by index.
func (q *inquiry) gather(b blockAnswer, ask func(params []any) []Answer) map[string][]json.RawMessage {
	answers := make([][]Answer, b.count)
	answers[0] = ask([]any{b.txs[0].Hash().Hex()})
	lists := map[string][]json.RawMessage{}
	for _, a := range answers[0] {
		if a.Err == nil {
			lists[a.Provider] = make([]json.RawMessage, b.count)
		}
	}
	if len(lists) == 0 {
		return nil // they do not know this method either
	}
	var g supervise.Group
	g.SetLimit(receiptsAtOnce)
	for i, tx := range b.txs[1:] {
		g.Go(func() error {
			if q.ctx.Err() == nil {
				answers[1+i] = ask([]any{tx.Hash().Hex()})
			}
			return nil
		})
	}
	_ = g.Wait() // the goroutines return no errors
	for i, all := range answers {
		for _, a := range all {
			if a.Err != nil || isNull(a.Result) {
				continue
			}
			if lists[a.Provider] == nil {
				lists[a.Provider] = make([]json.RawMessage, b.count)
			}
			lists[a.Provider][i] = a.Result
		}
	}
	return lists
}

// joined makes one list of several with gaps; nil when a gap is left.
func joined(lists map[string][]json.RawMessage, n int) json.RawMessage {
	whole := make([][]byte, n)
	for i := range whole {
		for _, list := range lists {
			if list[i] != nil {
				whole[i] = list[i]
			}
		}
		if whole[i] == nil {
			return nil
		}
	}
	return append(append([]byte{'['}, bytes.Join(whole, []byte{','})...), ']')
}
