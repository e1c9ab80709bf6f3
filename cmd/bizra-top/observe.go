package main

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/bizra/bizra-top/node/api"
	"github.com/bizra/bizra-top/probes"
)

// observer lets the API look at the history, which is above it. It implements
// [api.Observer].
type observer struct {
	history *probes.History
	panels  map[string]string // queries by id
}

func newObserver(h *probes.History) observer {
	o := observer{h, map[string]string{}}
	for _, p := range probes.Panels() {
		o.panels[p.ID] = p.Expr
	}
	return o
}

func (o observer) Query(ctx context.Context, expr string) ([]api.Sample, error) {
	vector, err := o.history.Instant(ctx, expr, o.history.Present())
	if err != nil {
		return nil, err
	}
	out := make([]api.Sample, 0, len(vector))
	for _, s := range vector {
		if s.H != nil {
			continue // a whole histogram is no number
		}
		of := map[string]string{}
		s.Metric.Range(func(l labels.Label) { of[l.Name] = l.Value })
		out = append(out, api.Sample{Labels: of, Value: s.F})
	}
	return out, nil
}

func (o observer) Panel(id string) (string, bool) {
	expr, ok := o.panels[id]
	return expr, ok
}
