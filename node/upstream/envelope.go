package upstream

import (
	"encoding/json"
	"strconv"
)

// envelope is a JSON-RPC response taken apart. Its members are nil when they are
// not there, or null in the case of err.
type envelope struct {
	id, result, err json.RawMessage
}

// open takes a response apart. The whole is checked to be JSON, since its result
// is passed on as it is; after that a scan finds the members, which is a quarter
// of what json.Unmarshal costs. Member names are compared as they are written.
func open(data []byte) (e envelope, ok bool) {
	if !json.Valid(data) {
		return e, false
	}
	i := space(data, 0)
	if data[i] != '{' {
		return e, false
	}
	for i = space(data, i+1); data[i] != '}'; {
		if data[i] == ',' {
			i = space(data, i+1)
		}
		end := value(data, i)
		name := data[i:end]
		i = space(data, space(data, end)+1) // after the colon
		end = value(data, i)
		switch member := data[i:end:end]; string(name) {
		case `"id"`:
			e.id = member
		case `"result"`:
			e.result = member
		case `"error"`:
			if e.err = member; string(member) == "null" {
				e.err = nil
			}
		}
		i = space(data, end)
	}
	return e, true
}

// answers says whether the envelope carries the id of a request.
func (e envelope) answers(id uint64) bool {
	var own [20]byte
	return string(e.id) == string(strconv.AppendUint(own[:0], id, 10))
}

func space(data []byte, i int) int {
	for data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r' {
		i++
	}
	return i
}

// value returns the end of the value that begins at i. The data are valid JSON
// and the value is within an object.
func value(data []byte, i int) int {
	for depth := 0; ; {
		switch data[i] {
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
			i++
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			for i++; ; i++ { // a number, a word, a colon, a comma, space
				c := data[i]
				if c == '"' || c == '{' || c == '[' || c == '}' || c == ']' {
					break
				}
				if depth == 0 && (c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r') {
					break
				}
			}
		}
		if depth == 0 {
			return i
		}
	}
}
