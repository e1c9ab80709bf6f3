package control_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

func TestThePast(t *testing.T) {
	r := serve(t)
	at := time.UnixMilli(17)
	if l, err := r.LookAt(t.Context(), at); err != nil || !l.Time.Equal(at) {
		t.Errorf("a look at %v is of %v, %v", at, l.Time, err)
	}
	h, err := r.HistoryUntil(t.Context(), at, time.Minute, time.Second)
	if err != nil || len(h["p"]) != 1 || h["p"][0].Points[0].T != 17 {
		t.Errorf("history until %v: %+v, %v", at, h, err)
	}
	list, err := r.SettingsAt(t.Context(), at)
	if err != nil || len(list) != 1 || list[0].Key != "pool.limit" || list[0].Value != "17" || list[0].Source != "" {
		t.Errorf("the settings at %v: %+v, %v", at, list, err)
	}
	c, err := r.Comparison(t.Context(), "A", at, time.Minute, time.Second)
	if err != nil || len(c.Values) != 1 || c.Values[0].Label != "g > 2" || c.Values[0].Points[0].T != 17 {
		t.Errorf("what the alert compares: %+v, %v", c, err)
	}
	if list, err := r.Transitions(t.Context(), "upstream/a"); err != nil || len(list) != 1 || list[0].To != "open" {
		t.Errorf("transitions: %+v, %v", list, err)
	}
	if _, err := r.Transitions(t.Context(), "b"); err == nil {
		t.Error("a breaker that is not there has transitions")
	}
	if o, err := r.Outcomes(t.Context(), "upstream/a"); err != nil || o.Span != time.Second || len(o.Cells) != 1 || o.Cells[0].Failures != 1 {
		t.Errorf("outcomes: %+v, %v", o, err)
	}
	if _, err := r.Outcomes(t.Context(), "b"); err == nil {
		t.Error("a breaker that is not there has outcomes")
	}
	// The present has no past yet.
	var p *control.Problem
	if _, err := r.Comparison(t.Context(), "B", at, time.Minute, time.Second); !errors.As(err, &p) || p.Status != http.StatusNotFound {
		t.Errorf("an alert that is not there: %v", err)
	}
	if _, err := r.LookAt(t.Context(), time.Now().Add(time.Hour)); !errors.As(err, &p) || p.Status != http.StatusBadRequest {
		t.Errorf("a look at the future: %v", err)
	}
	measured := time.Now().Add(9 * time.Minute).Truncate(time.Millisecond)
	if l, err := r.LookAt(t.Context(), measured); err != nil || !l.Time.Equal(measured) {
		t.Errorf("a look at what was measured before the clock was set back: %v, %v", l.Time, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", r.socket) }}}
	for _, ms := range []string{"x", "0", "-5", "1e3", strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)} {
		for _, path := range []string{"/v1/look?at=", "/v1/settings?at=", "/v1/panels/history?span=1m&step=1s&end="} {
			resp, err := client.Get("http://node" + path + ms)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s%s answers %d", path, ms, resp.StatusCode)
			}
		}
	}
}
