package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/bizra/bizra-top/node/monotonic"
)

// A value in Redis, or in the file of a warm start, is an envelope:
//
//	0      version, 3
//	1      codec: 0 raw, 1 zstd
//	2      class
//	3      flags: 1 immutable, 2 signed, 4 by a quorum, without proof
//	4..11  stored at, Unix milliseconds
//	12..19 expires at, Unix milliseconds
//	20..27 number of the block it rests on
//	28..59 hash of that block, zero for none
//	60..63 length of the body before compression
//	64..95 HMAC-SHA256 of where it stands, its key, bytes 0..63 and the payload; of one
//	       that is not signed, their xxhash64 and zeros
//	96..   payload
//
// All integers are big-endian. The key is part of the checksum, so a value that
// stands under another key, or in another chain's part of Redis, is not believed.
const (
	envelopeVersion = 3
	envelopeClass   = 2 // where the class is
	codecRaw        = 0
	codecZstd       = 1
	flagImmutable   = 1
	flagSigned      = 2
	flagAgreed      = 4
	checksumAt      = 64
	headerLength    = 96

	// compressAbove: measured on block and receipt JSON, below this zstd saves
	// less than the header it adds is worth.
	compressAbove = 512
	// maxBody bounds what is stored and what a value may claim to unpack to.
	maxBody = 32 << 20
)

var errCorrupt = errors.New("corrupt value")

// seal writes an entry as an envelope that stands at a place, signed by k where that has
// secrets. The frame it makes is kept with the entry, for clients that take it as it is.
func seal(e *entry, k keys, place string) ([]byte, error) {
	if len(e.body) > maxBody {
		return nil, fmt.Errorf("body of %d bytes is over the bound of %d", len(e.body), maxBody)
	}
	out := make([]byte, headerLength, headerLength+len(e.body))
	out[0], out[envelopeClass] = envelopeVersion, byte(e.class)
	if e.immutable {
		out[3] = flagImmutable
	}
	if e.trust == Agreed {
		out[3] |= flagAgreed
	}
	wall := sinceEpoch()
	binary.BigEndian.PutUint64(out[4:], uint64((wall+e.stored)/1e6))
	binary.BigEndian.PutUint64(out[12:], uint64((wall+e.expires)/1e6))
	binary.BigEndian.PutUint64(out[20:], e.block.Number)
	copy(out[28:], e.block.Hash[:])
	binary.BigEndian.PutUint32(out[60:], uint32(len(e.body)))
	switch frame := e.encodings[Zstd].Load(); {
	case len(e.body) < compressAbove:
		out = append(out, e.body...)
	case frame != nil && len(*frame) > 0:
		out[1] = codecZstd
		out = append(out, *frame...)
	default:
		out[1] = codecZstd
		out = compress(e.body, out)
		if made := out[headerLength:]; len(e.body) >= encodeAbove && len(made) < len(e.body) {
			made = bytes.Clone(made) // not the room that the whole body would have taken
			e.encodings[Zstd].Store(&made)
			if e.owner != nil {
				e.owner.reweigh(e)
			}
		}
	}
	k.sign(out, place, e.key)
	return out, nil
}

// sinceEpoch is when the process began, in Unix nanoseconds by the wall clock as it stands
// now: what turns an entry's times, which do not jump, into those of an envelope, which
// other processes read.
func sinceEpoch() int64 {
	now := time.Now()
	return now.UnixNano() - monotonic.Of(now)
}

// date gives the entry its times from those of an envelope. One that was stored in the
// future, by another clock or before this one was set back, is as good as new and lives no
// longer than that.
func (e *entry) date(stored, expires int64) {
	wall, now := sinceEpoch(), monotonic.Now()
	e.stored = min(stored-wall, now)
	e.expires = e.stored + expires - stored
	e.until = e.expires
}

// unseal reads the envelope of a key that stands at a place; any doubt is errCorrupt, and
// errUnsigned where k has secrets and none of them signed it. The entry may have expired.
func unseal(key string, value []byte, k keys, place string) (*entry, error) {
	if len(value) < headerLength || value[0] != envelopeVersion {
		return nil, errCorrupt
	}
	if err := k.verify(value, place, key); err != nil {
		return nil, err
	}
	e := &entry{key: key, class: Class(value[envelopeClass]), immutable: value[3]&flagImmutable != 0}
	if value[3]&flagAgreed != 0 {
		e.trust = Agreed
	}
	stored := int64(binary.BigEndian.Uint64(value[4:])) * int64(time.Millisecond)
	expires := int64(binary.BigEndian.Uint64(value[12:])) * int64(time.Millisecond)
	e.block.Number = binary.BigEndian.Uint64(value[20:])
	copy(e.block.Hash[:], value[28:])
	length, payload := binary.BigEndian.Uint32(value[60:]), value[headerLength:]
	if length > maxBody || e.class == 0 || e.class >= classes || stored < 0 || expires < stored {
		return nil, errCorrupt
	}
	e.date(stored, expires)
	switch value[1] {
	case codecRaw:
		e.body = payload
	case codecZstd:
		// A frame that says how long its content is is not unpacked further.
		var frame zstd.Header
		if err := frame.Decode(payload); err != nil || !frame.HasFCS || frame.FrameContentSize != uint64(length) {
			return nil, errCorrupt
		}
		d := decoders.Get().(*zstd.Decoder)
		var err error
		// Room is made for what the frame may really hold, not for what it claims.
		e.body, err = d.DecodeAll(payload, make([]byte, 0, min(int(length), 64*len(payload)+1024)))
		decoders.Put(d)
		if err != nil {
			return nil, errCorrupt
		}
		e.body = fitted(e.body)
		if len(e.body) >= encodeAbove && len(payload) < len(e.body) {
			e.encodings[Zstd].Store(&payload)
		}
	default:
		return nil, errCorrupt
	}
	if uint32(len(e.body)) != length {
		return nil, errCorrupt
	}
	return e, nil
}
