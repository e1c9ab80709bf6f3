package api_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// A lie is told wherever what it is about appears, and is another one for each liar.
// Answers to eth_call and eth_estimateGas are left out: nothing proves them.
type lie struct {
	behaviour
	class string // of the cells that it may reach
}

// kinds tell the objects in answers apart by a member that no other has.
const (
	aBlock       = "stateRoot"
	aTransaction = "input"
	aReceipt     = "cumulativeGasUsed"
	aLog         = "logIndex"
)

// every does something to each object of a kind in an answer.
func every(kind string, v any, do func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			every(kind, member, do)
		}
		if _, ok := v[kind]; ok {
			do(v)
		}
	case []any:
		for _, element := range v {
			every(kind, element, do)
		}
	}
}

// in changes each object of a kind.
func in(kind string, do func(q question, o map[string]any)) func(question, any) any {
	return func(q question, result any) any {
		every(kind, result, func(o map[string]any) { do(q, o) })
		return result
	}
}

// sets puts a value in a member's place.
func sets(kind, member, value string) func(question, any) any {
	return in(kind, func(q question, o map[string]any) { o[member] = fmt.Sprintf("%s%d", value, q.bad+1) })
}

// falsely changes the whole answer to a method, and a member of eth_getProof.
func falsely(method, proof, value string) func(question, any) any {
	return func(q question, result any) any {
		false := fmt.Sprintf("%s%d", value, q.bad+1)
		switch o, ok := result.(map[string]any); {
		case q.method == method:
			return false
		case ok && proof != "" && q.method == "eth_getProof":
			o[proof] = false
		}
		return result
	}
}

// lists changes the list of logs that a method answers.
func lists(do func(q question, logs []any) []any) func(question, any) any {
	return func(q question, result any) any {
		if logs, ok := result.([]any); ok && q.method == "eth_getLogs" {
			return do(q, logs)
		}
		return result
	}
}

var (
	word = "0x" + strings.Repeat("5e", 31) + "0" // and a digit
	addr = "0x" + strings.Repeat("5e", 19) + "0"
)

var lies = []lie{
	{behaviour{name: "hash of blocks", change: sets(aBlock, "hash", word)}, "blocks"},
	{behaviour{name: "number of blocks", change: in(aBlock, func(q question, o map[string]any) { o["number"] = fmt.Sprintf("0x%d", q.bad+1) })}, "blocks"},
	{behaviour{name: "state root", change: sets(aBlock, "stateRoot", word)}, "blocks"},
	{behaviour{name: "miner", change: sets(aBlock, "miner", addr)}, "blocks"},
	{behaviour{name: "parent", change: sets(aBlock, "parentHash", word)}, "blocks"},
	{behaviour{name: "size", change: sets(aBlock, "size", "0x1")}, "blocks"},
	{behaviour{name: "transactions left out", change: in(aBlock, func(q question, o map[string]any) {
		list := o["transactions"].([]any)
		o["transactions"] = list[min(len(list), 1+q.bad):]
	})}, "blocks"},
	{behaviour{name: "value", change: sets(aTransaction, "value", "0xde0b6b3a764000")}, "transactions"},
	{behaviour{name: "sender", change: sets(aTransaction, "from", addr)}, "transactions"},
	{behaviour{name: "input", change: in(aTransaction, func(q question, o map[string]any) { o["input"] = fmt.Sprintf("0x0%d", q.bad+1) })}, "transactions"},
	{behaviour{name: "block of a transaction", change: sets(aTransaction, "blockHash", word)}, "transactions"},
	{behaviour{name: "a transaction is pending", alike: true, change: in(aTransaction, func(_ question, o map[string]any) {
		o["blockHash"], o["blockNumber"], o["transactionIndex"], o["blockTimestamp"] = nil, nil, nil, nil
	})}, "transactions"},
	{behaviour{name: "status", change: in(aReceipt, func(q question, o map[string]any) {
		swapped := map[any]string{"0x1": "0x0", "0x0": "0x1"}[o["status"]]
		if o["status"] = swapped; q.bad > 0 {
			o["gasUsed"] = "0x1"
		}
	})}, "receipts"},
	{behaviour{name: "gas used", change: sets(aReceipt, "gasUsed", "0x1")}, "receipts"},
	{behaviour{name: "logs of a receipt left out", change: in(aReceipt, func(q question, o map[string]any) {
		if o["logs"] = []any{}; q.bad > 0 {
			o["logsBloom"] = "0x" + strings.Repeat("00", 256)
		}
	})}, "receipts"},
	{behaviour{name: "receipt of another", change: sets(aReceipt, "transactionHash", word)}, "receipts"},
	{behaviour{name: "data of logs", change: sets(aLog, "data", word)}, "logs"},
	{behaviour{name: "address of logs", change: sets(aLog, "address", addr)}, "logs"},
	{behaviour{name: "first log left out", change: lists(func(q question, logs []any) []any { return logs[min(len(logs), 1+q.bad):] })}, "logs"},
	{behaviour{name: "last log left out", change: lists(func(q question, logs []any) []any { return logs[:max(len(logs)-1-q.bad, 0)] })}, "logs"},
	{behaviour{name: "all logs left out", alike: true, change: lists(func(question, []any) []any { return []any{} })}, "logs"},
	{behaviour{name: "a log too many", alike: true, change: lists(func(q question, logs []any) []any {
		if len(logs) == 0 {
			return logs
		}
		return append([]any{logs[0]}, logs...)
	})}, "logs"},
	{behaviour{name: "balance", change: falsely("eth_getBalance", "balance", "0xde0b6b3a764000")}, "state"},
	{behaviour{name: "nonce", change: falsely("eth_getTransactionCount", "nonce", "0x5")}, "state"},
	{behaviour{name: "code", change: falsely("eth_getCode", "codeHash", word)}, "state"},
	{behaviour{name: "no code", alike: true, change: func(q question, result any) any {
		if q.method == "eth_getCode" {
			return "0x"
		}
		return result
	}}, "state"},
	{behaviour{name: "storage", change: falsely("eth_getStorageAt", "storageHash", word)}, "state"},
	{behaviour{name: "null for blocks", alike: true, change: func(q question, result any) any {
		if strings.HasPrefix(q.method, "eth_getBlockBy") && strings.HasPrefix(q.text(0), "0x") {
			return nil
		}
		return result
	}}, "blocks"},
	{behaviour{name: "null for transactions", alike: true, change: nothing("eth_getTransactionByHash")}, "transactions"},
	{behaviour{name: "null for receipts", alike: true, change: nothing("eth_getTransactionReceipt")}, "receipts"},
	{behaviour{name: "null for receipts of blocks", alike: true, change: nothing("eth_getBlockReceipts")}, "receipts"},
	{behaviour{name: "no receipts in blocks", alike: true, change: func(q question, result any) any {
		if q.method == "eth_getBlockReceipts" {
			return []any{}
		}
		return result
	}}, "receipts"},
	{behaviour{name: "a transaction that is none", change: func(q question, result any) any {
		if q.method == "eth_getTransactionByHash" && result == nil {
			return map[string]any{"hash": q.text(0), "blockHash": nil, "blockNumber": nil, "input": "0x", "from": addr + "1", "nonce": "0x1", "value": "0x1"}
		}
		return result
	}}, "transactions"},
	{behaviour{name: "a receipt of what is none", change: func(q question, result any) any {
		if q.method == "eth_getTransactionReceipt" && result == nil {
			head, hash := q.real.Head()
			return map[string]any{"transactionHash": q.text(0), "blockHash": hash, "blockNumber": fmt.Sprintf("0x%x", head), "status": "0x1", "logs": []any{}}
		}
		return result
	}}, "receipts"},
}

// nothing answers null to a method.
func nothing(method string) func(question, any) any {
	return func(q question, result any) any {
		if q.method == method {
			return nil
		}
		return result
	}
}

// proofs has answers of all classes proved before they go out, or after.
func proofs(when string) map[string]string {
	return map[string]string{"gateway.verify.blocks": when, "gateway.verify.transactions": when, "gateway.verify.receipts": when,
		"gateway.verify.logs": when, "gateway.verify.state": when}
}

// Where answers are proved before they go out, no lie of one provider in three, or of two in
// five, goes out. Where they are proved after, one may go out once, and is not told again
// when the proof has refuted it.
func TestLies(t *testing.T) {
	w := newWorld(t)
	var cells, once atomic.Int64
	t.Cleanup(func() { t.Logf("%d cells, %d of them wrong once", cells.Load(), once.Load()) })
	modes := []struct {
		when      string
		providers int
		bad       []int
	}{{"after", 3, []int{1}}, {"before", 3, []int{1}}, {"before", 5, []int{0, 3}}}
	for n, mode := range modes {
		for i, l := range lies {
			if !turn(i, n, len(modes)) {
				continue
			}
			t.Run(fmt.Sprintf("%s, %d of %d, %s", mode.when, len(mode.bad), mode.providers, l.name), func(t *testing.T) {
				t.Parallel()
				s := w.scene(t, l.behaviour, mode.providers, mode.bad, proofs(mode.when))
				s.ready()
				head, _ := s.newest()
				for _, c := range s.cells(head) {
					if c.class != l.class || strings.Contains(c.name, "not there yet") {
						continue
					}
					cells.Add(1)
					if s.lied(c, mode.when == "after") {
						once.Add(1)
					}
				}
			})
		}
	}
}

// lied asks a question, and says whether the first answer was a lie, which is then found out.
func (s *scene) lied(c cell, may bool) bool {
	s.Helper()
	before := s.lies()
	o, why := s.judge(s.call(c.body), c)
	switch {
	case o == right:
		return false
	case o == failed || !may:
		s.Errorf("%s: %s", c.name, why)
		return false
	}
	s.await("the lie to be found out: "+c.name+": "+why, func() bool { return s.lies() > before })
	s.await("what was false to be forgotten: "+c.name+": "+why, func() bool { o, _ := s.judge(s.call(c.body), c); return o == right })
	return true
}

// lies counts those that were found out, which only the bad ones can have told.
func (s *scene) lies() (n uint64) {
	for i, st := range s.set.Status() {
		if st.Lies > 0 && !slices.Contains(s.bad, i) {
			s.Errorf("%s is honest, and was found to have lied: %s", st.Name, st.LastError)
		}
		n += st.Lies
	}
	return n
}
