package silence_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"

	"github.com/bizra/bizra-top/alerts/silence"
)

func open(t *testing.T, path string) *silence.Store {
	t.Helper()
	s, err := silence.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func add(t *testing.T, s *silence.Store, span time.Duration, matchers ...string) silence.Silence {
	t.Helper()
	m, err := silence.Parse(matchers)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Add(silence.Silence{Matchers: m, EndsAt: time.Now().Add(span), Author: "ops", Comment: "deploy\x1b[31m"})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestMatchers(t *testing.T) {
	alert := model.LabelSet{"alertname": "PoolSaturated", "part": "db", "severity": "critical"}
	for text, want := range map[string]bool{
		`alertname=PoolSaturated`:                  true,
		`alertname="PoolSaturated"`:                true,
		`alertname=~"Pool.*"`:                      true,
		`alertname=~"Pool"`:                        false, // anchored
		`{alertname="PoolSaturated",part!="db"}`:   false,
		`part!="cache",severity=critical`:          true,
		`severity!~"info|warning",alertname=~".+"`: true,
		`alertname=PoolSaturated,nothing="there"`:  false,
		`alertname=PoolSaturated,nothing!="there"`: true,
	} {
		m, err := silence.Parse([]string{text})
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if m.Matches(alert) != want {
			t.Errorf("%s matches: %v", text, !want)
		}
	}
	for _, text := range []string{"", "{}", "alertname", `a=~"("`, `a=~".*"`, `a!="x"`, `a=""`, `="x"`, `a="x`, strings.Repeat("a", 2000) + "=b", strings.Repeat("a=b,", 40) + "a=b"} {
		if m, err := silence.Parse([]string{text}); !errors.Is(err, silence.ErrInvalid) {
			t.Errorf("%.40q was taken as %v, %v", text, m, err)
		}
	}
}

// Whatever is typed is refused or means the same when it is written again.
func FuzzParse(f *testing.F) {
	for _, text := range []string{`a=b`, `{a="b",c!~"d|e"}`, `"a b"="\n\""`, `a=~"(?i)x"`, `{`, `a=~"["`, "a=\xff", `""="0"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := silence.Parse([]string{text})
		if err != nil {
			return
		}
		again, err := silence.Parse([]string{m.String()})
		if err != nil {
			t.Fatalf("%q was written as %q: %v", text, m, err)
		}
		if again.String() != m.String() {
			t.Fatalf("%q was read as %q", m, again)
		}
	})
}

func TestASilenceBeginsAndEnds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, filepath.Join(dir, "s.json"))
		alert := model.LabelSet{"alertname": "A"}
		now := add(t, s, time.Hour, "alertname=A")
		m, _ := silence.Parse([]string{"alertname=A"})
		if _, err := s.Add(silence.Silence{Matchers: m, StartsAt: time.Now().Add(2 * time.Hour), EndsAt: time.Now().Add(3 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if by, ok := s.Silenced(alert); !ok || by.ID != now.ID || by.Author != "ops" || strings.ContainsRune(by.Comment, 0x1b) {
			t.Errorf("%+v, %v", by, ok)
		}
		if _, ok := s.Silenced(model.LabelSet{"alertname": "B"}); ok {
			t.Error("another alert is silenced")
		}
		for _, step := range []struct {
			after time.Duration
			want  bool
		}{{59 * time.Minute, true}, {time.Minute, false}, {time.Hour, true}, {time.Hour, false}} {
			time.Sleep(step.after)
			if _, ok := s.Silenced(alert); ok != step.want {
				t.Errorf("silenced: %v", ok)
			}
		}
		if list := s.List(); len(list) != 2 || list[0].State(time.Now()) != "expired" {
			t.Errorf("%+v", list)
		}
		time.Sleep(121 * time.Hour)
		if list := s.List(); len(list) != 0 {
			t.Errorf("not forgotten: %+v", list)
		}
	})
}

func TestRefusals(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s.json"))
	m, _ := silence.Parse([]string{"a=b"})
	for name, n := range map[string]silence.Silence{
		"no end":   {Matchers: m},
		"past":     {Matchers: m, EndsAt: time.Now().Add(-time.Hour)},
		"too long": {Matchers: m, EndsAt: time.Now().Add(400 * 24 * time.Hour)},
	} {
		if _, err := s.Add(n); !errors.Is(err, silence.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	one := add(t, s, time.Hour, "a=b")
	for _, id := range []string{"", one.ID[:3], "nothing"} {
		if _, err := s.Expire(id); !errors.Is(err, silence.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if ended, err := s.Expire(one.ID[:8]); err != nil || ended.ID != one.ID {
		t.Errorf("%+v, %v", ended, err)
	}
	if _, err := s.Expire(one.ID); !errors.Is(err, silence.ErrEnded) {
		t.Error(err)
	}
	if _, ok := s.Silenced(model.LabelSet{"a": "b"}); ok {
		t.Error("it silences after its end")
	}
}

// The number of silences is bounded: those that have ended make room, the others
// do not.
func TestSilencesAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.json")
	m, _ := silence.Parse([]string{"a=b"})
	full := map[string][]silence.Silence{"silences": nil}
	for i := range 1000 {
		full["silences"] = append(full["silences"], silence.Silence{ID: fmt.Sprintf("%04d", i), Matchers: m, EndsAt: time.Now().Add(time.Hour)})
	}
	data, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if _, err := s.Add(silence.Silence{Matchers: m, EndsAt: time.Now().Add(time.Hour)}); !errors.Is(err, silence.ErrFull) {
		t.Fatalf("the 1001st: %v", err)
	}
	if _, err := s.Expire("0007"); err != nil {
		t.Fatal(err)
	}
	add(t, s, time.Hour, "a=c")
	if n := len(s.List()); n != 1000 {
		t.Errorf("%d silences", n)
	}
}

func TestTheyAreThereAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts", "s.json")
	s := open(t, path)
	one := add(t, s, time.Hour, `part=~"db.*"`, `severity!="info"`)
	alert := model.LabelSet{"alertname": "A", "part": "db", "name": "x"}
	other := model.LabelSet{"alertname": "B"}
	for _, l := range []model.LabelSet{alert, other} {
		if _, err := s.Acknowledge(l, "ops", "on it"); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, path)
	if by, ok := s.Silenced(alert); !ok || by.ID != one.ID || by.Matchers.String() != one.Matchers.String() {
		t.Errorf("%+v", by)
	}
	if a, ok := s.Acknowledged(alert); !ok || a.Author != "ops" || a.Comment != "on it" || time.Since(a.Since) > time.Minute {
		t.Errorf("%+v, %v", a, ok)
	}
	if err := s.Retain(func(f model.Fingerprint) bool { return f == alert.Fingerprint() }); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	if _, ok := s.Acknowledged(other); ok {
		t.Error("the acknowledgement of an alert that is over came back")
	}
	if _, ok, err := s.Withdraw(alert.Fingerprint()); !ok || err != nil {
		t.Error(ok, err)
	}
	if _, ok := s.Acknowledged(alert); ok {
		t.Error("withdrawn, and still acknowledged")
	}
}

// A damaged file costs the silences, not the node.
func TestADamagedFileIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.json")
	if err := os.WriteFile(path, []byte(`{"silences":[{"id":"a","matchers":[{"name":"a","value":"(","isRegex":true,"isEqual":true}]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if list := s.List(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	if aside, err := filepath.Glob(path + ".damaged-*"); err != nil || len(aside) != 1 || s.Damage() == nil || !strings.Contains(s.Damage().Error(), aside[0]) {
		t.Error(err)
	}
	add(t, s, time.Hour, "a=b")
}

// What cannot be written is refused: nobody shall believe in a silence that a
// restart ends.
func TestWhatIsNotOnDiskIsNotInForce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.json")
	s := open(t, path)
	if err := os.Mkdir(path, 0o700); err != nil { // in the way
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m, _ := silence.Parse([]string{"a=b"})
	if _, err := s.Add(silence.Silence{Matchers: m, EndsAt: time.Now().Add(time.Hour)}); err == nil {
		t.Error("it was added")
	}
	if _, ok := s.Silenced(model.LabelSet{"a": "b"}); ok {
		t.Error("it silences")
	}
}
