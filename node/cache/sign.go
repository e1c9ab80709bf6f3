package cache

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// errUnsigned says that an envelope is whole and nobody knows who wrote it.
var errUnsigned = errors.New("value without a known signature")

// keys are the secrets that nodes which share a Redis sign with: the first one signs, all
// are accepted, so that one can be replaced by another while nodes run. Without any,
// envelopes have a checksum, which tells damage and no forgery.
type keys [][]byte

// shortestSecret is the least length of a secret: what can be guessed signs nothing.
const shortestSecret = 16

func checkSecrets(list string) error {
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s != "" && len(s) < shortestSecret {
			return fmt.Errorf("a secret is shorter than %d characters; make one with: openssl rand -hex 32", shortestSecret)
		}
	}
	return nil
}

func keysOf(secrets []string) (k keys) {
	for _, s := range secrets {
		k = append(k, []byte(s))
	}
	return k
}

// sign completes an envelope.
func (k keys) sign(envelope []byte, place, key string) {
	if len(k) == 0 {
		envelope[3] &^= flagSigned
		clear(envelope[checksumAt:headerLength])
		binary.BigEndian.PutUint64(envelope[checksumAt:], checksum(place, key, envelope))
		return
	}
	envelope[3] |= flagSigned
	copy(envelope[checksumAt:headerLength], mac(k[0], place, key, envelope))
}

// verify says whether an envelope is whole and, where there are secrets, signed by one of
// them.
func (k keys) verify(envelope []byte, place, key string) error {
	if envelope[3]&flagSigned == 0 {
		var want [headerLength - checksumAt]byte
		binary.BigEndian.PutUint64(want[:], checksum(place, key, envelope))
		if !bytes.Equal(want[:], envelope[checksumAt:headerLength]) {
			return errCorrupt
		}
		if len(k) > 0 {
			return errUnsigned
		}
		return nil
	}
	for _, secret := range k {
		if hmac.Equal(mac(secret, place, key, envelope), envelope[checksumAt:headerLength]) {
			return nil
		}
	}
	return errUnsigned
}

// mac is the HMAC of an envelope. Lengths stand in front of what varies, so that no two
// envelopes are the same bytes.
func mac(secret []byte, place, key string, envelope []byte) []byte {
	h := hmac.New(sha256.New, secret)
	// A hash's writes cannot fail.
	for _, part := range []string{place, key} {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		_, _ = h.Write([]byte(part))
	}
	_, _ = h.Write(envelope[:checksumAt])
	_, _ = h.Write(envelope[headerLength:])
	return h.Sum(nil)
}

func checksum(place, key string, envelope []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	// Digest's writes cannot fail.
	_, _ = d.WriteString(place)
	_, _ = d.WriteString(key)
	_, _ = d.Write(envelope[:checksumAt])
	_, _ = d.Write(envelope[headerLength:])
	return d.Sum64()
}
