package tui

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/probes"
)

// otherNode is a node of another version: what it answers at each path, as JSON. What
// it does not know it answers as every version does.
type otherNode map[string]any

func (n otherNode) serve(t *testing.T) *control.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said, ok := n[r.URL.Path]
		if r.URL.Query().Has("at") {
			said, ok = n[r.URL.Path+"?at"]
		}
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			said = map[string]any{"status": 404, "error": "there is nothing here; see GET /v1/node, /v1/look"}
		}
		if err := json.NewEncoder(w).Encode(said); err != nil {
			t.Error(err)
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	client := control.NewClient(socket)
	t.Cleanup(func() { client.Close(); server.Close(); <-done })
	return client
}

// asJSON is a value as it goes over the wire, to be changed.
func asJSON(t *testing.T, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

type object = map[string]any

// sameNode answers as the fake door does, all that there was in the first version.
func sameNode(t *testing.T) otherNode {
	d := newFakeDoor()
	look, err := d.Look(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	list, _ := d.Settings(t.Context())
	actions, _ := d.Actions(t.Context())
	history, _ := d.History(t.Context(), 30*time.Second, seedStep)
	return otherNode{"/v1/look": asJSON(t, look), "/v1/panels": asJSON(t, probes.Panels()), "/v1/panels/history": asJSON(t, history),
		"/v1/settings": asJSON(t, list), "/v1/actions": asJSON(t, actions)}
}

// without takes members out of an object.
func without(o any, names ...string) {
	for _, n := range names {
		delete(o.(object), n)
	}
}

// eachOf does something to each object of a list.
func eachOf(list any, do func(object)) {
	for _, o := range list.([]any) {
		do(o.(object))
	}
}

// A node that is older or newer than the screen: what is there is drawn in every view,
// what is not is said once, and the header names both versions.
func TestNodesOfOtherVersions(t *testing.T) {
	for name, c := range map[string]struct {
		change func(otherNode)
		shows  map[viewID][]string // besides the header
		says   []string            // in the versions dialog
	}{
		"same": {func(otherNode) {}, nil, []string{"does not tell: older events, hot keys", "does not tell: what is in a breaker's window"}},
		"first": {func(n otherNode) {
			look := n["/v1/look"].(object)
			without(look, "tiers", "warming", "trials", "role", "unsaved", "redoable", "undoable", "pool", "upstreams", "revision", "last_event")
			eachOf(look["alerts"], func(a object) { without(a, "fingerprint", "thresholds", "part", "since", "value", "what_to_do") })
			eachOf(look["breakers"], func(b object) { without(b, "slow", "slow_ratio", "next_probe", "opened", "class", "since") })
			eachOf(look["events"], func(e object) { without(e, "actor", "severity", "kind") })
			without(look["node"], "ledger", "l2", "started", "draining", "mode", "chain_id", "head")
			without(look["panels"], "cache_l2_compression", "latency_p99", "pool_saturation", "upstream_p99", "breaker_failure_ratio")
			n["/v1/panels"] = n["/v1/panels"].([]any)[:5]
			eachOf(n["/v1/settings"], func(s object) { without(s, "step", "min", "max", "risk", "source", "started", "doc", "default") })
			delete(n, "/v1/actions")
		}, map[viewID][]string{
			viewOverview: {"BreakerOpen", "upstream/beta"}, viewCache: {"Hit ratio", "93.9%"}, viewBreakers: {"upstream/beta", "○ open"},
			viewAlerts: {"BreakerOpen"}, viewSettings: {"log.level"}, viewEvents: {"timed out after 2s"}, viewPool: {"pool.limit"},
		}, []string{"panels, such as answers_trust", "hot keys"}},
		"empty": {func(n otherNode) {
			n["/v1/look"] = object{"time": fakeStart, "node": object{"version": "9.0.0"}, "panels": nil, "breakers": nil, "alerts": nil}
			n["/v1/panels"], n["/v1/settings"], n["/v1/actions"], n["/v1/panels/history"] = nil, nil, nil, nil
		}, nil, []string{"panels, such as request_rate"}},
		"newer": {func(n otherNode) {
			look := n["/v1/look"].(object)
			look["protocol"], look["shards"] = 9, []any{object{"name": "s1", "state": "splitting"}}
			look["panels"].(object)["quantum_flux"] = []any{object{"value": 3, "confidence": 0.9}}
			look["panels"].(object)["request_rate"] = []any{object{"value": "+Inf"}, object{"value": nil, "label": "x"}}
			look["role"] = "auditor"
			eachOf(look["breakers"], func(b object) { b["state"], b["adaptive"] = "adaptive-open", true })
			eachOf(look["upstreams"], func(u object) { u["state"], u["region"] = "warming", "eu" })
			eachOf(look["alerts"], func(a object) { a["state"], a["severity"] = "escalated", "page" })
			eachOf(look["events"], func(e object) { e["kind"], e["severity"] = "shard", "notice" })
			eachOf(look["tiers"], func(x object) { x["tier"], x["class"] = "l3", "blob" })
			without(look["panels"], "cpu")
			n["/v1/panels"] = append(n["/v1/panels"].([]any), object{"id": "quantum_flux", "title": "Flux", "unit": "teslas", "shape": "hologram", "part": "shards", "expr": "flux"})
			n["/v1/settings"] = append(n["/v1/settings"].([]any), object{"key": "shards.count", "kind": "tensor", "value": "3x3", "numeric": true, "risk": "cosmic", "source": "consensus"})
			n["/v1/actions"] = append(n["/v1/actions"].([]any), object{"id": "shard.split", "title": "split", "risk": "cosmic", "targets": []any{"s1"}, "quorum": 2})
		}, map[viewID][]string{
			viewBreakers: {"? adaptive-open"}, viewUpstreams: {"? warming"}, viewAlerts: {"escalated"}, viewEvents: {"timed out after 2s"},
			viewCache: {"l3", "blob"}, viewSettings: {"of 14"}, viewOverview: {"adaptive-open", "? escalated"},
		}, []string{"quantum_flux"}},
		// A member that has another form takes nothing else away.
		"other forms": {func(n otherNode) {
			look := n["/v1/look"].(object)
			look["trials"], look["unsaved"], look["warming"] = "none", object{"keys": 3}, 7
			eachOf(look["breakers"], func(b object) { b["opened"] = "three times" })
			eachOf(n["/v1/settings"], func(s object) { s["choices"] = 7 })
			eachOf(n["/v1/panels"], func(p object) { p["legend"] = []any{"provider"} })
			eachOf(n["/v1/actions"], func(a object) { a["word"] = true })
		}, map[viewID][]string{
			viewOverview: {"BreakerOpen", "beta"}, viewPool: {"pool.limit", "sqlite"}, viewCache: {"l1   block"}, viewBreakers: {"62.5%"},
			viewUpstreams: {"gamma"}, viewAlerts: {"PoolSaturated"}, viewSettings: {"log.level"}, viewEvents: {"timed out after 2s"},
		}, []string{"understood in part", "breakers.opened"}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			n := sameNode(t)
			version := map[string]string{"same": "1.0.0", "first": "0.1.0"}[name]
			if version == "" {
				version = "9.0.0"
			}
			n["/v1/look"].(object)["node"].(object)["version"] = version
			c.change(n)
			for size, wh := range sizes {
				if wh[0] > 200 {
					continue
				}
				s := versionScreen(t, n.serve(t), wh[0], wh[1])
				text := s.text()
				if differ := version != "1.0.0"; differ != strings.Contains(text, "≠") {
					t.Errorf("%s: the header says that versions differ: %t\n%s", size, !differ, text)
				} else if differ && wh[0] >= 120 && !strings.Contains(text, "node "+version+" ≠ screen 1.0.0") {
					t.Errorf("%s: the header does not name both versions:\n%s", size, text)
				}
				for v := viewOverview; v < viewEnd; v++ {
					s.run(s.show(v))
					if wh[0] >= 80 {
						s.shows(c.shows[v]...)
					}
					if len(strings.Fields(s.text())) < 12 {
						t.Errorf("%s at %s is blank:\n%s", viewNames[v], size, s.text())
					}
				}
				if size == "80x24" {
					s.tour([][]string{nil, {"{"}}, func(what string) { t.Helper(); checkSize(t, s.draw(), wh[0], wh[1], what) })
				}
				if len(s.look.Breakers) > 0 {
					s.run(s.drillBreaker(s.look.Breakers[0]))
				}
				s.run(s.live())
				s.overlay, s.zoomed = nil, false
				s.openVersions()
				if wh[0] == 200 {
					s.shows(append(c.says, "1.0.0", version)...)
				}
			}
		})
	}
}

// versionScreen is a screen of version 1.0.0 on a node behind a socket.
func versionScreen(t *testing.T, door Door, w, h int) *screen {
	t.Helper()
	m, err := newModel(t.Context(), door, Options{Theme: "dark", Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{model: m, t: t, door: newFakeDoor(), at: fakeStart}
	m.now = func() time.Time { return s.at }
	m.w, m.h = w, h
	for _, ask := range []func() tea.Cmd{m.fetchHistory, m.fetchPanels, m.fetchSettings, m.fetchActions, m.lookNow} {
		s.run(ask())
	}
	return s
}

// What a node lacks is said once, and not asked for again.
func TestWhatANodeLacksIsSaidOnce(t *testing.T) {
	s := newScreen(t, 120, 40, func(d *fakeDoor, _ *Options) { d.old = true }).keys("3")
	asked := func() (n int) {
		for _, a := range s.door.asked {
			if a == "hot keys" {
				n++
			}
		}
		return n
	}
	s.shows("this node 0.1.0 does not tell: older events, hot keys", "the node does not offer this")
	s.hides("there is nothing here")
	s.status = nil
	for range 5 {
		s.after(5 * time.Second)
	}
	if n := asked(); n != 1 {
		t.Errorf("asked %d times for what the node does not know", n)
	}
	s.hides("this node 0.1.0 does not tell")
	// A node that was restarted may be of another version.
	s.door.old = false
	s.door.spoil = func(l *control.Look) { l.Node.Started = l.Node.Started.Add(time.Hour) }
	s.after(5 * time.Second)
	s.after(5 * time.Second)
	s.shows("eth_chainId[]")
}
