package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/bizra/bizra-top/node/monotonic"
)

func sealed(t testing.TB, key, body string) []byte {
	t.Helper()
	now := monotonic.Now()
	value, err := seal(&entry{key: key, class: Block, immutable: true, block: BlockRef{7, [32]byte{9}}, body: []byte(body), stored: now, expires: now + 1e9}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// again writes the checksum of a value that was tampered with, as someone would who
// can write to Redis.
func again(key string, value []byte) []byte {
	binary.BigEndian.PutUint64(value[checksumAt:], checksum("", key, value))
	return value
}

func TestEnvelopesSurvive(t *testing.T) {
	for _, body := range []string{"", "x", strings.Repeat("x", compressAbove), strings.Repeat(`{"a":1}`, 100_000)} {
		e, err := unseal("k", sealed(t, "k", body), nil, "")
		if err != nil || string(e.body) != body || e.class != Block || !e.immutable || e.block != (BlockRef{7, [32]byte{9}}) {
			t.Errorf("%d bytes: %+v, %v", len(body), e, err)
		}
	}
}

// bomb is a value with a right checksum whose payload unpacks to far more than
// anything that is stored.
func bomb(t testing.TB, claims uint32) []byte {
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 256 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	value := append(sealed(t, "k", "")[:headerLength:headerLength], packed.Bytes()...)
	value[1] = codecZstd
	binary.BigEndian.PutUint32(value[60:], claims)
	return again("k", value)
}

func TestWhatIsDoubtfulIsCorrupt(t *testing.T) {
	long := strings.Repeat(`{"hash":"0xabc","value":12}`, 100)
	good := sealed(t, "k", long)
	edit := func(at int, b byte) []byte {
		value := bytes.Clone(good)
		value[at] = b
		return again("k", value)
	}
	lengthen := bytes.Clone(good)
	binary.BigEndian.PutUint32(lengthen[60:], uint32(len(long)+1))
	backwards := bytes.Clone(good)
	binary.BigEndian.PutUint64(backwards[12:], 0)
	for name, value := range map[string][]byte{
		"nothing": nil, "cut in the header": good[:headerLength-1], "cut in the payload": good[:len(good)-1], "more": append(bytes.Clone(good), 0),
		"another version": edit(0, 1), "unknown codec": edit(1, 7), "raw that is packed": edit(1, codecRaw), "no class": edit(2, 0), "unknown class": edit(2, 200),
		"length": again("k", lengthen), "expires before it was stored": again("k", backwards),
		"of another key": sealed(t, "other", long), "bomb": bomb(t, 1<<20), "bomb that says so": bomb(t, 1<<30), "bomb at the bound": bomb(t, maxBody),
	} {
		if e, err := unseal("k", value, nil, ""); err == nil {
			t.Errorf("%s: believed: %d bytes", name, len(e.body))
		}
	}
}

// Ten thousand values, each damaged in one way: all are misses.
func TestTenThousandCorruptValues(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	good := [][]byte{sealed(t, "k", "short"), sealed(t, "k", strings.Repeat(`{"hash":"0xabc","value":12}`, 60))}
	kinds := map[string]func(value []byte) []byte{
		"truncated":   func(v []byte) []byte { return v[:random.IntN(len(v))] },
		"bit flipped": func(v []byte) []byte { v[random.IntN(len(v))] ^= 1 << random.IntN(8); return v },
		"version":     func(v []byte) []byte { v[0] = byte(random.IntN(256-4) + 4); return again("k", v) },
		"wrong key":   func(v []byte) []byte { return again(fmt.Sprint(random.Uint64()), v) },
		"bomb": func(v []byte) []byte {
			v = append(v[:headerLength:headerLength], bombs(random, v[60:64])...)
			v[1] = codecZstd
			return again("k", v)
		},
	}
	all := 0
	for name, damage := range kinds {
		misses := 0
		for i := range 2000 {
			if _, err := unseal("k", damage(bytes.Clone(good[i%len(good)])), nil, ""); err != nil {
				misses++
			}
		}
		if misses != 2000 {
			t.Errorf("%s: %d misses of 2000", name, misses)
		}
		all += misses
	}
	t.Logf("%d of %d corrupt values were misses", all, 2000*len(kinds))
}

// bombs returns a zstd frame of a few bytes that claims the length of what it
// stands for and unpacks to megabytes: run-length blocks of 128 KiB each (RFC 8878,
// 3.1.1.2).
func bombs(random *rand.Rand, length []byte) []byte {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 2 << 6, 11 << 3} // a size of 4 bytes, a window of 2 MiB
	for i := range length {
		frame = append(frame, length[len(length)-1-i])
	}
	for range 300 + random.IntN(200) {
		h := uint32(128<<10)<<3 | 1<<1
		frame = append(frame, byte(h), byte(h>>8), byte(h>>16), byte(random.IntN(256)))
	}
	return append(frame, 1, 0, 0)
}

func FuzzUnseal(f *testing.F) {
	f.Add("k", sealed(f, "k", "short"))
	f.Add("k", sealed(f, "k", strings.Repeat("long", 1000)))
	f.Add("k", bomb(f, 1<<20))
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		for _, v := range [][]byte{value, pad(key, value)} {
			if e, err := unseal(key, v, nil, ""); err == nil && (len(e.body) > maxBody || e.class == 0 || e.class >= classes) {
				t.Errorf("%d bytes of class %d", len(e.body), e.class)
			}
		}
	})
}

// pad makes a value of any bytes that gets past the first checks.
func pad(key string, value []byte) []byte {
	v := append(bytes.Clone(value), make([]byte, headerLength)...)
	v[0] = envelopeVersion
	return again(key, v)
}

// A value that was stored in the future, because this host's clock was set back since, was
// fresh until that future was over.
func TestAnEntryFromTheFutureLivesNoLonger(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Hour, 0, time.Hour, 24 * time.Hour} {
		value := sealed(t, "k", "body")
		for _, at := range []int{4, 12} { // stored, expires
			binary.BigEndian.PutUint64(value[at:], binary.BigEndian.Uint64(value[at:])+uint64(ahead.Milliseconds()))
		}
		e, err := unseal("k", again("k", value), nil, "")
		if err != nil {
			t.Fatal(err)
		}
		left := time.Duration(e.expires - monotonic.Now())
		if fresh := e.fresh(monotonic.Now()); fresh != (ahead >= 0) || left > time.Second {
			t.Errorf("stored %s ahead: fresh %v, for another %s", ahead, fresh, left)
		}
	}
}
