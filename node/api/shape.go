package api

import (
	"bytes"
	"encoding/json"
)

// shape is what the answers to a method look like, as far as a glance tells: a provider whose
// answer is of another kind is ill, and another is asked.
type shape struct {
	open   byte   // the first character
	member string // what an object, or each in a list, has; quotes included
	least  int    // hexadecimal digits in a text
	null   bool   // it may be null
}

// The shapes.
var (
	aBlock       = shape{open: '{', member: `"parentHash"`, null: true}
	aTransaction = shape{open: '{', member: `"hash"`, null: true}
	aReceipt     = shape{open: '{', member: `"transactionHash"`, null: true}
	receipts     = shape{open: '[', member: `"transactionHash"`, null: true}
	logs         = shape{open: '[', member: `"blockHash"`}
	aProof       = shape{open: '{', member: `"accountProof"`}
	aFeeHistory  = shape{open: '{', member: `"oldestBlock"`}
	quantity     = shape{open: '"', least: 1}
	countOrNull  = shape{open: '"', least: 1, null: true}
	data         = shape{open: '"'}
)

// sound says whether a result, which is valid JSON, is of the shape.
func (s shape) sound(result json.RawMessage) bool {
	text := bytes.TrimSpace(result)
	switch {
	case s.open == 0:
		return true
	case len(text) == 0:
		return false
	case text[0] == 'n':
		return s.null
	case text[0] != s.open:
		return false
	case s.open == '"':
		return isHex(text, s.least)
	case s.open == '[' && len(bytes.TrimSpace(text[1:len(text)-1])) == 0:
		return true
	}
	return bytes.Contains(text, []byte(s.member))
}

// isHex says whether a JSON string is 0x and hexadecimal digits, at least so many.
func isHex(text []byte, least int) bool {
	digits, ok := bytes.CutPrefix(text, []byte(`"0x`))
	if !ok || len(digits)-1 < least {
		return false
	}
	for _, c := range digits[:len(digits)-1] {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}
