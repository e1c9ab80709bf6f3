package settings_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/settings"
)

// A mistake in a list is told at the line of the item, each of them; one that only the
// list as a whole shows, at the item with which it begins.
func TestAMistakeInAListIsToldAtItsItem(t *testing.T) {
	r := settings.NewRegistry()
	settings.List(r, settings.Spec{Key: "names", Doc: "Names.", Check: func(list string) error {
		seen := map[string]bool{}
		for name := range strings.SplitSeq(list, ",") {
			if strings.Contains(name, "bad") {
				return errors.New(name + " is bad")
			}
			if name != "" && seen[name] {
				return errors.New(name + " is given twice")
			}
			seen[name] = true
		}
		return nil
	}}, nil)
	for text, want := range map[string][]string{
		"names:\n  - a\n  - bad1\n  - b\n  - bad2\n":  {"f.yaml:3:5: names: bad1 is bad", `f.yaml:5:5: names: "bad2" is wrong too`},
		"names:\n  - a\n  - b\n  - a\n":               {"f.yaml:4:5: names: a is given twice"},
		"names: [a, b, a]\n":                          {"f.yaml:1:15: names: a is given twice"},
		"names: a,bad\n":                              {"f.yaml:1:1: names: bad is bad"},
		"nmes:\n  - a\n":                              {"f.yaml:1:1: nmes"},
		"\ufeffnames:\n  - bad\n":                     {"f.yaml:2:5: names: bad is bad"},
		"\xff\xfen\x00a\x00m\x00e\x00s\x00:\x00 \x00": {"f.yaml: is written in UTF-16; save it as UTF-8"},
	} {
		_, err := r.ParseYAML("f.yaml", []byte(text))
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %v, want %s", text, err, w)
			}
		}
	}
}

// A byte order mark, which some editors write, is no mistake.
func TestAByteOrderMarkIsAccepted(t *testing.T) {
	r := settings.NewRegistry()
	settings.Int(r, settings.Spec{Key: "pool.limit", Min: 1, Max: 64, Doc: "Limit."}, 8)
	for _, text := range []string{"\ufeffpool.limit: 12\n", "\ufeff# comment\npool:\n  limit: 12\n", "\ufeff"} {
		changes, err := r.ParseYAML("f.yaml", []byte(text))
		if err != nil || len(changes) != min(1, strings.Count(text, "12")) {
			t.Errorf("%q: %v %v", text, changes, err)
		}
	}
}

// The default of a setting is the one in force: a demo has others than a node.
func TestTheDefaultIsTheOneInForce(t *testing.T) {
	r := settings.NewRegistry()
	settings.Int(r, settings.Spec{Key: "pool.limit", Min: 1, Max: 64, Doc: "Limit."}, 8)
	if err := r.Load(settings.SourceDefault, []settings.Change{{Key: "pool.limit", Value: "5"}}); err != nil {
		t.Fatal(err)
	}
	s, err := r.Get("pool.limit")
	if err != nil || s.Text != "5" || s.Default != "5" || s.Source != settings.SourceDefault {
		t.Errorf("%+v %v", s, err)
	}
}
