package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// JSON-RPC error codes: those of the specification, and EIP-1474's.
const (
	codeParse       = -32700
	codeInvalid     = -32600
	codeNoMethod    = -32601
	codeParams      = -32602
	codeInternal    = -32603
	codeUnavailable = -32002
	codeLimit       = -32005
)

type requestProblem struct {
	status, code int
	text         string
}

// exchange is what one request needs of memory. It is used again: nothing that
// outlives the request may point into it.
type exchange struct {
	parser fastjson.Parser
	in     []byte // the body as it was read
	key    []byte
	id     []byte
	head   []byte
	out    []byte
	visit  visit
	held   int64 // of api.max_bodies, for the request
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// keepBelow is the largest buffer that is kept for the next request.
const keepBelow = 64 << 10

func (x *exchange) release() {
	if len(x.in) > keepBelow/8 {
		x.parser = fastjson.Parser{} // it keeps a copy, and many values
	}
	for _, b := range []*[]byte{&x.in, &x.key, &x.id, &x.out} {
		if cap(*b) > keepBelow {
			*b = nil
		}
	}
	x.visit.drop(x.held)
	x.visit, x.held = visit{}, 0
	exchanges.Put(x)
}

// bodyCopies is how often a large body is in memory: as it came, as the parser keeps it,
// and once more for what it was read into before.
const bodyCopies = 3

// hold takes memory for the request, which release gives back.
func (x *exchange) hold(n int64) bool {
	if n <= 0 {
		return true
	}
	x.visit.drop(x.held) // what it has is no reason to refuse it more
	n += x.held
	x.held = 0
	if !x.visit.take(n) {
		return false
	}
	x.held = n
	return true
}

// read reads a JSON body within the bounds and says whether it is JSON.
func (x *exchange) read(r *http.Request, s Settings) *requestProblem {
	limit := s.MaxBody.Get()
	busy := &requestProblem{http.StatusServiceUnavailable, codeLimit, overBodies}
	tooLarge := &requestProblem{http.StatusRequestEntityTooLarge, codeLimit, "the body is over api.max_body"}
	if r.ContentLength > limit {
		return tooLarge
	}
	// A body that says how long it is is read in one go, a large one in two: one that
	// claims much and sends little gets little room.
	x.in = slices.Grow(x.in[:0], int(min(max(r.ContentLength+1, 512), keepBelow)))
	for {
		if len(x.in) == cap(x.in) {
			more := int64(cap(x.in))
			if r.ContentLength >= more {
				more = r.ContentLength + 1 - more
			}
			more = min(more, limit+1-int64(cap(x.in)))
			if int64(cap(x.in))+more > keepBelow && !x.hold(bodyCopies*more) {
				return busy
			}
			// Exactly what was counted: append would take more.
			x.in = append(make([]byte, 0, cap(x.in)+int(more)), x.in...)
		}
		n, err := r.Body.Read(x.in[len(x.in):cap(x.in)])
		x.in = x.in[:len(x.in)+n]
		if int64(len(x.in)) > limit {
			return tooLarge
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return &requestProblem{http.StatusBadRequest, codeParse, "the body could not be read"}
		}
	}
	body := bytes.TrimSpace(x.in)
	most := max(leastValues, valuesOfAMember*s.MaxBatch.Get())
	deep, values, control := overgrown(body, s.MaxDepth.Get(), most)
	switch {
	case len(body) == 0:
		return &requestProblem{http.StatusBadRequest, codeInvalid, "the body is empty: send a JSON-RPC request"}
	case deep:
		return &requestProblem{http.StatusBadRequest, codeInvalid, "the JSON is nested deeper than api.max_depth"}
	case values > most:
		return &requestProblem{http.StatusRequestEntityTooLarge, codeLimit, "the JSON has too many values for what api.max_batch allows"}
	case control || !utf8.Valid(body) || fastjson.ValidateBytes(body) != nil:
		return &requestProblem{http.StatusBadRequest, codeParse, "the body is not JSON"}
	case valueSize*values > keepBelow && !x.hold(int64(valueSize*values)):
		return busy
	}
	return nil
}

// A parsed value takes some 80 bytes, however short it was, so that a body of a
// mebibyte would take forty: values are counted before any is parsed.
const (
	valueSize       = 80
	leastValues     = 20_000 // a call with thousands of addresses and topics has fewer
	valuesOfAMember = 20     // of a batch, on average
)

// overgrown says whether JSON nests deeper than limit, how many values it has, without
// parsing it, and whether a string has a control character, which fastjson lets through
// before an escape. It ends where the values are more than most.
func overgrown(data []byte, limit, most int) (deep bool, values int, control bool) {
	depth, quoted := 0, false
	for i := 0; i < len(data) && values <= most; i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
			control = control || c < ' '
		case c == '[' || c == '{':
			values++
			if depth++; depth > limit {
				return true, values, control
			}
		case c == ',':
			values++
		case c == ']' || c == '}':
			depth--
		}
	}
	return false, values, control
}

// request is one JSON-RPC request, taken apart. Its slices point into the
// exchange.
type request struct {
	id     []byte // as it was written; nil for a notification
	method []byte
	params *fastjson.Value // nil where there are none
}

// take takes one request apart. With a problem, the request still has the id, if
// that can be told: clients find the members of a batch by it. Names that stand
// twice count as they last stand.
func (x *exchange) take(v *fastjson.Value) (request, *requestProblem) {
	var (
		req         request
		id, version *fastjson.Value
		method      *fastjson.Value
	)
	o, err := v.Object()
	if err != nil {
		return req, &requestProblem{http.StatusBadRequest, codeInvalid, "the request is not a JSON-RPC object"}
	}
	o.Visit(func(name []byte, v *fastjson.Value) {
		switch string(name) {
		case "id":
			id = v
		case "jsonrpc":
			version = v
		case "method":
			method = v
		case "params":
			req.params = v
		}
	})
	if id != nil {
		// A string is written as it came, escapes and all, unless its type is asked
		// for before.
		x.id = id.MarshalTo(x.id[:0])
		if !validID(x.id) {
			return req, &requestProblem{http.StatusBadRequest, codeInvalid, "the id must be a short string or a number of ordinary size"}
		}
		req.id = x.id
	}
	if version != nil && method != nil && string(stringOf(version)) == "2.0" {
		req.method = stringOf(method)
	}
	if len(req.method) == 0 {
		return req, &requestProblem{http.StatusBadRequest, codeInvalid, `the request needs "jsonrpc": "2.0" and a method`}
	}
	return req, nil
}

// stringOf returns the text of a string, nil for anything else.
func stringOf(v *fastjson.Value) []byte {
	if v.Type() != fastjson.TypeString {
		return nil
	}
	return v.GetStringBytes()
}

// validID says whether an id may be echoed: null, a string or a number, and short. Of
// numbers, those that a double holds: others are read differently by each who reads them
// (RFC 8259, 6).
func validID(id []byte) bool {
	if len(id) == 0 || len(id) > 256 {
		return false
	}
	c := id[0]
	if c == '-' || (c >= '0' && c <= '9') {
		if !bytes.ContainsAny(id, "eE") {
			return true // of 256 digits, all fit
		}
		_, err := strconv.ParseFloat(string(id), 64)
		return err == nil
	}
	return c == '"' || string(id) == "null"
}

// appendKey appends the key under which the answer to a request is cached: the
// method and its parameters, written so that calls that mean the same are the
// same. The parameters are also what providers are sent. It is false for
// parameters that are no array.
func appendKey(key []byte, req request) ([]byte, bool) {
	key = append(key, req.method...)
	switch {
	case req.params == nil || req.params.Type() == fastjson.TypeNull:
		return append(key, "[]"...), true
	case req.params.Type() != fastjson.TypeArray:
		return key, false
	}
	return appendCanonical(key, req.params), true
}

// appendCanonical writes JSON without white space, with the members of objects
// sorted and hexadecimal in lower case.
func appendCanonical(out []byte, v *fastjson.Value) []byte {
	switch v.Type() {
	case fastjson.TypeString:
		return appendString(out, v.GetStringBytes())
	case fastjson.TypeArray:
		out = append(out, '[')
		for i, member := range v.GetArray() {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendCanonical(out, member)
		}
		return append(out, ']')
	case fastjson.TypeObject:
		return appendObject(out, v.GetObject())
	default:
		return v.MarshalTo(out) // a number as it was written
	}
}

type member struct {
	name  string
	value *fastjson.Value
}

func appendObject(out []byte, o *fastjson.Object) []byte {
	members := make([]member, 0, o.Len())
	o.Visit(func(name []byte, v *fastjson.Value) { members = append(members, member{string(name), v}) })
	slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	out = append(out, '{')
	for i, m := range members {
		if i+1 < len(members) && members[i+1].name == m.name {
			continue // the last of a name counts
		}
		if out[len(out)-1] != '{' {
			out = append(out, ',')
		}
		name, _ := json.Marshal(m.name) // a string: it cannot fail
		out = append(append(out, name...), ':')
		out = appendCanonical(out, m.value)
	}
	return append(out, '}')
}

// appendString writes a string, hexadecimal in lower case.
func appendString(out, text []byte) []byte {
	hex := len(text) >= 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')
	start := len(out)
	out = append(out, '"')
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendEscaped(out[:start], text, hex)
		}
		if hex && c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	return append(out, '"')
}

func appendEscaped(out, text []byte, hex bool) []byte {
	if hex {
		text = bytes.ToLower(text)
	}
	quoted, _ := json.Marshal(string(text)) // a string: it cannot fail
	return append(out, quoted...)
}
