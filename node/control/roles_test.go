package control

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/settings"
)

type noSilences struct{}

func (noSilences) Silences() []Silence                                { return nil }
func (noSilences) AddSilence(SilenceRequest, string) (Silence, error) { return Silence{}, nil }
func (noSilences) ExpireSilence(string) (Silence, error)              { return Silence{}, nil }
func (noSilences) Acknowledge(AcknowledgeRequest, string) (Alert, error) {
	return Alert{}, nil
}
func (noSilences) Withdraw(string) (Alert, error) { return Alert{}, nil }

type noDrill struct{}

func (noDrill) Drill() Drill                         { return Drill{} }
func (noDrill) StartLoad(LoadRequest, string) error  { return nil }
func (noDrill) StopLoad() (what string, err error)   { return "", nil }
func (noDrill) SetFault(string, string) error        { return nil }
func (noDrill) Lift(string) (what []string, e error) { return nil, nil }

type blind struct{ Past }

func (blind) Panels() []Panel   { return nil }
func (blind) Latest() time.Time { return time.Now() }
func (blind) AlertsBetween(context.Context, time.Time, time.Time) ([]Event, time.Time, error) {
	return nil, time.Time{}, nil
}
func (blind) Now(context.Context) map[string][]Value { return nil }
func (blind) History(context.Context, time.Duration, time.Duration) (map[string][]Series, error) {
	return nil, nil
}

// door returns a server whose peers the caller makes up.
func door(t *testing.T) *Server {
	t.Helper()
	r := settings.NewRegistry()
	settings.Int(r, settings.Spec{Key: "a.low", Min: 1, Max: 9, Doc: "Low.", Risk: settings.RiskLow}, 5)
	settings.Int(r, settings.Spec{Key: "a.high", Min: 1, Max: 9, Doc: "High.", Risk: settings.RiskHigh}, 5)
	dir := t.TempDir()
	trail, err := audit.Open(filepath.Join(dir, "audit.jsonl"), nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); _ = trail.Close() })
	do := func(context.Context, string, string) error { return nil }
	state := func(string) string { return "" }
	return NewServer(l, Host{Registry: r, Gatherer: prometheus.NewRegistry(), Events: NewEvents(nil), Audit: trail, Overrides: filepath.Join(dir, "overrides.yaml"),
		HotKeys:     func(int) []HotKey { return nil },
		Transitions: func(string) ([]Transition, bool) { return nil, true }, Outcomes: func(string) (Outcomes, bool) { return Outcomes{}, true }, Observer: blind{}, Prometheus: http.NotFoundHandler(), Node: func() Node { return Node{} }, Breakers: func() []Breaker { return nil }, Upstreams: func() []Upstream { return nil },
		Pool: func() Pool { return Pool{} }, Tiers: func() []Tier { return nil }, Warming: func() Warming { return Warming{} }, Alerts: func() []Alert { return nil },
		Silencer: noSilences{}, Driller: noDrill{}, Changed: func() {}, Warn: func(context.Context, Changed) []string { return nil },
		Condition: func(context.Context, string) (bool, error) { return false, nil },
		Operations: []Operation{{Action: Action{ID: "low", Risk: "low"}, State: state, Do: do}, {Action: Action{ID: "medium", Risk: "medium"}, State: state, Do: do},
			{Action: Action{ID: "high", Risk: "high"}, State: state, Do: do}}})
}

func (s *Server) ask(p peer, method, path, body string) int {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, "http://node"+path, strings.NewReader(body))
	s.http.Handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, p)))
	return w.Code
}

// TestEachRoleMayDoItsPart asks for every verb, and for changes and actions of each
// risk, in each role.
func TestEachRoleMayDoItsPart(t *testing.T) {
	bodies := map[string][]struct {
		body  string
		needs Role
	}{
		"POST /v1/changes": {{`{"changes":[{"key":"a.low","value":"6"}]}`, Operator}, {`{"changes":[{"key":"a.high","value":"6"}]}`, Admin},
			{`{"changes":[{"key":"a.low","value":"6"},{"key":"a.high","value":"6"}]}`, Admin},
			{`{"changes":[{"key":"a.high","value":"6"}],"dry_run":true}`, Operator}},
		"POST /v1/actions": {{`{"id":"low"}`, Operator}, {`{"id":"medium"}`, Operator}, {`{"id":"high"}`, Admin}, {`{"id":"high","dry_run":true}`, Operator}},
		"POST /v1/save":    {{`{}`, Admin}},
	}
	asked := 0
	for _, v := range door(t).verbs() {
		method, path, _ := strings.Cut(v.pattern, " ")
		path = strings.NewReplacer("{key}", "a.low", "{id}", "1", "{fingerprint}", "f").Replace(path)
		cases := bodies[v.pattern]
		if cases == nil {
			cases = append(cases, struct {
				body  string
				needs Role
			}{"{}", v.needs})
		}
		for _, c := range cases {
			for role := Nobody; role <= Admin; role++ {
				s := door(t) // what one role changed another may not undo
				status := s.ask(peer{name: "p", uid: 1, role: role}, method, path, c.body)
				if refused := status == http.StatusForbidden; refused == (role >= c.needs) {
					t.Errorf("%s %s as %s: %d", v.pattern, c.body, role, status)
				}
				asked++
			}
		}
	}
	t.Logf("%d requests", asked)
}

// TestAnOperatorCannotTakeBackForAnAdmin undoes, keeps and reverts a change of high
// risk.
func TestAnOperatorCannotTakeBackForAnAdmin(t *testing.T) {
	s := door(t)
	admin, operator := peer{name: "a", uid: 1, role: Admin}, peer{name: "o", uid: 2, role: Operator}
	if status := s.ask(admin, "POST", "/v1/changes", `{"changes":[{"key":"a.high","value":"6"}],"revert_after":"1h"}`); status != 200 {
		t.Fatal(status)
	}
	for _, path := range []string{"/v1/undo", "/v1/changes/1/keep", "/v1/changes/last/revert"} {
		if status := s.ask(operator, "POST", path, "{}"); status != http.StatusForbidden {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status := s.ask(operator, "POST", "/v1/changes", `{"changes":[{"key":"a.low","value":"6"}],"revert_after":"1h"}`); status != 200 {
		t.Error(status)
	}
	if status := s.ask(admin, "POST", "/v1/changes", `{"changes":[{"key":"a.low","value":"7"}]}`); status != http.StatusConflict {
		t.Errorf("what another has on trial was overwritten: %d", status)
	}
}

func TestRolesFollowTheGroups(t *testing.T) {
	for _, c := range []struct {
		uid    uint32
		groups []string
		want   Role
	}{
		{0, nil, Admin},
		{4_000_000, nil, Nobody},
		{4_000_000, []string{"10", "21"}, Viewer},
		{4_000_000, []string{"20", "21"}, Operator},
	} {
		s := &Server{host: Host{Groups: Groups{viewer: "21", operator: "20"}}}
		if got := s.roleOf(c.uid, c.groups); got != c.want {
			t.Errorf("%d in %v is %s, want %s", c.uid, c.groups, got, c.want)
		}
		s.host.Groups = Groups{}
		if got := s.roleOf(c.uid, append(c.groups, "")); got != Nobody && got != Admin {
			t.Errorf("without groups, %d in %v is %s", c.uid, c.groups, got)
		}
	}
}

func TestHostsAndOrigins(t *testing.T) {
	s := door(t)
	for _, c := range []struct {
		host, origin string
		want         int
	}{{"node", "", 200}, {"localhost:3000", "", 200}, {"evil.example", "", 403}, {"node", "http://node", 403}} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/node", nil)
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		s.http.Handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, peer{role: Admin})))
		if w.Code != c.want {
			t.Errorf("%+v: %d", c, w.Code)
		}
	}
}

// FuzzControl sends anything as any peer. Nothing panics, GET changes nothing, and
// values stay within their bounds.
func FuzzControl(f *testing.F) {
	for _, seed := range []struct{ path, body string }{
		{"/v1/changes", `{"changes":[{"key":"a.low","value":"6"}],"revert_after":"1s","guard":"x","revision":0}`},
		{"/v1/changes/last/keep", `{}`}, {"/v1/actions", `{"id":"low","word":""}`}, {"/v1/save", `{"dry_run":true}`},
		{"/v1/settings/a.low/explain", ``}, {"/v1/audit?limit=-1", ``}, {"/v1/drill/load", `{"pattern":"wave","rate":1e9,"length":"1m"}`}, {"/v1/drill/faults", `{"id":"x"}`}, {"/v1/undo", `{}`}, {"/v1/redo", `[]`},
	} {
		f.Add(true, uint8(3), seed.path, seed.body)
		f.Add(false, uint8(1), seed.path, seed.body)
	}
	f.Fuzz(func(t *testing.T, post bool, role uint8, path, body string) {
		if _, err := http.NewRequest("GET", "http://node"+path, nil); err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \r\n\t") {
			return
		}
		s := door(t)
		method, before := "GET", s.host.Registry.Revision()
		if post {
			method = "POST"
		}
		status := s.ask(peer{name: "p", uid: 1, role: Role(role % 4)}, method, path, body)
		if status >= 500 && status != http.StatusServiceUnavailable {
			t.Errorf("%s %s %s: %d", method, path, body, status)
		}
		if after := s.host.Registry.Revision(); after != before && (!post || role%4 < uint8(Operator)) {
			t.Errorf("%s %s %s as %s changed something", method, path, body, Role(role%4))
		}
		for _, one := range s.host.Registry.All() {
			if one.Number < one.Min || one.Number > one.Max {
				t.Errorf("%s is %v", one.Key, one.Number)
			}
		}
	})
}
