package delivery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"

	"github.com/bizra/bizra-top/alerts/delivery"
	"github.com/bizra/bizra-top/alerts/silence"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

// request is what a receiver got.
type request struct {
	at   time.Duration // since the first rig of the test
	path string
	body string
}

// receivers answers as told, in memory, so that time can be synthetic.
type receivers struct {
	began  time.Time
	mu     sync.Mutex
	got    []request
	answer func(*http.Request) (int, http.Header)
}

func (r *receivers) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.got = append(r.got, request{time.Since(r.began).Round(time.Second), req.URL.Path, string(body)})
	answer := r.answer
	r.mu.Unlock()
	status, header := 200, http.Header{}
	if answer != nil {
		status, header = answer(req)
	}
	switch status {
	case 0:
		return nil, errors.New("connection refused")
	case -1: // hangs
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: header, Body: io.NopCloser(strings.NewReader("said the receiver")), Request: req}, nil
}

func (r *receivers) set(answer func(*http.Request) (int, http.Header)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func always(status int) func(*http.Request) (int, http.Header) {
	return func(*http.Request) (int, http.Header) { return status, nil }
}

// message is as much of a webhook's message as the tests look at.
type message struct {
	Version, Receiver, Status, GroupKey, ExternalURL string
	GroupLabels, CommonLabels, CommonAnnotations     map[string]string
	TruncatedAlerts                                  int
	Alerts                                           []struct {
		Status, GeneratorURL, Fingerprint string
		Labels, Annotations               map[string]string
		StartsAt, EndsAt                  time.Time
	}
}

// take returns what has arrived since it was last called, as "time status name name!"
// where ! is resolved.
func (r *receivers) take(t *testing.T) []string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, g := range r.got {
		if g.path != "/hook" {
			continue
		}
		var m message
		if err := json.Unmarshal([]byte(g.body), &m); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(g.at, " ", m.Status)
		for _, a := range m.Alerts {
			text += " " + a.Labels["alertname"] + a.Labels["name"]
			if a.Status == "resolved" {
				text += "!"
			}
		}
		out = append(out, text)
	}
	r.got = nil
	return out
}

type rig struct {
	*delivery.Dispatcher
	*receivers
	dir      string
	registry *settings.Registry
	silences *silence.Store
	metrics  *prometheus.Registry
	log      bytes.Buffer
	mu       sync.Mutex
	events   []control.Event
	stop     func()
}

// start runs a dispatcher over what dir holds until the test ends or stop.
func start(t *testing.T, dir string, to *receivers, set ...string) *rig {
	t.Helper()
	r := &rig{receivers: to, dir: dir, registry: settings.NewRegistry(), metrics: prometheus.NewRegistry()}
	ds := delivery.Declare(r.registry)
	changes := []settings.Change{}
	for i := 0; i < len(set); i += 2 {
		changes = append(changes, settings.Change{Key: set[i], Value: set[i+1]})
	}
	if err := r.registry.Load(settings.SourceFile, changes); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&r.log, nil))
	var err error
	if r.silences, err = silence.Open(filepath.Join(dir, "silences.json"), log); err != nil {
		t.Fatal(err)
	}
	var transport http.RoundTripper
	if to != nil {
		transport = to
	}
	r.Dispatcher, err = delivery.Open(delivery.Options{Path: filepath.Join(dir, "queue.json"), Settings: ds, Silences: r.silences, Metrics: r.metrics, Log: log,
		Node: func() (string, string) { return "node-a", "127.0.0.1:3000" },
		Notify: func(e control.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e)
		}, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	r.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(r.stop)
	return r
}

func (r *rig) told() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, e := range r.events {
		out = append(out, e.Subject+" "+e.Text)
	}
	return strings.Join(out, "\n")
}

// rule stands in for a rule of the rule manager that has alerts.
type rule struct {
	r      *rig
	alerts map[string]*rules.Alert // by alertname and name
}

func (r *rig) rule() *rule { return &rule{r, map[string]*rules.Alert{}} }

func (u *rule) fire(names ...string) {
	for _, n := range names {
		alertname, name, _ := strings.Cut(n, "/")
		l := labels.FromStrings("alertname", alertname, "severity", "critical", "part", "pool")
		if name != "" {
			l = labels.NewBuilder(l).Set("name", name).Labels()
		}
		u.alerts[n] = &rules.Alert{State: rules.StateFiring, Labels: l, Annotations: labels.FromStrings("summary", "it is bad", "what_to_do", "mend it"), FiredAt: time.Now()}
	}
	u.send(names...)
}

func (u *rule) resolve(names ...string) {
	for _, n := range names {
		u.alerts[n].ResolvedAt = time.Now()
	}
	u.send(names...)
}

func (u *rule) send(names ...string) {
	var list []*rules.Alert
	for _, n := range names {
		u.alerts[n].ValidUntil = time.Now().Add(4 * delivery.ResendEvery)
		list = append(list, u.alerts[n])
	}
	u.r.Send(context.Background(), `up == 0`, list...)
}

// after lets time pass as the rule manager does: what fires, and what was resolved,
// is sent again every minute.
func (u *rule) after(d time.Duration) {
	for d > 0 {
		step := min(d, delivery.ResendEvery)
		time.Sleep(step)
		if d -= step; step == delivery.ResendEvery {
			for n := range u.alerts {
				u.send(n)
			}
		}
	}
	synctest.Wait()
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func newReceivers() *receivers { return &receivers{began: time.Now()} }

var hook = []string{"alerts.webhooks", "https://hooks.example.com/hook?token=hunter2"}

func (r *rig) count(t *testing.T, name, integration string) float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == integration {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no %s of %s", name, integration)
	return 0
}
