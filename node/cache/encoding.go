package cache

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Encoding is a way to make a body smaller.
type Encoding uint8

// The encodings. Both are without header and end, so that a few bytes can be put
// before and behind them without encoding the body again.
const (
	// Zstd is one zstd frame without checksum.
	Zstd Encoding = iota
	// Deflate is raw deflate, ended by an empty block that is not the last.
	Deflate
	encodings
)

// encodeAbove is the least body that is worth encoding for a client: below, what
// is saved is less than the packet that is sent anyway.
const encodeAbove = 2 << 10

var encoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		// Bodies are told from damaged ones by the envelope's checksum. RFC 9659
		// allows no larger window in HTTP.
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(maxWindow))
	if err != nil {
		panic(err) // only wrong options can do this
	}
	return e
}}

// maxWindow bounds the memory a reader of a zstd frame needs.
const maxWindow = 8 << 20

var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBody))
	if err != nil {
		panic(err) // only wrong options can do this
	}
	return d
}}

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // only a wrong level can do this
	}
	return w
}}

// encoded returns the body in an encoding, nil when that is not smaller.
func (e *entry) encoded(as Encoding) []byte {
	if len(e.body) < encodeAbove {
		return nil
	}
	if p := e.encodings[as].Load(); p != nil {
		return *p
	}
	var out []byte
	switch as {
	case Zstd:
		out = compress(e.body, nil)
	case Deflate:
		out = deflate(e.body)
	}
	if len(out) >= len(e.body) {
		out = nil
	}
	out = fitted(out)
	e.encodings[as].Store(&out)
	if out != nil && e.owner != nil {
		e.owner.reweigh(e)
	}
	return out
}

// fitted returns data without the room behind them, where that is worth a copy: what is
// kept is weighed by its length.
func fitted(data []byte) []byte {
	if cap(data)-len(data) > len(data)/32 {
		return bytes.Clone(data)
	}
	return data
}

// compress appends body as a zstd frame to out.
func compress(body, out []byte) []byte {
	e := encoders.Get().(*zstd.Encoder)
	defer encoders.Put(e)
	return e.EncodeAll(body, out)
}

type growing struct{ data []byte }

func (g *growing) Write(p []byte) (int, error) {
	g.data = append(g.data, p...)
	return len(p), nil
}

func deflate(body []byte) []byte {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	out := &growing{make([]byte, 0, len(body)/3)}
	w.Reset(out)
	// Writes to memory cannot fail.
	_, _ = w.Write(body)
	_ = w.Flush()
	return out.data
}
