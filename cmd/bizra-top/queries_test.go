package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	client "github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
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
	if s, err = newService(t.Context(), d, place{dir, socket, "node"}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.run(ctx); err != nil {
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
