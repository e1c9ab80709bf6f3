package alerts_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/control"
)

func status(err error) int {
	var p *control.Problem
	if errors.As(err, &p) {
		return p.Status
	}
	return 0
}

// Silence and acknowledge what fires, by fingerprint, by matchers and by name; the
// list shows it, and what is over is no longer acknowledged.
func TestSilenceAndAcknowledge(t *testing.T) {
	r, err := build(t)
	if err != nil {
		t.Fatal(err)
	}
	waiting := prometheus.NewGauge(prometheus.GaugeOpts{Name: "bizra_db_pool_waiting"})
	waiting.Set(9)
	open := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "bizra_circuit_breaker_state"}, []string{"name", "state"})
	open.WithLabelValues("upstream/a", "open").Set(1)
	open.WithLabelValues("upstream/b", "open").Set(1)
	r.metrics.MustRegister(waiting, open)
	a := r.eventually(t, "PoolWaiting", "firing")
	if a.Fingerprint == "" || a.Silenced != nil || a.Acknowledged != nil {
		t.Fatalf("%+v", a)
	}

	s, err := r.AddSilence(control.SilenceRequest{Fingerprint: a.Fingerprint, For: "2h", Comment: "known"}, "ops")
	if err != nil || s.Alerts != 1 || s.State != "active" || s.Author != "ops" || s.EndsAt.Sub(s.StartsAt).Round(time.Second) != 2*time.Hour ||
		s.Matchers[0] != `alertname="PoolWaiting"` {
		t.Fatalf("%+v, %v", s, err)
	}
	a, _ = r.state("PoolWaiting")
	if a.Silenced == nil || a.Silenced.ID != s.ID || a.Silenced.Author != "ops" {
		t.Fatalf("%+v", a.Silenced)
	}
	if _, err := r.ExpireSilence(s.ID); err != nil {
		t.Fatal(err)
	}
	if a, _ = r.state("PoolWaiting"); a.Silenced != nil {
		t.Errorf("%+v", a.Silenced)
	}
	wide, err := r.AddSilence(control.SilenceRequest{Matchers: []string{`part=~"p.*"`, `severity!="info"`}, For: "1d"}, "ops")
	if err != nil || wide.Alerts < 1 {
		t.Fatalf("%+v, %v", wide, err)
	}
	if list := r.Silences(); len(list) != 2 || list[0].ID != wide.ID || list[1].State != "expired" {
		t.Errorf("%+v", list)
	}

	if a, err = r.Acknowledge(control.AcknowledgeRequest{Alert: "PoolWaiting", Comment: "on it"}, "ops"); err != nil || a.Acknowledged.Author != "ops" {
		t.Fatalf("%+v, %v", a, err)
	}
	if a, err = r.Withdraw(a.Fingerprint); err != nil || a.Acknowledged != nil || a.Name != "PoolWaiting" {
		t.Fatalf("%+v, %v", a, err)
	}
	if _, err = r.Acknowledge(control.AcknowledgeRequest{Fingerprint: a.Fingerprint}, "ops"); err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		do   func() error
		want int
	}{
		"no span": {func() error {
			_, err := r.AddSilence(control.SilenceRequest{Matchers: []string{"a=b"}}, "")
			return err
		}, http.StatusUnprocessableEntity},
		"bad span": {func() error {
			_, err := r.AddSilence(control.SilenceRequest{Matchers: []string{"a=b"}, For: "long"}, "")
			return err
		}, http.StatusUnprocessableEntity},
		"no matcher": {func() error { _, err := r.AddSilence(control.SilenceRequest{For: "1h"}, ""); return err }, http.StatusUnprocessableEntity},
		"both": {func() error {
			_, err := r.AddSilence(control.SilenceRequest{For: "1h", Fingerprint: "1", Matchers: []string{"a=b"}}, "")
			return err
		}, http.StatusUnprocessableEntity},
		"no alert": {func() error {
			_, err := r.AddSilence(control.SilenceRequest{For: "1h", Fingerprint: "1"}, "")
			return err
		}, http.StatusNotFound},
		"no silence": {func() error { _, err := r.ExpireSilence("x"); return err }, http.StatusNotFound},
		"ended":      {func() error { _, err := r.ExpireSilence(s.ID); return err }, http.StatusConflict},
		"not firing": {func() error {
			_, err := r.Acknowledge(control.AcknowledgeRequest{Alert: "SamplingSlow"}, "")
			return err
		}, http.StatusNotFound},
		"nameless":     {func() error { _, err := r.Acknowledge(control.AcknowledgeRequest{}, ""); return err }, http.StatusNotFound},
		"not acked":    {func() error { _, err := r.Withdraw("00000000000000aa"); return err }, http.StatusNotFound},
		"no such text": {func() error { _, err := r.Withdraw("none"); return err }, http.StatusNotFound},
	} {
		if err := c.do(); status(err) != c.want {
			t.Errorf("%s: %d, %v", name, status(err), err)
		}
	}

	r.eventually(t, "BreakerOpen", "firing")
	if _, err := r.Acknowledge(control.AcknowledgeRequest{Alert: "BreakerOpen"}, "ops"); status(err) != http.StatusConflict {
		t.Errorf("two breakers are open: %v", err)
	}
	if a, err := r.Acknowledge(control.AcknowledgeRequest{Alert: "BreakerOpen", Labels: map[string]string{"name": "upstream/b"}}, "ops"); err != nil || a.Labels["name"] != "upstream/b" {
		t.Errorf("%+v, %v", a, err)
	}

	waiting.Set(0)
	a = r.eventually(t, "PoolWaiting", "resolved")
	if a.Acknowledged != nil || a.Silenced != nil {
		t.Errorf("%+v", a)
	}
	waiting.Set(9)
	if a = r.eventually(t, "PoolWaiting", "pending"); a.Acknowledged != nil {
		t.Errorf("the next incident is acknowledged already: %+v", a.Acknowledged)
	}
}
