package delivery_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/alerts/delivery"
	"github.com/bizra/bizra-top/alerts/silence"
	"github.com/bizra/bizra-top/node/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
		if !strings.Contains(r.log.String(), path+".damaged-") {
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

// A disk that takes nothing costs no message, and is told once.
func TestAQueueThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, "queue.json.new")
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dir, newReceivers(), hook...)
		u := r.rule()
		u.fire("A")
		u.after(5 * time.Minute)
		expect(t, r.take(t), "30s firing A")
		if told := r.told(); !strings.HasPrefix(told, "queue of alerts cannot be written") || strings.Contains(told, "\n") {
			t.Errorf("told %q", told)
		}
		if err := os.Remove(inTheWay); err != nil {
			t.Fatal(err)
		}
		u.after(time.Minute)
	})
	if data, err := os.ReadFile(filepath.Join(dir, "queue.json")); err != nil || !strings.Contains(string(data), `"alertname":"A"`) {
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
					if a.Labels["instance"] != "node-a" || a.Annotations["summary"] == "" || a.GeneratorURL != "http://127.0.0.1:3000/health" || a.StartsAt.IsZero() {
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
		r.stop()
	})
	// What was told to whom is gone has no use.
	if data, err := os.ReadFile(filepath.Join(dir, "queue.json")); err != nil || !strings.Contains(string(data), `"told":{}`) {
		t.Errorf("%s, %v", data, err)
	}
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

// Few alerts with long texts are too much as well.
func TestTheQueueIsBoundedInBytes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dir, newReceivers())
		long := labels.NewScratchBuilder(0)
		for i := range 10 {
			long.Add(fmt.Sprintf("annotation%d", i), strings.Repeat("x", 5000))
		}
		var list []*rules.Alert
		for i := range 1000 {
			list = append(list, &rules.Alert{Labels: labels.FromStrings("alertname", fmt.Sprint("A", i)), Annotations: long.Labels(),
				FiredAt: time.Now(), ValidUntil: time.Now().Add(time.Hour)})
		}
		r.Send(t.Context(), "up", list...)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		r.stop()
	})
	info, err := os.Stat(filepath.Join(dir, "queue.json"))
	if err != nil || info.Size() > 18<<20 || info.Size() < 12<<20 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	set := delivery.LabelSet(labels.FromStrings("a", strings.Repeat("é", 5000)))
	if n := len(set["a"]); n > 4200 || !model.LabelValue(set["a"]).IsValid() {
		t.Errorf("%d bytes", n)
	}
}
