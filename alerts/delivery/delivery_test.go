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
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
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

func TestAGroupWaitsAndIsRepeated(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dir, newReceivers(), hook...)
		u := r.rule()
		u.fire("A/1", "B")
		u.after(10 * time.Second)
		u.fire("A/2")
		u.after(19 * time.Second)
		expect(t, r.take(t))
		u.after(time.Second)
		expect(t, r.take(t), "30s firing A1 A2", "30s firing B")
		u.after(3 * time.Hour)
		expect(t, r.take(t)) // nothing has changed
		u.after(2 * time.Hour)
		expect(t, r.take(t), "4h0m30s firing A1 A2", "4h0m30s firing B")
		u.fire("A/3")
		u.after(5 * time.Minute)
		expect(t, r.take(t), "5h5m30s firing A1 A2 A3")
		u.resolve("A/1", "A/2", "A/3", "B")
		u.after(4 * time.Minute)
		expect(t, r.take(t))
		u.after(time.Minute)
		expect(t, r.take(t), "5h10m30s resolved A1! A2! A3!", "5h10m30s resolved B!")
		u.after(10 * time.Hour)
		expect(t, r.take(t))
		// A new incident waits as a new group does.
		u = r.rule()
		u.fire("A/1")
		u.after(time.Minute)
		if got := r.take(t); len(got) != 1 || !strings.HasSuffix(got[0], "firing A1") {
			t.Errorf("%q", got)
		}
	})
}

// An alert that comes back a few minutes after it was resolved waits for
// group_wait, not for group_interval.
func TestWhatComesBackIsToldSoon(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dir, newReceivers(), hook...)
		u := r.rule()
		u.fire("A")
		u.after(31 * time.Second)
		u.resolve("A")
		u.after(5 * time.Minute)
		expect(t, r.take(t), "30s firing A", "5m30s resolved A!")
		u.after(time.Minute)
		u.fire("A")
		u.after(time.Minute)
		expect(t, r.take(t), "7m1s firing A")
	})
}

func TestTheMessageIsAlertmanagers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := newReceivers()
		r := start(t, dir, to, append(hook, "alerts.group_by", "alertname,instance", "alerts.external_url", "https://node.example.com/")...)
		u := r.rule()
		u.fire("A/1", "A/2")
		u.after(time.Minute)
		to.mu.Lock()
		body := to.got[0].body
		to.mu.Unlock()
		var m message
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		if m.Version != "4" || m.Receiver != "bizra-top" || m.Status != "firing" || m.GroupKey != `{}:{alertname="A", instance="node-a"}` || m.ExternalURL != "https://node.example.com" ||
			fmt.Sprint(m.GroupLabels) != "map[alertname:A instance:node-a]" || fmt.Sprint(m.CommonLabels) != "map[alertname:A instance:node-a part:pool severity:critical]" ||
			m.CommonAnnotations["summary"] != "it is bad" || m.TruncatedAlerts != 0 || len(m.Alerts) != 2 {
			t.Errorf("%+v", m)
		}
		a := m.Alerts[0]
		if a.Status != "firing" || a.Labels["name"] != "1" || len(a.Fingerprint) != 16 || a.StartsAt.IsZero() || !a.EndsAt.IsZero() ||
			a.GeneratorURL != "https://node.example.com/api/v1/query?query=up+%3D%3D+0" {
			t.Errorf("%+v", a)
		}
		for _, key := range []string{"receiver", "status", "alerts", "groupLabels", "commonLabels", "commonAnnotations", "externalURL", "version", "groupKey", "truncatedAlerts"} {
			if !strings.Contains(body, `"`+key+`":`) {
				t.Errorf("the message has no %s", key)
			}
		}
	})
}

// A receiver that fails, hangs or asks for time is tried again until it takes the
// message; one that refuses it is not.
func TestRetries(t *testing.T) {
	for name, c := range map[string]struct {
		status         int
		header         string
		least, most    int // attempts within two minutes
		after          time.Duration
		refused, event string
	}{
		"unreachable":      {status: 0, least: 5, most: 12, event: "webhook hooks.example.com does not take alerts, they wait: no answer: connection refused"},
		"broken":           {status: 503, least: 5, most: 12, event: "webhook hooks.example.com does not take alerts, they wait: answered 503: said the receiver"},
		"hangs":            {status: -1, least: 4, most: 9, event: "no answer"},
		"asks for time":    {status: 429, header: "55", least: 2, most: 3},
		"asks for an age":  {status: 503, header: "99999999", least: 1, most: 1},
		"asks for nothing": {status: 503, header: "0", least: 5, most: 12},
		"refuses":          {status: 400, least: 1, most: 1, event: "webhook hooks.example.com refuses alerts: answered 400: said the receiver"},
		"redirects":        {status: 302, least: 1, most: 1, event: "it redirects elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				to := newReceivers()
				to.set(func(*http.Request) (int, http.Header) {
					h := http.Header{}
					if c.header != "" {
						h.Set("Retry-After", c.header)
					}
					if c.status == 302 {
						h.Set("Location", "https://elsewhere.example.com/")
					}
					return c.status, h
				})
				r := start(t, dir, to, hook...)
				u := r.rule()
				u.fire("A")
				u.after(150 * time.Second)
				if n := len(to.take(t)); n < c.least || n > c.most {
					t.Errorf("%d attempts", n)
				}
				if !strings.Contains(r.told(), c.event) || strings.Count(r.told(), "\n") > 0 || strings.Contains(r.told(), "hunter2") {
					t.Errorf("told %q", r.told())
				}
				to.set(nil)
				u.after(20 * time.Minute)
				if got := to.take(t); len(got) != 1 || !strings.HasSuffix(got[0], "firing A") {
					t.Errorf("once it is back: %q", got)
				}
				if !strings.HasSuffix(r.told(), "takes alerts again") {
					t.Errorf("told %q", r.told())
				}
			})
		})
	}
}

func TestSilencedAlertsAreNotSent(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dir, newReceivers(), hook...)
		m, _ := silence.Parse([]string{`alertname="A"`, `name="1"`})
		one, err := r.silences.Add(silence.Silence{Matchers: m, EndsAt: time.Now().Add(100 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		u := r.rule()
		u.fire("A/1", "A/2")
		u.after(10 * time.Minute)
		expect(t, r.take(t), "30s firing A2")
		u.resolve("A/2")
		u.after(5 * time.Minute)
		expect(t, r.take(t), "10m30s resolved A2!")
		if _, err := r.silences.Expire(one.ID); err != nil {
			t.Fatal(err)
		}
		u.after(6 * time.Minute)
		if got := r.take(t); len(got) != 1 || !strings.Contains(got[0], "firing A1") {
			t.Errorf("after the silence: %q", got)
		}
		// Silenced after it was told of: its end is told.
		if _, err := r.silences.Add(silence.Silence{Matchers: m, EndsAt: time.Now().Add(100 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		u.after(24 * time.Hour)
		if got := r.take(t); len(got) > 1 { // A2, which is over, may leave the group
			t.Errorf("while silenced: %q", got)
		}
		u.resolve("A/1")
		u.after(6 * time.Minute)
		if got := r.take(t); len(got) != 1 || !strings.HasSuffix(got[0], "resolved A1!") {
			t.Errorf("the end: %q", got)
		}
	})
}

func TestAcknowledgedAlertsAreNotRepeated(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dir, newReceivers(), hook...)
		u := r.rule()
		u.fire("A/1", "A/2")
		u.after(time.Minute)
		expect(t, r.take(t), "30s firing A1 A2")
		acknowledge := func(n string) {
			if _, err := r.silences.Acknowledge(delivery.LabelSet(u.alerts[n].Labels), "ops", ""); err != nil {
				t.Fatal(err)
			}
		}
		acknowledge("A/1")
		u.after(5 * time.Hour)
		expect(t, r.take(t), "4h0m30s firing A1 A2") // of A2
		acknowledge("A/2")
		u.after(24 * time.Hour)
		expect(t, r.take(t))
		u.resolve("A/1", "A/2")
		u.after(6 * time.Minute)
		expect(t, r.take(t), "29h5m30s resolved A1! A2!")
	})
}

func TestAfterARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := newReceivers()
		r := start(t, dir, to, hook...)
		u := r.rule()
		u.fire("Sent", "Gone")
		u.after(time.Minute)
		to.set(always(503))
		u.fire("Unsent")
		u.after(2 * time.Minute)
		to.take(t)
		r.stop()

		time.Sleep(time.Hour)
		to.set(nil)
		r = start(t, dir, to, hook...)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		expect(t, to.take(t), "1h3m0s firing Unsent") // and not again what was sent
		u = r.rule()
		time.Sleep(8 * time.Second)
		u.fire("Sent", "Unsent") // the rules find them again
		u.after(20 * time.Minute)
		got := to.take(t)
		if len(got) != 1 || !strings.HasSuffix(got[0], "resolved Gone!") {
			t.Errorf("%q", got)
		}
		r.stop()
		// What has been told is not told again.
		r = start(t, dir, to, hook...)
		u.r = r
		u.send("Sent", "Unsent")
		u.after(20 * time.Minute)
		expect(t, to.take(t))
	})
}

func TestADamagedQueueIsSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "queue.json")
	if err := os.WriteFile(path, []byte(`{"alerts": [{]`), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dir, newReceivers(), hook...)
		if !strings.Contains(r.log.String(), path+".damaged") {
			t.Errorf("log: %s", r.log.String())
		}
		u := r.rule()
		u.fire("A")
		u.after(time.Minute)
		expect(t, r.take(t), "30s firing A")
	})
	if data, err := os.ReadFile(path); err != nil || bytes.Contains(data, []byte("hunter2")) || !bytes.Contains(data, []byte(`"alertname":"A"`)) {
		t.Errorf("%s, %v", data, err)
	}
}

// More alerts than the queue holds: what is over goes first, and what goes is
// counted.
func TestTheQueueIsBounded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dir, newReceivers(), append(hook, "alerts.group_by", "alertname")...)
		u := r.rule()
		var names []string
		for i := range 2100 {
			names = append(names, fmt.Sprintf("A/%04d", i))
		}
		u.fire(names...)
		u.resolve(names[:100]...)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		r.receivers.mu.Lock()
		defer r.receivers.mu.Unlock()
		var m message
		if err := json.Unmarshal([]byte(r.got[0].body), &m); err != nil {
			t.Fatal(err)
		}
		if len(m.Alerts) != 256 || m.TruncatedAlerts != 2000-256 || m.Status != "firing" {
			t.Errorf("%d alerts, %d more, %s", len(m.Alerts), m.TruncatedAlerts, m.Status)
		}
		if n := r.count(t, "bizra_alert_notifications_dropped_total", "webhook"); n != 100 {
			t.Errorf("%v dropped", n)
		}
	})
}

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

func TestAlertmanagersGetEverythingEveryMinute(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := newReceivers()
		r := start(t, dir, to, "alerts.alertmanagers", "http://one:9093,http://two:9093/prefix/")
		arrived := func() map[string]int {
			to.mu.Lock()
			defer to.mu.Unlock()
			out := map[string]int{}
			for _, g := range to.got {
				var list []struct {
					Labels, Annotations map[string]string
					StartsAt, EndsAt    time.Time
					GeneratorURL        string
				}
				if err := json.Unmarshal([]byte(g.body), &list); err != nil {
					t.Fatal(err)
				}
				for _, a := range list {
					state := "firing"
					if !a.EndsAt.After(to.began.Add(g.at)) {
						state = "resolved"
					} else if left := a.EndsAt.Sub(to.began.Add(g.at)); left > 4*time.Minute || left < 3*time.Minute {
						t.Errorf("it ends by itself in %s", left)
					}
					if a.Labels["instance"] != "node-a" || a.Annotations["summary"] == "" || !strings.HasPrefix(a.GeneratorURL, "http://127.0.0.1:3000/api/v1/query?") || a.StartsAt.IsZero() {
						t.Errorf("%+v", a)
					}
					out[g.path+" "+a.Labels["alertname"]+" "+state]++
				}
			}
			to.got = nil
			return out
		}
		u := r.rule()
		u.fire("A", "B")
		u.after(3*time.Minute + time.Second)
		if got := fmt.Sprint(arrived()); got != "map[/api/v2/alerts A firing:4 /api/v2/alerts B firing:4 /prefix/api/v2/alerts A firing:4 /prefix/api/v2/alerts B firing:4]" {
			t.Error(got)
		}
		m, _ := silence.Parse([]string{`alertname="B"`})
		if _, err := r.silences.Add(silence.Silence{Matchers: m, EndsAt: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		u.resolve("A")
		u.after(3 * time.Minute)
		if got := fmt.Sprint(arrived()); got != "map[/api/v2/alerts A resolved:4 /prefix/api/v2/alerts A resolved:4]" {
			t.Error(got)
		}
		// One is away: the other goes on, and what has ended meanwhile is sent
		// once it is back.
		to.set(func(r *http.Request) (int, http.Header) {
			if r.URL.Host == "two:9093" {
				return 0, nil
			}
			return 200, nil
		})
		u.fire("C")
		u.after(5 * time.Minute)
		u.resolve("C")
		time.Sleep(10 * time.Second)
		if n := r.count(t, "bizra_alert_notification_queue_length", "alertmanager"); n < 1 {
			t.Errorf("%v wait", n)
		}
		arrived()
		to.set(nil)
		time.Sleep(2 * time.Minute)
		if got := arrived()["/prefix/api/v2/alerts C resolved"]; got < 1 {
			t.Error("the one that was away does not know that C is over")
		}
		if n := r.count(t, "bizra_alert_notification_queue_length", "alertmanager"); n != 0 {
			t.Errorf("%v wait", n)
		}
	})
}

func TestReceiversChangeWhileItRuns(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dir, newReceivers())
		u := r.rule()
		u.fire("A")
		u.after(time.Minute)
		if _, err := r.registry.Apply([]settings.Change{{Key: hook[0], Value: hook[1]}}); err != nil {
			t.Fatal(err)
		}
		u.after(time.Minute)
		expect(t, r.take(t), "1m2s firing A")
		if _, err := r.registry.Apply([]settings.Change{{Key: hook[0], Value: ""}}); err != nil {
			t.Fatal(err)
		}
		u.after(time.Minute)
		u.resolve("A")
		u.after(time.Hour)
		expect(t, r.take(t))
	})
}

func TestAddressesAreChecked(t *testing.T) {
	reg := settings.NewRegistry()
	delivery.Declare(reg)
	for _, bad := range []string{"hooks.example.com", "ftp://a/hunter2", "https://", strings.Repeat("http://a,", 17), "http://ok, ://hunter2"} {
		err := reg.Load(settings.SourceFile, []settings.Change{{Key: "alerts.webhooks", Value: bad}})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := reg.Load(settings.SourceFile, []settings.Change{{Key: "alerts.webhooks", Value: hook[1]}}); err != nil {
		t.Fatal(err)
	}
	s, err := reg.Get("alerts.webhooks")
	if err != nil || strings.Contains(fmt.Sprint(s), "hunter2") {
		t.Errorf("%v, %v", s, err)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	set := delivery.LabelSet(labels.FromStrings("a", strings.Repeat("é", 5000)))
	if n := len(set["a"]); n > 4200 || !model.LabelValue(set["a"]).IsValid() {
		t.Errorf("%d bytes", n)
	}
}
