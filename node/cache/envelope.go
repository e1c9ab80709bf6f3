package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
)

// A value in Redis is an envelope:
//
//	0      version, 1
//	1      codec: 0 raw, 1 zstd
//	2..9   stored at, Unix milliseconds
//	10..17 expires at, Unix milliseconds
//	18..21 length of the body before compression
//	22..29 xxhash64 of the key, bytes 0..21 and the payload
//	30..   payload
//
// All integers are big-endian. The key is part of the checksum, so a value that
// stands under another key is not believed.
const (
	envelopeVersion = 1
	codecRaw        = 0
	codecZstd       = 1
	headerLength    = 30

	// compressAbove: measured on block and receipt JSON, below this zstd saves
	// less than the header it adds is worth.
	compressAbove = 512
	// maxBody bounds what is stored and what a value may claim to unpack to.
	maxBody = 32 << 20
)

var errCorrupt = errors.New("corrupt value")

var encoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err) // only wrong options can do this
	}
	return e
}}

var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBody))
	if err != nil {
		panic(err) // only wrong options can do this
	}
	return d
}}

func seal(key string, body []byte, stored, expires time.Time) ([]byte, error) {
	if len(body) > maxBody {
		return nil, fmt.Errorf("body of %d bytes is over the bound of %d", len(body), maxBody)
	}
	out := make([]byte, headerLength, headerLength+len(body))
	out[0] = envelopeVersion
	binary.BigEndian.PutUint64(out[2:], uint64(stored.UnixMilli()))
	binary.BigEndian.PutUint64(out[10:], uint64(expires.UnixMilli()))
	binary.BigEndian.PutUint32(out[18:], uint32(len(body)))
	if len(body) < compressAbove {
		out = append(out, body...)
	} else {
		e := encoders.Get().(*zstd.Encoder)
		out = e.EncodeAll(body, out)
		encoders.Put(e)
		out[1] = codecZstd
	}
	binary.BigEndian.PutUint64(out[22:], checksum(key, out))
	return out, nil
}

// unseal returns the body and when it expires; any doubt is errCorrupt.
func unseal(key string, value []byte) ([]byte, time.Time, error) {
	if len(value) < headerLength || value[0] != envelopeVersion ||
		binary.BigEndian.Uint64(value[22:]) != checksum(key, value) {
		return nil, time.Time{}, errCorrupt
	}
	expires := time.UnixMilli(int64(binary.BigEndian.Uint64(value[10:])))
	length, payload := binary.BigEndian.Uint32(value[18:]), value[headerLength:]
	if length > maxBody {
		return nil, time.Time{}, errCorrupt
	}
	body := payload
	switch value[1] {
	case codecRaw:
	case codecZstd:
		d := decoders.Get().(*zstd.Decoder)
		var err error
		body, err = d.DecodeAll(payload, make([]byte, 0, length))
		decoders.Put(d)
		if err != nil {
			return nil, time.Time{}, errCorrupt
		}
	default:
		return nil, time.Time{}, errCorrupt
	}
	if uint32(len(body)) != length {
		return nil, time.Time{}, errCorrupt
	}
	return body, expires, nil
}

func checksum(key string, value []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	// Digest's writes cannot fail.
	_, _ = d.WriteString(key)
	_, _ = d.Write(value[:22])
	_, _ = d.Write(value[headerLength:])
	return d.Sum64()
}
