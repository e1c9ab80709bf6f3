package verify_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/gateway/verify"
)

// within says that one answer says nothing that the other does not: members may be left out.
func within(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		for name, value := range a {
			ok = ok && (value == nil || within(value, b[name]))
		}
		return ok
	case []any:
		b, ok := b.([]any)
		ok = ok && len(a) == len(b)
		for i := range a {
			ok = ok && within(a[i], b[i])
		}
		return ok
	case json.Number:
		n, err := strconv.ParseUint(a.String(), 10, 64)
		return err == nil && within("0x"+strconv.FormatUint(n, 16), b)
	case string:
		text, ok := b.(string)
		return ok && strings.EqualFold(a, text)
	}
	return a == b
}

func decoded(raw json.RawMessage) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// FuzzProve changes honest answers in any way: what is proved says what the honest one says.
func FuzzProve(f *testing.F) {
	r := newRig(f, busy)
	var honest []verify.Answer
	for _, q := range r.questions(f) {
		honest = append(honest, r.answer(f, q.method, q.params...))
	}
	for i := range honest {
		f.Add(uint8(i), uint32(10), uint32(1), []byte("1"))
	}
	f.Add(uint8(0), uint32(1), uint32(0), []byte(`"HASH":"0x00",`))
	f.Add(uint8(0), uint32(1), uint32(0), []byte(`"hash":"0x00",`))
	f.Add(uint8(0), uint32(0), uint32(1<<20), []byte(`null`))
	p := r.prover(f)
	f.Fuzz(func(t *testing.T, which uint8, at, cut uint32, put []byte) {
		a := honest[int(which)%len(honest)]
		whole := string(a.Result)
		start := int(at) % (len(whole) + 1)
		end := min(len(whole), start+int(cut%(1<<16)))
		changed := a
		changed.Result = json.RawMessage(whole[:start] + string(put) + whole[end:])
		if p.Prove(t.Context(), changed).Status != verify.Proved {
			return
		}
		got, err := decoded(changed.Result)
		want, _ := decoded(a.Result)
		if err != nil || !within(got, want) {
			t.Errorf("%s: proved: %q in the place of %q", a.Method, put, whole[start:end])
		}
	})
}
