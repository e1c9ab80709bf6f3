package api

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/upstream"
)

// The answers of the gateway are put together by hand: an encoder would write an
// id or a result another way than it came, and would read what was read before.
const (
	rpcHead   = `{"jsonrpc":"2.0","id":`
	rpcResult = `,"result":`
	rpcFault  = `,"error":`
)

func appendEnvelope(out, id []byte, member string, value []byte) []byte {
	out = append(appendHead(out, id), member...)
	return append(append(out, value...), '}')
}

func appendHead(out, id []byte) []byte {
	out = append(out, rpcHead...)
	if id == nil {
		return append(out, "null"...)
	}
	return append(out, id...)
}

func rpcError(id []byte, code int, text string) []byte {
	return rpcFull(id, &upstream.RPCError{Code: code, Message: text})
}

// rpcFull is an error with its data as they came.
func rpcFull(id []byte, e *upstream.RPCError) []byte {
	body := strconv.AppendInt([]byte(`{"code":`), int64(e.Code), 10)
	body = append(append(body, `,"message":`...), quoted(e.Message)...)
	if len(e.Data) > 0 {
		body = append(append(body, `,"data":`...), e.Data...)
	}
	return appendEnvelope(nil, id, rpcFault, append(body, '}'))
}

// quoted is a text as JSON, with no more escaped than must be.
func quoted(text string) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string into memory: it cannot fail
	return bytes.TrimRight(out.Bytes(), "\n")
}

// copyBelow is the largest body that is copied behind its head, to be sent in one
// piece.
const copyBelow = 32 << 10

// Headers that are the same for every answer. net/http does not change them.
var (
	typeJSON = []string{"application/json"}
	nosniff  = []string{"nosniff"}
	verified = [][]string{cache.Proof: {"proof"}, cache.Agreed: {"quorum"}, cache.Single: {"single"}}
)

// countAbove is the least body that counts in api.max_bodies while it is sent: what is
// smaller fits into the buffers that every connection has.
const countAbove = 16 << 10

// sendAnswer writes head, an answer's body and tail as one body, encoded when it
// is large and the client takes that. It uses the exchange's output. It is false, and
// nothing was written, when api.max_bodies has no room for the answer.
func (x *exchange) sendAnswer(w http.ResponseWriter, r *http.Request, s Settings, status int, head []byte, a cache.Answer, tail string) bool {
	if len(a.Body) >= countAbove {
		if !a.Retain(x.visit.take) {
			return false
		}
		defer a.Release(x.visit.drop)
	}
	h := w.Header()
	h["Content-Type"], h["X-Content-Type-Options"], h["X-Verified"] = typeJSON, nosniff, verified[a.Trust]
	if a.Stale {
		h.Set("X-Cache", "stale")
	}
	if int64(len(a.Body)) >= s.EncodeAbove.Get() {
		h.Set("Vary", "Accept-Encoding")
		if x.sendEncoded(w, r, status, head, a, tail) {
			return true
		}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(head) + len(a.Body) + len(tail))}
	w.WriteHeader(status)
	// A client that has left cannot be told.
	if len(a.Body) <= copyBelow {
		x.out = append(append(append(x.out[:0], head...), a.Body...), tail...)
		_, _ = w.Write(x.out)
		return true
	}
	_, _ = w.Write(head)
	_, _ = w.Write(a.Body)
	_, _ = w.Write([]byte(tail))
	return true
}

// sendEncoded is sendAnswer in the encoding the client prefers; false when it
// takes none.
func (x *exchange) sendEncoded(w http.ResponseWriter, r *http.Request, status int, head []byte, a cache.Answer, tail string) bool {
	accept := strings.Join(r.Header.Values("Accept-Encoding"), ",")
	var before, middle, after []byte
	name := ""
	if accepts(accept, "zstd") {
		name = "zstd"
		before, middle, after = zstdAround(head, a.Encoded(cache.Zstd), tail)
	}
	if middle == nil && accepts(accept, "gzip") {
		name = "gzip"
		before, middle, after = gzipAround(head, a.Encoded(cache.Deflate), a.Body, tail)
	}
	if middle == nil {
		return false
	}
	w.Header().Set("Content-Encoding", name)
	w.Header().Set("Content-Length", strconv.Itoa(len(before)+len(middle)+len(after)))
	w.WriteHeader(status)
	_, _ = w.Write(before)
	_, _ = w.Write(middle)
	_, _ = w.Write(after)
	return true
}

// accepts says whether an Accept-Encoding header names an encoding, and not with
// a weight of 0.
func accepts(header, encoding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), encoding) {
			continue
		}
		weight, found := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		return !found || err == nil && q > 0
	}
	return false
}

// gzipAround makes one gzip member (RFC 1952) of head, a body that is raw deflate
// already, and tail: stored blocks before and behind it. The encoded body refers to
// nothing in front of itself.
func gzipAround(head, deflated, body []byte, tail string) (before, middle, after []byte) {
	if deflated == nil || len(head) > 0xffff || len(tail) > 0xffff {
		return nil, nil, nil
	}
	before = append(make([]byte, 0, 16+len(head)), 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255)
	before = appendStored(before, 0, string(head))
	sum := crc32.Update(crc32.Update(crc32.ChecksumIEEE(head), crc32.IEEETable, body), crc32.IEEETable, []byte(tail))
	after = appendStored(nil, 1, tail)
	after = binary.LittleEndian.AppendUint32(after, sum)
	after = binary.LittleEndian.AppendUint32(after, uint32(len(head)+len(body)+len(tail)))
	return before, deflated, after
}

// appendStored appends a stored block of deflate (RFC 1951, 3.2.4).
func appendStored(out []byte, final byte, text string) []byte {
	n := uint16(len(text))
	out = append(out, final)
	out = binary.LittleEndian.AppendUint16(out, n)
	out = binary.LittleEndian.AppendUint16(out, ^n)
	return append(out, text...)
}

// The parts of a zstd frame (RFC 8878, 3.1.1).
const (
	zstdMagic     = 0xFD2FB528
	singleSegment = 1 << 5
	hasChecksum   = 1 << 2
	hasDictionary = 3
	blockRLE      = 1
)

// zstdAround makes one zstd frame of head, the blocks of a frame, and tail: raw
// blocks before and behind them. A frame that has more than blocks, which ours do
// not, is left alone.
func zstdAround(head, frame []byte, tail string) (before, middle, after []byte) {
	blocks, window := zstdBlocks(frame)
	if blocks == nil || len(head) > 1<<10 || len(tail) > 1<<10 {
		return nil, nil, nil
	}
	exponent := 0
	for uint64(1)<<(10+exponent) < window {
		exponent++
	}
	before = binary.LittleEndian.AppendUint32(make([]byte, 0, 9+len(head)), zstdMagic)
	before = append(before, 0, byte(exponent<<3))
	before = appendRaw(before, 0, string(head))
	return before, blocks, appendRaw(nil, 1, tail)
}

// appendRaw appends a raw block of zstd.
func appendRaw(out []byte, last uint32, text string) []byte {
	h := uint32(len(text))<<3 | last
	return append(append(out, byte(h), byte(h>>8), byte(h>>16)), text...)
}

// zstdBlocks returns the blocks of a frame, none of them marked as the last, and
// the window they need; nil for a frame that has a checksum or a dictionary, or is
// followed by anything.
func zstdBlocks(frame []byte) (blocks []byte, window uint64) {
	if len(frame) < 6 || binary.LittleEndian.Uint32(frame) != zstdMagic || frame[4]&(hasChecksum|hasDictionary) != 0 {
		return nil, 0
	}
	descriptor, rest := frame[4], frame[5:]
	sizeLength := [4]int{0, 2, 4, 8}[descriptor>>6]
	if descriptor&singleSegment != 0 {
		sizeLength = max(sizeLength, 1)
	} else {
		base := uint64(1) << (10 + rest[0]>>3)
		window, rest = base+base/8*uint64(rest[0]&7), rest[1:]
	}
	if len(rest) < sizeLength {
		return nil, 0
	}
	if descriptor&singleSegment != 0 {
		var size [8]byte
		copy(size[:], rest[:sizeLength])
		if window = binary.LittleEndian.Uint64(size[:]); sizeLength == 2 {
			window += 256
		}
	}
	if window > 8<<20 { // RFC 9659
		return nil, 0
	}
	rest = rest[sizeLength:]
	for at := 0; at+3 <= len(rest); {
		h := uint32(rest[at]) | uint32(rest[at+1])<<8 | uint32(rest[at+2])<<16
		length := int(h >> 3)
		if h>>1&3 == blockRLE {
			length = 1
		}
		if h&1 == 0 {
			at += 3 + length
			continue
		}
		if at+3+length != len(rest) {
			return nil, 0
		}
		blocks = append([]byte(nil), rest...)
		blocks[at] &^= 1
		return blocks, window
	}
	return nil, 0
}
