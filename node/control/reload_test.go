package control

import (
	"errors"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/settings"
)

// heard returns the events and the entries of the trail that a call makes, as text.
func (s *Server) heard(t *testing.T, call func()) (events, trail []string) {
	t.Helper()
	before, err := s.host.Audit.Read(1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, last := s.host.Events.Since(0)
	call()
	happened, _ := s.host.Events.Since(last)
	for _, e := range happened {
		events = append(events, e.Subject+": "+e.Text)
	}
	after, err := s.host.Audit.Read(1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range after[:len(after)-len(before)] {
		trail = append(trail, e.Verb+" "+e.Outcome+" "+e.Subject)
	}
	return events, trail
}

func TestAConfigurationIsPutInForceAsOneBatch(t *testing.T) {
	s := door(t)
	r := s.host.Registry
	settings.Int(r, settings.Spec{Key: "a.start", Min: 1, Max: 9, Doc: "Start.", Restart: true}, 5)
	settings.Int(r, settings.Spec{Key: "a.flag", Min: 1, Max: 9, Doc: "Flag."}, 5)
	if err := r.Load(settings.SourceFlag, []settings.Change{{Key: "a.flag", Value: "4"}}); err != nil {
		t.Fatal(err)
	}
	admin := peer{name: "a", uid: 1, role: Admin}
	if status := s.ask(admin, "POST", "/v1/changes", `{"changes":[{"key":"a.high","value":"6"}],"revert_after":"1h"}`); status != 200 {
		t.Fatal(status)
	}
	value := func(key string) string {
		found, err := r.Get(key)
		if err != nil {
			t.Fatal(err)
		}
		return found.Text
	}
	file := func(pairs ...string) (out []settings.Change) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, settings.Change{Key: pairs[i], Value: pairs[i+1]})
		}
		return out
	}

	events, trail := s.heard(t, func() {
		if err := s.Configuration("/c.yaml", file("a.low", "7", "a.high", "8", "a.start", "2", "a.flag", "9"), nil, "SIGHUP"); err != nil {
			t.Error(err)
		}
	})
	last := events[len(events)-1]
	for _, want := range []string{"/c.yaml reloaded (SIGHUP): 1 changed", "a.high (on trial)", "a.start (read at start only)", "a.flag (decided by flag)"} {
		if !strings.Contains(last, want) {
			t.Errorf("%q does not say %q", last, want)
		}
	}
	if len(events) != 2 || len(trail) != 1 || trail[0] != "reload done a.low" {
		t.Errorf("%q %q", events, trail)
	}
	if value("a.low") != "7" || value("a.high") != "6" || value("a.start") != "5" || value("a.flag") != "4" {
		t.Error("what a stronger source decides has moved, or what it does not has not")
	}

	for name, again := range map[string]func() error{
		"a mistake in the file": func() error {
			return s.Configuration("/c.yaml", nil, errors.Join(errors.New("/c.yaml:1:1: bad"), errors.New("/c.yaml:2:3: worse")), "the file has changed")
		},
		"a value out of bounds": func() error { return s.Configuration("/c.yaml", file("a.low", "3", "a.high", "99"), nil, "SIGHUP") },
	} {
		events, trail := s.heard(t, func() {
			if again() == nil {
				t.Errorf("%s: no error", name)
			}
		})
		if len(events) != 1 || len(trail) != 1 || !strings.Contains(events[0], "refused, the values before go on") || !strings.HasPrefix(trail[0], "reload refused") {
			t.Errorf("%s: %q %q", name, events, trail)
		}
		if value("a.low") != "7" {
			t.Errorf("%s: %s", name, value("a.low"))
		}
	}

	events, trail = s.heard(t, func() {
		if err := s.Configuration("/c.yaml", file("a.low", "7", "a.high", "8", "a.flag", "9"), nil, "SIGHUP"); err != nil {
			t.Error(err)
		}
	})
	if len(events) != 1 || len(trail) != 1 || !strings.Contains(events[0], "nothing has changed") {
		t.Errorf("%q %q", events, trail)
	}
	// What the file does not name any more is the default again; what was on trial
	// goes back to what the file says.
	if err := s.Configuration("/c.yaml", file("a.high", "8"), nil, "SIGHUP"); err != nil {
		t.Error(err)
	}
	if status := s.ask(admin, "POST", "/v1/changes/last/revert", "{}"); status != 200 {
		t.Error(status)
	}
	if value("a.low") != "5" || value("a.high") != "8" {
		t.Errorf("a.low %s, a.high %s", value("a.low"), value("a.high"))
	}
}

func TestAHandoverTakesBackWhatIsOnTrialAndPassesOnWhatIsKept(t *testing.T) {
	s := door(t)
	admin := peer{name: "a", uid: 1, role: Admin}
	for _, body := range []string{`{"changes":[{"key":"a.low","value":"3"}]}`, `{"changes":[{"key":"a.high","value":"6"}],"revert_after":"1h"}`} {
		if status := s.ask(admin, "POST", "/v1/changes", body); status != 200 {
			t.Fatal(status)
		}
	}
	var live []settings.Change
	_, trail := s.heard(t, func() { live = s.HandOver(42) })
	if len(live) != 1 || live[0] != (settings.Change{Key: "a.low", Value: "3"}) {
		t.Errorf("%+v", live)
	}
	if strings.Join(trail, ", ") != "handover done , revert done a.high" {
		t.Errorf("%q", trail)
	}
	other := door(t).host.Registry // where a.mid is not known
	err := other.Inherit(append(live, settings.Change{Key: "a.mid", Value: "1"}))
	if found, _ := other.Get("a.low"); found.Text != "3" || found.Source != settings.SourceLive || err == nil || !strings.Contains(err.Error(), "a.mid") {
		t.Errorf("%+v %v", found, err)
	}
}
