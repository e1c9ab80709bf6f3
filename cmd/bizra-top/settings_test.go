package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/settings"
)

// wrongTexts are values that no numeric setting takes.
var wrongTexts = []string{"NaN", "+Inf", "-Inf", "", " ", "1e400", "0x", "many", "1.2.3", "true;", "\x1b[2J", "９", "1,5", strings.Repeat("9", 400)}

// TestEverySettingKeepsItsBounds sets each setting to its bounds, a step beyond
// each, and to what is no value of its kind. What is taken reads back as it was
// given, and setting what was read changes nothing; what is refused changes nothing.
func TestEverySettingKeepsItsBounds(t *testing.T) {
	asked := 0
	for _, s := range declareAll().registry.All() {
		if s.Restart {
			r := declareAll().registry
			if _, err := r.Apply([]settings.Change{{Key: s.Key, Value: s.Default}}); err == nil || !strings.Contains(err.Error(), "at start only") {
				t.Errorf("%s is read at start, and yet was changed: %v", s.Key, err)
			}
			continue
		}
		set := func(text string) (before, after settings.Setting, err error) {
			r := declareAll().registry
			before, _ = r.Get(s.Key)
			_, err = r.Apply([]settings.Change{{Key: s.Key, Value: text}})
			after, _ = r.Get(s.Key)
			if err == nil && !s.Secret { // GET, SET, GET
				if _, again := r.Apply([]settings.Change{{Key: s.Key, Value: after.Text}}); again != nil {
					t.Errorf("%s reads %q, and cannot be set to it: %v", s.Key, after.Text, again)
				} else if last, _ := r.Get(s.Key); last.Text != after.Text || last.Number != after.Number {
					t.Errorf("%s reads %q after it was set to %q", s.Key, last.Text, after.Text)
				}
			}
			asked++
			return before, after, err
		}
		refused := func(text string) {
			if before, after, err := set(text); err == nil || after.Text != before.Text || after.Number != before.Number {
				t.Errorf("%s takes %q (%v)", s.Key, text, err)
			}
		}
		numeric := s.Numeric && s.Kind != settings.KindBool
		switch {
		case numeric:
			step := s.Step
			if step == 0 {
				step = math.Max(1, s.Max/20)
			}
			for _, bound := range []struct{ at, beyond float64 }{{s.Min, s.Min - step}, {s.Max, s.Max + step}} {
				text := settings.FormatNumber(s.Kind, bound.at)
				// A relation to another setting may refuse a bound that is one by itself.
				if _, after, err := set(text); err == nil && after.Number != bound.at {
					t.Errorf("%s was set to %s and is %v", s.Key, text, after.Number)
				} else if err != nil && strings.Contains(err.Error(), "outside") {
					t.Errorf("%s refuses its bound %s: %v", s.Key, text, err)
				}
				refused(settings.FormatNumber(s.Kind, bound.beyond))
			}
			for _, text := range wrongTexts {
				refused(text)
			}
		case s.Kind == settings.KindBool || s.Kind == settings.KindEnum:
			refused("neither")
			refused("")
			for _, choice := range s.Choices {
				if _, after, err := set(choice); err != nil || after.Text != choice {
					t.Errorf("%s refuses %q: %v", s.Key, choice, err)
				}
			}
		default:
			refused("a\x1b[2Jb")
			refused("a\nb")
		}
	}
	t.Logf("%d values were tried", asked)
}

// TestAFailingApplyRestoresTheWholeBatch has what reacts to one setting fail, for
// each setting in turn, in a batch that changes them all: every one is as before,
// and what had reacted already has reacted again.
func TestAFailingApplyRestoresTheWholeBatch(t *testing.T) {
	batch := func() (changes []settings.Change) {
		for _, s := range declareAll().registry.All() {
			if s.Restart || !s.Numeric || s.Secret {
				continue
			}
			var text string
			if s.Kind == settings.KindBool {
				text = fmt.Sprint(s.Number == 0)
			} else if more := s.Number + math.Max(s.Step, 0.01); s.Kind == settings.KindInt || more > s.Max {
				text = settings.FormatNumber(s.Kind, math.Min(s.Max, s.Number+1))
			} else {
				text = settings.FormatNumber(s.Kind, more)
			}
			changes = append(changes, settings.Change{Key: s.Key, Value: text})
		}
		return changes
	}()
	if len(batch) < 100 {
		t.Fatalf("only %d settings are in the batch", len(batch))
	}
	all := declareAll().registry
	if applied, err := all.Apply(batch); err != nil || len(applied) != len(batch) {
		t.Fatalf("the batch does not apply as it is: %v", err)
	}
	for _, failing := range batch {
		r := declareAll().registry
		before := r.All()
		seen := map[string]int{}
		for _, c := range batch {
			r.OnChange(func() error {
				seen[c.Key]++
				if now, _ := r.Get(c.Key); c.Key == failing.Key && now.Text != find(before, c.Key).Text {
					return fmt.Errorf("%s cannot be put in force", c.Key)
				}
				return nil
			}, c.Key)
		}
		if _, err := r.Apply(batch); err == nil || !strings.Contains(err.Error(), failing.Key+" cannot") {
			t.Fatalf("%s: %v", failing.Key, err)
		}
		for i, s := range r.All() {
			if s.Text != before[i].Text || s.Number != before[i].Number || s.Source != before[i].Source {
				t.Errorf("after %s failed, %s is %s, was %s", failing.Key, s.Key, s.Text, before[i].Text)
			}
		}
		for key, n := range seen {
			if n != 2 {
				t.Errorf("after %s failed, what reacts to %s was called %d times, not to apply and to restore", failing.Key, key, n)
			}
		}
	}
}

func find(all []settings.Setting, key string) settings.Setting {
	return all[slices.IndexFunc(all, func(s settings.Setting) bool { return s.Key == key })]
}
