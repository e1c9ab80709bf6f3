package upstream

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/valyala/fastjson"
)

// envelope is a JSON-RPC response taken apart. Its members are nil when they are
// not there, or null in the case of err.
type envelope struct {
	id, result, err json.RawMessage
}

// open takes a response apart. The whole is checked to be JSON, since its result
// is passed on as it is; after that a scan finds the members. Both together cost a
// tenth of json.Unmarshal where strings are long. Member names are compared as
// they are written.
func open(data []byte) (e envelope, ok bool) {
	if !sound(data) || fastjson.ValidateBytes(data) != nil {
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

// maxDepth is encoding/json's: fastjson validates by recursion, and a stack of
// brackets as long as a body may be would end the process.
const maxDepth = 10_000

// longestNumber is the most digits of a number that every double can hold.
const longestNumber = 300

// sound says whether data have nothing that fastjson does not refuse as it must: too
// many brackets, in a string with an escape a control character before it, or a number
// that no double can hold, which each who reads it reads differently (RFC 8259, 6).
func sound(data []byte) bool {
	for i, depth := 0, 0; i < len(data); {
		c := data[i]
		i++
		switch c {
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			start := i - 1
			exponent := false
			for i < len(data) && numeric(data[i]) {
				exponent = exponent || data[i]|0x20 == 'e'
				i++
			}
			if !exponent && i-start <= longestNumber {
				continue
			}
			if _, err := strconv.ParseFloat(string(data[start:i]), 64); err != nil {
				return false
			}
		case '"':
			end := stringEnd(data, i)
			if text := data[i:end]; bytes.IndexByte(text, '\\') >= 0 && slices.ContainsFunc(text, control) {
				return false
			}
			i = end
		case '{', '[':
			if depth++; depth > maxDepth {
				return false
			}
		case '}', ']':
			depth--
		}
	}
	return true
}

func numeric(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c|0x20 == 'e' || c == '-' || c == '+'
}

func control(c byte) bool { return c < ' ' }

// stringEnd returns where a string ends whose content begins at i.
func stringEnd(data []byte, i int) int {
	for {
		n := bytes.IndexByte(data[i:], '"')
		if n < 0 {
			return len(data)
		}
		quote := i + n
		slashes := quote
		for slashes > i && data[slashes-1] == '\\' {
			slashes--
		}
		i = quote + 1
		if (quote-slashes)%2 == 0 {
			return i
		}
	}
}

// value returns the end of the value that begins at i. The data are valid JSON
// and the value is within an object.
func value(data []byte, i int) int {
	for depth := 0; ; {
		switch data[i] {
		case '"':
			i = stringEnd(data, i+1)
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
