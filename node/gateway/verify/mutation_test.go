package verify_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/gateway/verify"
)

// mutant is an answer changed in one place.
type mutant struct {
	place, kind string
	whole       json.RawMessage
}

// mutants changes an answer in every place: a value, a member or an element taken away,
// made null, added, or repeated in another case.
func mutants(t testing.TB, answer json.RawMessage) (out []mutant) {
	t.Helper()
	var root any
	decode := json.NewDecoder(bytes.NewReader(answer))
	decode.UseNumber()
	if err := decode.Decode(&root); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	emit := func(place, kind string) {
		whole, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, mutant{strings.TrimPrefix(place, "."), kind, whole})
	}
	var walk func(place string, value any, set func(any))
	walk = func(place string, value any, set func(any)) {
		try := func(kind string, other any) {
			set(other)
			emit(place, kind)
			set(value)
		}
		switch v := value.(type) {
		case map[string]any:
			try("wrong type", "0x1")
			v["someOtherMember"] = "0x1"
			emit(place, "unknown member")
			delete(v, "someOtherMember")
			for _, name := range slices.Sorted(maps.Keys(v)) {
				member := v[name]
				walk(place+"."+name, member, func(other any) { v[name] = other })
				delete(v, name)
				emit(place+"."+name, "missing")
				v[name] = nil
				if member != nil {
					emit(place+"."+name, "null")
				}
				v[name] = member
				v[strings.ToUpper(name)] = member // which Go reads in the place of the other
				v[name] = "0x1234"
				emit(place+"."+name, "in another case")
				delete(v, strings.ToUpper(name))
				v[name] = member
			}
		case []any:
			try("wrong type", "0x1")
			try("added", append(slices.Clone(v), any("0x"+strings.Repeat("ab", 32))))
			if len(v) > 0 {
				try("added", append(slices.Clone(v), v[0]))
			}
			for i := range v {
				try("element missing", slices.Delete(slices.Clone(v), i, i+1))
				walk(place+"[]", v[i], func(other any) { v[i] = other })
			}
			if len(v) > 1 {
				swapped := slices.Clone(v)
				if swapped[0], swapped[1] = v[1], v[0]; !same(v[0], v[1]) {
					try("order", swapped)
				}
			}
		case string:
			try("changed", flipped(v))
			try("wrong type", map[string]any{})
		case bool:
			try("changed", !v)
		case nil:
			try("changed", "0x"+strings.Repeat("11", 20))
		default:
			t.Fatalf("%s is a %T", place, value)
		}
	}
	walk("", root, func(other any) { root = other })
	return out
}

func same(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// flipped changes the last digit of a hexadecimal string.
func flipped(text string) string {
	last, err := strconv.ParseUint(text[len(text)-1:], 16, 8)
	if text == "0x" || err != nil {
		return text + "01"
	}
	return text[:len(text)-1] + strconv.FormatUint(last^1, 16)
}

// harmless says that a mutant says nothing else than the answer: it says less, or nothing
// in a place where nothing was said.
func harmless(m mutant) bool {
	last := m.place[strings.LastIndexByte(m.place, '.')+1:]
	if m.kind != "missing" && m.kind != "null" {
		return false
	}
	// The first are null, or need not be there; the others follow from what is there.
	return slices.Contains([]string{
		"to", "contractAddress", "blockTimestamp", "removed", "chainId", "yParity", "v", "gasPrice", "type", "blobGasPrice", "storageProof",
	}, last)
}

func TestAMutantIsNeverProved(t *testing.T) {
	r := newRig(t, busy)
	p := r.prover(t)
	refuted, unproved := 0, 0
	for _, q := range r.questions(t) {
		honest := r.answer(t, q.method, q.params...)
		all := mutants(t, honest.Result)
		step := 1 + len(all)/200
		if os.Getenv("BIZRA_TEST_LONG") == "1" {
			step = 1
		}
		for i := 0; i < len(all); i += step {
			m, a := all[i], honest
			a.Result = m.whole
			switch f := p.Prove(t.Context(), a); {
			case f.Status == verify.Proved && !harmless(m):
				t.Errorf("%s %v: %s %s: proved: %.300s", q.method, q.params, m.place, m.kind, m.whole)
			case f.Status == verify.Refuted:
				refuted++
			default:
				unproved++
			}
			if i == 0 { // what was false before must not be remembered
				if f := p.Prove(t.Context(), honest); f.Status != verify.Proved {
					t.Errorf("%s: %s", q.method, f.Reason)
				}
			}
		}
	}
	t.Logf("%d refuted, %d unproved", refuted, unproved)
	if refuted < unproved {
		t.Error("most lies are lies")
	}
}
