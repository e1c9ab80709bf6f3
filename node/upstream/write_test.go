package upstream_test

import (
	"encoding/json"
	"testing"

	"github.com/bizra/bizra-top/node/upstream"
)

// A write that may not be made twice goes to another provider only where one has certainly
// not taken it in.
func TestOtherWritesAreMadeOnce(t *testing.T) {
	q := upstream.Question{Method: "eth_sendBundle", Params: json.RawMessage(`[{}]`)}
	for name, c := range map[string]struct {
		bad  answer
		goes bool
	}{
		"429": {plain(429), true}, "401": {plain(401), true}, "no method": {says(200, -32601, "Method not found"), true},
		"500": {plain(500), false}, "reset": {reset, false}, "verdict": {says(200, -32000, "nonce too low"), false}, "strange": {says(200, -32050, "the moon"), false},
	} {
		t.Run(name, func(t *testing.T) {
			r, asked := crowd(t, nil, c.bad, gives(`"0x1"`))
			_, err := r.Once(t.Context(), q)
			if (err == nil) != c.goes || asked[0].Load() != 1 || (asked[1].Load() == 1) != c.goes {
				t.Errorf("%v; asked %d and %d times", err, asked[0].Load(), asked[1].Load())
			}
		})
	}
	r := set(t, []string{"http://127.0.0.1:1", "http://127.0.0.1:1"}, nil)
	if _, err := r.Once(t.Context(), q); err == nil || r.Status()[1].Calls != 1 {
		t.Errorf("nobody listens at the first: %v", err)
	}
}
