package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/validation"
)

// Warm loads one thing anew into the cache, whatever it holds. It is named as the
// cache does, or in words: "block finalized", "address 0x…", "transaction 0x…" for
// a verdict, and a method with its parameters, "eth_getBalance 0x… latest", for an
// answer of the gateway.
func (s *Server) Warm(ctx context.Context, name string) error {
	first, rest, _ := strings.Cut(name, " ")
	if class, ok := classOf[validation.Kind(first)]; ok {
		kind := validation.Kind(first)
		subject, err := canonicalSubject(kind, strings.TrimSpace(rest))
		if err != nil {
			return err
		}
		return s.verdicts.cache.Refresh(ctx, class, verdictKey(kind, subject), s.verdicts.loader(kind, subject))
	}
	text := wordsToParams(rest)
	if i := strings.IndexByte(name, '['); i > 0 && !strings.Contains(name[:i], " ") {
		first, text = name[:i], name[i:]
	}
	m, ok := s.gateway.methods[first]
	if ok && m.local != notLocal {
		return nil // the node knows it
	}
	if !ok || m.once || !m.keep {
		return fmt.Errorf("%s is neither a subject nor a method whose answers are kept", printable.Clean(first, 60))
	}
	params, err := fastjson.Parse(text)
	if err != nil {
		return fmt.Errorf("the parameters of %s are not JSON", first)
	}
	key, ok := appendKey(nil, request{method: []byte(first), params: params})
	if !ok {
		return fmt.Errorf("the parameters of %s are not an array", first)
	}
	return s.gateway.cache.Refresh(ctx, m.class, string(key), s.gateway.loader(m, first, json.RawMessage(key[len(first):])))
}

// wordsToParams turns words into a JSON array: true, false, null and numbers stay
// what they are, everything else is a string.
func wordsToParams(words string) string {
	out := []byte{'['}
	for i, word := range strings.Fields(words) {
		if i > 0 {
			out = append(out, ',')
		}
		if fastjson.Validate(word) == nil && word[0] != '"' {
			out = append(out, word...)
		} else {
			out = appendString(out, []byte(word))
		}
	}
	return string(append(out, ']'))
}
