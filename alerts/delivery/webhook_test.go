package delivery_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizra/bizra-top/alerts/delivery"
	"github.com/bizra/bizra-top/alerts/silence"
)

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
			a.GeneratorURL != "https://node.example.com/health" {
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

// A receiver that hangs is asked once at a time, however many groups wait, and is
// told all of them as soon as it answers. One group that it does not take delays
// the others little.
func TestManyGroupsForOneReceiver(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := newReceivers()
		to.set(always(-1))
		r := start(t, dir, to, hook...)
		u := r.rule()
		var names []string
		for i := range 40 {
			names = append(names, fmt.Sprintf("A%02d", i))
		}
		u.fire(names...)
		u.after(10 * time.Minute)
		if n := len(to.take(t)); n < 8 || n > 30 {
			t.Errorf("%d attempts in ten minutes", n)
		}
		if n := r.count(t, "bizra_alert_notification_queue_length", "webhook"); n != 40 {
			t.Errorf("%v alerts wait", n)
		}
		to.set(func(req *http.Request) (int, http.Header) {
			if body, _ := req.GetBody(); body != nil {
				if data, _ := io.ReadAll(body); bytes.Contains(data, []byte(`"alertname":"A07"`)) {
					return 500, nil
				}
			}
			return 200, nil
		})
		u.after(2 * time.Minute)
		took := map[string]bool{}
		for _, g := range to.take(t) {
			took[g[strings.LastIndexByte(g, ' ')+1:]] = true
		}
		if len(took) != 40 {
			t.Errorf("%d groups were sent", len(took))
		}
		if n := r.count(t, "bizra_alert_notification_queue_length", "webhook"); n != 1 {
			t.Errorf("%v alerts wait", n)
		}
		to.set(nil)
		u.after(2 * time.Minute)
		if !strings.HasSuffix(r.told(), "takes alerts again") || strings.Count(r.told(), "\n") != 1 {
			t.Errorf("told %q", r.told())
		}
	})
}
