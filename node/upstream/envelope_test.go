package upstream

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestADeepAnswerIsRefused(t *testing.T) {
	for depth, want := range map[int]bool{9_000: true, 11_000: false, 20 << 20: false} {
		deep := append(append([]byte(`{"id":1,"result":`), bytes.Repeat([]byte{'['}, depth)...), bytes.Repeat([]byte{']'}, depth)...)
		if _, ok := open(append(deep, '}')); ok != want {
			t.Errorf("%d brackets: %v", depth, ok)
		}
	}
}

// A control character before an escape was let through, and made what clients got no JSON.
func TestAControlCharacterInAStringIsRefused(t *testing.T) {
	for text, want := range map[string]bool{
		`"a\tb\u0003"`: true, "\"a\x03\"": false, "\"\x03\\b\"": false, "\"\\b\x03\"": false, "\"\n\\\"\"": false, "{\"\x1f\\n\":1}": false,
		" [ \"\\\\\" ,\n\t1 ] ": true,
	} {
		if _, ok := open([]byte(`{"id":1,"result":` + text + `}`)); ok != want {
			t.Errorf("%q: %v", text, ok)
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":7,"result":"0x1"}`, ` { "id" : 7 , "result" : { "a" : [ 1 , "}" , "\"" ] } , "error" : null } `,
		`{"id":7,"error":{"code":-32000,"message":"x\\"}}`, `{}`, `[]`, `{"id":`, `{"id":7}x`, `null`, `"x"`, `{"a":{},"b":[],"result":-1.5e3}`,
		`{"result":true,"result":false}`, "{\"\":\"\x03\\b\"}", `{"\u0069d":7}`, `{"x":"\\\\","id":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := open(data)
		var want map[string]json.RawMessage
		err := json.Unmarshal(data, &want)
		if ok != (err == nil && want != nil) {
			t.Fatalf("%q: %v, but %v", data, ok, err)
		}
		if !ok || bytes.Contains(data, []byte(`\`)) { // names are compared as written
			return
		}
		if null := want["error"]; string(null) == "null" {
			delete(want, "error")
		}
		for name, member := range map[string]json.RawMessage{"id": got.id, "result": got.result, "error": got.err} {
			if !bytes.Equal(member, want[name]) {
				t.Errorf("%q: %s is %q, not %q", data, name, member, want[name])
			}
		}
	})
}
