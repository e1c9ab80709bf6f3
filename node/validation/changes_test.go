package validation_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// change is one lie.
type change struct {
	place string // "transactions[].from"
	kind  string // changed, missing, wrong type, added
	whole json.RawMessage
	own   bool // in the part about the transaction asked for
}

// changes makes every lie about an answer. own marks the parts that are about
// the transaction with a hash.
func changes(t *testing.T, answer json.RawMessage, hash string) []change {
	t.Helper()
	return someChanges(t, answer, hash, 1)
}

// someChanges makes every step-th lie about an answer.
func someChanges(t *testing.T, answer json.RawMessage, hash string, step int) []change {
	t.Helper()
	var root any
	decode := json.NewDecoder(bytes.NewReader(answer))
	decode.UseNumber()
	if err := decode.Decode(&root); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	var out []change
	own, places := false, 0
	emit := func(place, kind string) {
		if places++; places%step != 0 {
			return
		}
		whole, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, change{strings.TrimPrefix(place, "."), kind, whole, own})
	}
	// walk changes value, which set puts back into its parent, and all below it.
	var walk func(place string, value any, set func(any))
	walk = func(place string, value any, set func(any)) {
		try := func(kind string, other any) {
			set(other)
			emit(place, kind)
			set(value)
		}
		switch v := value.(type) {
		case map[string]any:
			if slices.Contains([]any{v["hash"], v["transactionHash"]}, any(hash)) {
				own = true
				defer func() { own = false }()
			}
			if place != "" {
				try("wrong type", "0x1")
			}
			v["someOtherMember"] = "0x1"
			emit(place+".(unknown member)", "added")
			delete(v, "someOtherMember")
			for _, name := range slices.Sorted(maps.Keys(v)) {
				member := v[name]
				walk(place+"."+name, member, func(other any) { v[name] = other })
				if empty(member) {
					continue // what says nothing is not missed
				}
				delete(v, name)
				emit(place+"."+name, "missing")
				v[name] = nil
				emit(place+"."+name, "missing")
				v[name] = member
			}
		case []any:
			try("wrong type", "0x1")
			extra := any("0x" + strings.Repeat("ab", 32))
			if len(v) > 0 {
				extra = v[len(v)-1]
			}
			try("added", append(slices.Clone(v), extra))
			for i := range v {
				try("element missing", slices.Delete(slices.Clone(v), i, i+1))
				walk(place+"[]", v[i], func(other any) { v[i] = other })
			}
		case string:
			try("changed", flipped(v))
			try("wrong type", map[string]any{})
		case bool:
			try("changed", !v)
			try("wrong type", "maybe")
		case json.Number:
			try("changed", json.Number(v+"1"))
			try("wrong type", map[string]any{})
		case nil:
			try("changed", "0x"+strings.Repeat("11", 20))
			try("wrong type", map[string]any{})
		default:
			t.Fatalf("%s is a %T", place, value)
		}
	}
	walk("", root, func(other any) { root = other })
	return out
}

func empty(v any) bool {
	list, ok := v.([]any)
	return v == nil || ok && len(list) == 0
}

// flipped changes the last digit of a hexadecimal string.
func flipped(text string) string {
	if text == "0x" {
		return "0x01"
	}
	last, err := strconv.ParseUint(text[len(text)-1:], 16, 8)
	if err != nil {
		return text + "1"
	}
	return text[:len(text)-1] + strconv.FormatUint(last^1, 16)
}
