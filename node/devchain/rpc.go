package devchain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// rpcError is a JSON-RPC error as it goes over the wire.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

func (e *rpcError) Error() string { return e.Message }

func invalidParams(format string, args ...any) error {
	return &rpcError{Code: -32602, Message: fmt.Sprintf(format, args...)}
}

var nullID = json.RawMessage("null")

// answer handles one request body, a call or a batch.
func (p *Provider) answer(f Fault, body []byte) any {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || body[0] != '[' {
		return p.call(f, body)
	}
	var batch []json.RawMessage
	switch err := json.Unmarshal(body, &batch); {
	case err != nil:
		return failure(nullID, &rpcError{Code: -32700, Message: "parse error"})
	case len(batch) == 0:
		return failure(nullID, &rpcError{Code: -32600, Message: "empty batch"})
	case len(batch) > maxBatch:
		return failure(nullID, &rpcError{Code: -32600, Message: "batch too large"})
	}
	out := make([]any, len(batch))
	for i, raw := range batch {
		out[i] = p.call(f, raw)
	}
	return out
}

func (p *Provider) call(f Fault, raw json.RawMessage) any {
	var req struct {
		ID     json.RawMessage   `json:"id"`
		Method string            `json:"method"`
		Params []json.RawMessage `json:"params"`
	}
	if !json.Valid(raw) {
		return failure(nullID, &rpcError{Code: -32700, Message: "parse error"})
	}
	if err := json.Unmarshal(raw, &req); err != nil || req.Method == "" {
		return failure(nullID, &rpcError{Code: -32600, Message: "invalid request"})
	}
	if len(req.ID) == 0 {
		req.ID = nullID
	}
	m, ok := methods[req.Method]
	if !ok {
		return failure(req.ID, &rpcError{Code: -32601, Message: fmt.Sprintf("the method %.64q does not exist/is not available", req.Method)})
	}
	if len(req.Params) > 16 {
		return failure(req.ID, invalidParams("too many arguments"))
	}
	result, err := m(&query{view: view{p.chain, f.Stale}, fault: f, params: req.Params})
	if err != nil {
		return failure(req.ID, err)
	}
	return map[string]any{"jsonrpc": "2.0", "id": req.ID, "result": result}
}

func failure(id json.RawMessage, err error) any {
	e := &rpcError{Code: -32000}
	if !errors.As(err, &e) {
		e.Message = err.Error()
	}
	return map[string]any{"jsonrpc": "2.0", "id": id, "error": e}
}

// query is one call being answered.
type query struct {
	view
	fault  Fault
	params []json.RawMessage
}

// param decodes argument i, which must be there.
func (q *query) param(i int, what string, into any) error {
	if i >= len(q.params) || bytes.Equal(q.params[i], nullID) {
		return invalidParams("missing value for required argument %d", i)
	}
	if err := json.Unmarshal(q.params[i], into); err != nil {
		return invalidParams("invalid argument %d: not a %s", i, what)
	}
	return nil
}

// safe and final are how far behind the head those tags are.
const (
	safeDepth  = 32
	finalDepth = 64
)

// block finds the block an argument names: a number, a tag, a hash, or an
// EIP-1898 object. A block that is not there is nil without an error. A missing
// argument means the head.
func (q *query) block(i int) (*block, error) {
	if i >= len(q.params) || bytes.Equal(q.params[i], nullID) {
		return q.headBlock(), nil
	}
	var object struct {
		BlockNumber *json.RawMessage `json:"blockNumber"`
		BlockHash   *common.Hash     `json:"blockHash"`
	}
	raw := q.params[i]
	if raw[0] == '{' {
		if err := json.Unmarshal(raw, &object); err != nil {
			return nil, invalidParams("invalid argument %d: %v", i, err)
		}
		switch {
		case object.BlockHash != nil && object.BlockNumber == nil:
			return q.hash(q.unlie(*object.BlockHash)), nil
		case object.BlockNumber != nil && object.BlockHash == nil:
			raw = *object.BlockNumber
		default:
			return nil, invalidParams("invalid argument %d: either blockHash or blockNumber", i)
		}
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, invalidParams("invalid argument %d: not a block number", i)
	}
	head := q.headBlock()
	switch text {
	case "latest", "pending":
		return head, nil
	case "safe":
		return q.number(head.NumberU64() - min(head.NumberU64(), safeDepth)), nil
	case "finalized":
		return q.number(head.NumberU64() - min(head.NumberU64(), finalDepth)), nil
	case "earliest":
		return q.number(0), nil
	}
	if len(text) == 66 {
		var h common.Hash
		if err := h.UnmarshalText([]byte(text)); err != nil {
			return nil, invalidParams("invalid argument %d: %v", i, err)
		}
		return q.hash(q.unlie(h)), nil
	}
	n, err := hexutil.DecodeUint64(text)
	if err != nil {
		return nil, invalidParams("invalid argument %d: %v", i, err)
	}
	return q.number(n), nil
}

// state finds the state after the block argument i names.
func (q *query) state(i int) (*state, error) {
	b, err := q.block(i)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, errors.New("header not found")
	}
	s := q.stateOf(b)
	if s == nil {
		return nil, errors.New("missing trie node: the state of that block is no longer kept")
	}
	return s, nil
}

func (q *query) hashParam(i int) (common.Hash, error) {
	var h common.Hash
	err := q.param(i, "32-byte hash", &h)
	return h, err
}

func (q *query) addressParam(i int) (common.Address, error) {
	var a common.Address
	err := q.param(i, "20-byte address", &a)
	return a, err
}
