package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	client "github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes"
)

// serveNode runs a whole node in this process until the test ends.
func serveNode(t *testing.T, changes ...settings.Change) (s *service, socket string) {
	t.Helper()
	chain, err := devchain.Start(t.Context(), devchain.Config{Seed: 1, Prefill: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chain.Close() })
	d := declareAll()
	if err := d.registry.Load(settings.SourceFile, append(changes,
		settings.Change{Key: "upstream.providers", Value: "dev=" + chain.URLs()[0]},
		settings.Change{Key: "api.listen", Value: "127.0.0.1:0"})); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	socket = filepath.Join(dir, "s")
	at := place{stateDir: dir, socket: socket, mode: "node"}
	sockets, err := openSockets(d, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sockets.Close(false) })
	if s, err = newService(t.Context(), d, at, slog.New(slog.DiscardHandler), sockets, nil); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.run(ctx, nil, func(context.Context) {}); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	return s, socket
}

// Prometheus's own Go client, which Grafana's back end is built on too, reads the
// node through both doors and finds the same.
func TestPrometheusClientsReadTheNodeThroughBothDoors(t *testing.T) {
	s, socket := serveNode(t, settings.Change{Key: "history.listen", Value: "127.0.0.1:0"})
	overSocket := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	for door, config := range map[string]client.Config{
		"address": {Address: "http://" + s.queries.Address()},
		"socket":  {Address: "http://node", RoundTripper: overSocket},
	} {
		t.Run(door, func(t *testing.T) {
			c, err := client.NewClient(config)
			if err != nil {
				t.Fatal(err)
			}
			api, ctx := v1.NewAPI(c), t.Context()
			var instant model.Vector
			for range 100 {
				value, _, _, err := api.Query(ctx, `bizra_setting{key="pool.limit"}`, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				if instant = value.(model.Vector); len(instant) > 0 {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			now := time.Now()
			if len(instant) != 1 || instant[0].Metric["key"] != "pool.limit" || float64(instant[0].Value) < 1 {
				t.Fatalf("%v", instant)
			}
			over, _, _, err := api.QueryRange(ctx, `bizra_node_info`, v1.Range{Start: now.Add(-time.Minute), End: now, Step: time.Second})
			if err != nil || len(over.(model.Matrix)) != 1 {
				t.Errorf("%v %v", over, err)
			}
			histogram, _, _, err := api.Query(ctx, `bizra_http_request_seconds`, time.Time{})
			if err != nil || len(histogram.(model.Vector)) == 0 || histogram.(model.Vector)[0].Histogram == nil {
				t.Errorf("%v %v", histogram, err)
			}
			series, _, _, err := api.Series(ctx, []string{"bizra_node_info"}, now.Add(-time.Minute), now)
			if err != nil || len(series) != 1 || series[0]["mode"] != "node" {
				t.Errorf("%v %v", series, err)
			}
			names, _, _, err := api.LabelNames(ctx, []string{"bizra_node_info"}, now.Add(-time.Minute), now)
			if err != nil || !slices.Equal(names, model.LabelNames{"__name__", "mode", "version"}) {
				t.Errorf("%v %v", names, err)
			}
			values, _, _, err := api.LabelValues(ctx, "state", []string{"bizra_circuit_breaker_state"}, now.Add(-time.Minute), now)
			if err != nil || !slices.Contains(values, "half-open") {
				t.Errorf("%v %v", values, err)
			}
			metadata, err := api.Metadata(ctx, "bizra_http_request_seconds", "")
			if err != nil || len(metadata["bizra_http_request_seconds"]) != 1 || metadata["bizra_http_request_seconds"][0].Type != v1.MetricTypeHistogram {
				t.Errorf("%v %v", metadata, err)
			}
			rules, err := api.Rules(ctx, nil)
			if err != nil || len(rules.Groups) < 8 || len(rules.Groups[0].Rules) == 0 {
				t.Errorf("%+v %v", rules, err)
			}
			if alerts, err := api.Alerts(ctx); err != nil {
				t.Errorf("%+v %v", alerts, err)
			}
			if info, err := api.Buildinfo(ctx); err != nil || info.Version == "" {
				t.Errorf("%+v %v", info, err)
			}
			_, _, _, err = api.Query(ctx, `sum(`, time.Time{})
			if refused, ok := err.(*v1.Error); !ok || refused.Type != v1.ErrBadData {
				t.Errorf("%v", err)
			}
		})
	}
}

// sameTables compares what a look tells in numbers; texts that no metric has, and
// quantiles, which the node measures over other windows, are left out.
func sameTables(got, want control.Look) error {
	for i := range want.Breakers {
		b := &want.Breakers[i]
		b.Reason, b.LastError, b.NextProbe, b.Since = "", "", time.Time{}, b.Since.Truncate(time.Millisecond).UTC()
	}
	for i := range got.Breakers {
		got.Breakers[i].Since = got.Breakers[i].Since.UTC()
	}
	for _, l := range []*control.Look{&got, &want} {
		for i := range l.Upstreams {
			u := &l.Upstreams[i]
			u.Host, u.LastError, u.Lacks, u.P50, u.P95, u.P99 = "", "", nil, 0, 0, 0
		}
		l.Pool.LastError, l.Warming.Since = "", time.Time{}
	}
	for _, part := range []struct {
		name      string
		got, want any
	}{
		{"breakers", got.Breakers, want.Breakers}, {"upstreams", got.Upstreams, want.Upstreams}, {"pool", got.Pool, want.Pool},
		{"tiers", got.Tiers, want.Tiers}, {"warming", got.Warming, want.Warming}, {"revision", got.Revision, want.Revision},
		{"version", got.Node.Version, want.Node.Version}, {"mode", got.Node.Mode, want.Node.Mode},
		{"head", got.Node.Head.Trust, want.Node.Head.Trust}, {"ledger", got.Node.Ledger, want.Node.Ledger}, {"L2", got.Node.L2, want.Node.L2},
	} {
		if !reflect.DeepEqual(part.got, part.want) {
			return fmt.Errorf("%s: %+v, the node says %+v", part.name, part.got, part.want)
		}
	}
	return nil
}

// samePanels compares the panels of two looks at nearly the same moment. A quantile of
// classic buckets may be anywhere in one; what moves by itself has some room.
func samePanels(got, want map[string][]control.Value) error {
	for _, p := range probes.Panels() {
		if len(got[p.ID]) != len(want[p.ID]) {
			return fmt.Errorf("%s: %d series, the node has %d", p.ID, len(got[p.ID]), len(want[p.ID]))
		}
		for i, w := range want[p.ID] {
			g := got[p.ID][i]
			a, b := float64(*g.Value), float64(*w.Value)
			room := 0.3*max(math.Abs(a), math.Abs(b)) + 0.5
			switch {
			case strings.Contains(p.Expr, "histogram_quantile"):
				room = 0.9*max(math.Abs(a), math.Abs(b)) + 0.001
			case p.ID == "memory" || p.ID == "goroutines":
				room = max(a, b) / 2
			case !strings.Contains(p.Expr, "rate("):
				room = 1e-9
			}
			if g.Label != w.Label || math.IsNaN(a) != math.IsNaN(b) || math.Abs(a-b) > room {
				return fmt.Errorf("%s: %s %v, the node says %s %v", p.ID, g.Label, a, w.Label, b)
			}
		}
	}
	return nil
}

// alike waits until two looks at the same node agree: what happens between them is
// told by one only.
func alike(t *testing.T, derived, direct func() (control.Look, error)) {
	t.Helper()
	began := time.Now()
	var last error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(150 * time.Millisecond) {
		want, err := direct()
		if err != nil {
			t.Fatal(err)
		}
		got, err := derived()
		if err == nil {
			err = errors.Join(sameTables(got, want), samePanels(got.Panels, want.Panels))
		}
		if last = err; err == nil {
			t.Logf("alike after %s", time.Since(began).Round(time.Millisecond))
			return
		}
	}
	t.Fatal(last)
}

// exercise makes the tables of a node say something.
func exercise(t *testing.T, s *service, c *control.Client, force bool) {
	t.Helper()
	for n := range 2 {
		for range 3 + 2*n {
			r, err := http.Get(fmt.Sprintf("http://%s/v1/blocks/%d", s.node.Address(), n))
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Body.Close()
		}
	}
	if force {
		if _, err := c.Act(t.Context(), control.ActionRequest{ID: "breaker.metrics_only", Target: "upstream/dev"}); err != nil {
			t.Fatal(err)
		}
	}
}

// What is derived from the embedded history at a moment is what the node said then.
func TestTablesOfTheHistoryAreThoseOfTheNode(t *testing.T) {
	s, socket := serveNode(t)
	c := control.NewClient(socket)
	defer c.Close()
	exercise(t, s, c, true)
	alike(t, func() (control.Look, error) { return probes.LookAt(t.Context(), s.history, s.sampler.Latest(), 1) },
		func() (control.Look, error) { return c.Look(t.Context(), 0) })

	// And later it still is, while the node has gone on.
	then, at := time.Now(), s.sampler.Latest()
	before, err := probes.LookAt(t.Context(), s.history, at, 1)
	if err != nil || before.Breakers[0].State != "metrics-only" {
		t.Fatalf("%v %+v", err, before.Breakers)
	}
	if _, err := c.Act(t.Context(), control.ActionRequest{ID: "breaker.reset", Target: "upstream/dev"}); err != nil {
		t.Fatal(err)
	}
	for end := then.Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		now, err := probes.LookAt(t.Context(), s.history, s.sampler.Latest(), 1)
		if err == nil && now.Breakers[0].State == "closed" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%v %+v", err, now.Breakers)
		}
	}
	again, err := probes.LookAt(t.Context(), s.history, at, 1)
	if err != nil || !reflect.DeepEqual(again.Breakers, before.Breakers) {
		t.Errorf("%v %+v, before %+v", err, again.Breakers, before.Breakers)
	}
}

func TestQueryCommand(t *testing.T) {
	_, socket := serveNode(t)
	ask := func(args ...string) (string, error) {
		return execute(t, append([]string{"query", "--socket", socket}, args...)...)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if out, err := ask("count_over_time(bizra_node_info[1m]) > 2"); err == nil && out != "no series\n" {
			break
		} else if time.Now().After(end) {
			t.Fatal(out, err)
		}
	}
	for _, c := range []struct {
		args []string
		want string // a regular expression of the whole output
	}{
		{[]string{`bizra_setting{key="pool.limit"}`}, `metric         key         value\nbizra_setting  pool.limit  +\d+\n`},
		{[]string{`vector(1e9) / 3`}, ` *value\n333333333\.3333333\d*\n`},
		{[]string{`1 + 1`}, `value\n +2\n`},
		{[]string{`none`}, `no series\n`},
		{[]string{`none`, "--json"}, `(?s)\{.*"result": \[\].*"resultType": "vector"\n\}\n`},
		{[]string{`none`, "--csv"}, `time,value\n`},
		{[]string{`bizra_node_info`, "--csv"}, `time,__name__,mode,version,value\n20\S+Z,bizra_node_info,node,devel,1\n`},
		{[]string{`bizra_node_info`, "--at", "-1d"}, `no series\n`},
		{[]string{`bizra_node_info`, "--range", "2s", "--step", "1s"}, `time +metric +mode +version +value\n(20\d\d-\S+ \S+ \S+ +bizra_node_info +node +devel +1\n){2,3}`},
	} {
		out, err := ask(c.args...)
		if err != nil || !regexp.MustCompile("^"+c.want+"$").MatchString(out) {
			t.Errorf("%q: %v\n%s", c.args, err, out)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"sum(rate(x[5m])"}, "column 16, at ▸: unclosed left parenthesis\nsum(rate(x[5m])▸"},
		{[]string{"ü + rate(up)"}, "column"},
		{[]string{"max_over_time(up[1y:1ms])"}, "column 15, at ▸: the subquery has 31536000000 steps"},
		{[]string{"up", "--at", "tomorrow"}, "is no moment such as"},
		{[]string{"up", "--step", "1s"}, "--step goes with --range"},
		{[]string{"up", "--range", "1h", "--step", "1ms"}, "must make 1 to 11000 steps"},
		{[]string{"up", "--range=-1h"}, "must make 1 to 11000 steps"},
		{[]string{"up", "--prometheus", "ftp://user:secret@host"}, "must be a URL such as"},
		{[]string{"up", "--prometheus", "http://user:secret@127.0.0.1:1"}, "no answer from the Prometheus API at http://127.0.0.1:1"},
	} {
		if out, err := ask(c.args...); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v\n%s", c.args, err, out)
		}
	}
	if out, err := execute(t, "__complete", "--socket", socket, "query", "sum(bizra_db_pool_w"); err != nil || !strings.Contains(out, "sum(bizra_db_pool_waiting\n") {
		t.Errorf("%v %s", err, out)
	}
}

func TestQueryChart(t *testing.T) {
	from := model.TimeFromUnix(1795000000)
	var m model.Matrix
	for i := range 8 {
		s := &model.SampleStream{Metric: model.Metric{"__name__": "x\x1b[31m", "i": model.LabelValue(strconv.Itoa(i))}}
		for k := range 61 {
			s.Values = append(s.Values, model.SamplePair{Timestamp: from.Add(time.Duration(k) * time.Minute), Value: model.SampleValue(float64(i*10) + math.Sin(float64(k)))})
		}
		m = append(m, s)
	}
	m[1].Values[7].Value = model.SampleValue(math.NaN())
	m[2].Values[8].Value = model.SampleValue(math.Inf(1))
	for _, colours := range []bool{true, false} {
		var out bytes.Buffer
		if err := printChart(&out, m, 80, 24, colours); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if strings.Contains(text, "\x1b[31mx") || strings.Contains(text, "\x1b") != colours {
			t.Errorf("escape codes: %q", text)
		}
		text = ansi.Strip(text)
		for _, want := range []string{from.Time().Local().Format("15:04:05"), from.Add(time.Hour).Time().Local().Format("15:04:05"), `i="5"`, "and 2 series more"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		for line := range strings.Lines(text) {
			if ansi.StringWidth(strings.TrimRight(line, "\n")) > 80 {
				t.Errorf("wider than the terminal: %q", line)
			}
		}
	}
	for _, flat := range []float64{0, 5, -5, math.NaN()} {
		var out bytes.Buffer
		one := model.Matrix{{Metric: model.Metric{"i": "0"}, Values: []model.SamplePair{{Timestamp: from, Value: model.SampleValue(flat)}}}}
		if err := printChart(&out, one, 40, 10, true); err != nil || out.Len() == 0 {
			t.Errorf("%v: %v %q", flat, err, out.String())
		}
	}
}
