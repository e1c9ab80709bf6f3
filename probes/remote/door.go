package remote

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes"
)

const (
	// parallel is how many queries of one look are under way at once; a Prometheus
	// runs 20.
	parallel = 8
	// seenWithin is how long a node that is gone is still among those to choose.
	seenWithin = "1h"
	// assumedScrape is the interval of scrapes before two were seen, which is
	// Prometheus's default.
	assumedScrape = time.Minute
	// measureEvery is how often the interval of scrapes is looked at.
	measureEvery = 30 * time.Second
	// maxNodes bounds the nodes to choose from.
	maxNodes = 1000
	maxLabel = 200
)

// Door is one node behind a Prometheus server, with the methods of a
// [control.Client]. It may be used by any number of goroutines.
type Door struct {
	readOnly

	server    *Server
	label     string
	catalogue []settings.Setting

	mu      sync.Mutex
	chosen  *node
	looking sync.Mutex // one look at a time: they share what was found last
}

// node is the chosen one and what was last seen of it.
type node struct {
	*Server
	matcher  *labels.Matcher
	scrape   time.Duration
	measured time.Time
	at       time.Time // of the scrape that look was derived from
	look     control.Look
}

// NewDoor returns a door to the nodes of a server that the label tells apart.
// catalogue describes the settings, whose numbers are among the metrics. Choose must
// name a node before there is anything to see.
func NewDoor(s *Server, label string, catalogue []settings.Setting) (*Door, error) {
	if !model.UTF8Validation.IsValidLabelName(label) || label == model.MetricNameLabel {
		return nil, fmt.Errorf("%q is no label that tells nodes apart, such as instance", label)
	}
	return &Door{server: s, label: label, catalogue: catalogue}, nil
}

// Source says where the data comes from, without credentials.
func (d *Door) Source() string { return d.server.Name() }

// Nodes returns the values of the label of all nodes that were scraped within the
// last hour.
func (d *Door) Nodes(ctx context.Context) ([]string, error) {
	v, _, err := d.server.Query(ctx, fmt.Sprintf("group by (%s) (last_over_time(bizra_node_info[%s]))", quote(d.label), seenWithin), time.Time{})
	if err != nil {
		return nil, err
	}
	found, err := vector(v)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range found[:min(len(found), maxNodes)] {
		if name := s.Metric.Get(d.label); name != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// quote writes a label's name so that every server reads it: quotes, which only newer
// ones know, are for names that need them.
func quote(label string) string {
	if model.LegacyValidation.IsValidLabelName(label) {
		return label
	}
	return fmt.Sprintf("%q", label)
}

// Choose looks at the node with this value of the label from now on.
func (d *Door) Choose(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.chosen = &node{Server: d.server, matcher: labels.MustNewMatcher(labels.MatchEqual, d.label, name), scrape: assumedScrape}
}

func (d *Door) node() (*node, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.chosen == nil {
		return nil, errors.New("no node is chosen")
	}
	return d.chosen, nil
}

// Instant implements [probes.Evaluator] over the samples of the node.
func (n *node) Instant(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	expr, err := probes.Rewrite(expr, n.matcher, n.scrape)
	if err != nil {
		return nil, err
	}
	v, _, err := n.Query(ctx, expr, at)
	if err != nil {
		return nil, err
	}
	return vector(v)
}

// Range implements [probes.RangeEvaluator] over the samples of the node.
func (n *node) Range(ctx context.Context, expr string, start, end time.Time, step time.Duration, visit func(promql.Series)) error {
	expr, err := probes.Rewrite(expr, n.matcher, n.scrape)
	if err != nil {
		return err
	}
	m, _, err := n.QueryRange(ctx, expr, start, end, step)
	for _, s := range m {
		series := promql.Series{Metric: metric(s.Metric)}
		for _, p := range s.Values {
			series.Floats = append(series.Floats, promql.FPoint{T: int64(p.Timestamp), F: float64(p.Value)})
		}
		visit(series)
	}
	return err
}

// newest returns when the node was scraped last and the server's own time.
func (n *node) newest(ctx context.Context) (scraped, now time.Time, err error) {
	v, err := n.Instant(ctx, "max(timestamp(bizra_node_info))", time.Time{})
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	if len(v) == 0 {
		return time.Time{}, time.Time{}, fmt.Errorf("the Prometheus at %s has no data of %s=%s now: it is down or not scraped", n.Name(), n.matcher.Name, printable.Clean(n.matcher.Value, maxLabel))
	}
	return time.UnixMilli(int64(math.Round(v[0].F * 1000))), time.UnixMilli(v[0].T), nil
}

// measure looks how far apart the node's samples are.
func (n *node) measure(ctx context.Context) error {
	if time.Since(n.measured) < measureEvery {
		return nil
	}
	expr, err := probes.Rewrite("bizra_node_info[5m]", n.matcher, 0)
	if err != nil {
		return err
	}
	v, _, err := n.Query(ctx, expr, time.Time{})
	if err != nil {
		return err
	}
	m, _ := v.(model.Matrix)
	var gaps []time.Duration
	for _, s := range m {
		for i := 1; i < len(s.Values); i++ {
			gaps = append(gaps, s.Values[i].Timestamp.Sub(s.Values[i-1].Timestamp))
		}
	}
	if len(gaps) == 0 {
		return nil // as before; the next look tries again
	}
	slices.Sort(gaps)
	n.scrape, n.measured = gaps[len(gaps)/2], time.Now()
	return nil
}

// Look returns one tick. It is derived once a scrape, however often it is asked for.
// There are no events: a Prometheus keeps none.
func (d *Door) Look(ctx context.Context, _ uint64) (control.Look, error) {
	d.looking.Lock()
	defer d.looking.Unlock()
	n, err := d.node()
	if err != nil {
		return control.Look{}, err
	}
	scraped, now, err := n.newest(ctx)
	if err != nil {
		return control.Look{}, err
	}
	if err := n.measure(ctx); err != nil {
		return control.Look{}, err
	}
	if age := now.Sub(scraped); age > max(4*n.scrape, 10*time.Second) {
		return control.Look{}, fmt.Errorf("the Prometheus at %s scraped %s=%s %s ago and not since", n.Name(), n.matcher.Name,
			printable.Clean(n.matcher.Value, maxLabel), age.Round(time.Second))
	}
	if !scraped.Equal(n.at) {
		l, err := probes.LookAt(ctx, n, scraped, parallel)
		if err != nil {
			return control.Look{}, err
		}
		if l.Alerts, err = n.alerts(ctx, l.Alerts, scraped); err != nil {
			return control.Look{}, err
		}
		l.Node.Name = printable.Clean(n.matcher.Value, maxLabel)
		n.look, n.at = l, scraped
	}
	l := n.look
	l.Time = now
	return l, nil
}

// Panels returns the panel catalogue.
func (d *Door) Panels(context.Context) ([]control.Panel, error) { return probes.Panels(), nil }

// History returns every panel's series over the last span, by panel id.
func (d *Door) History(ctx context.Context, span, step time.Duration) (map[string][]control.Series, error) {
	d.looking.Lock() // the first look measures the interval of scrapes
	defer d.looking.Unlock()
	n, err := d.node()
	if err != nil {
		return nil, err
	}
	_, now, err := n.newest(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.measure(ctx); err != nil {
		return nil, err
	}
	return probes.HistoryBetween(ctx, n, now.Add(-span).Truncate(step), now, step, parallel)
}

// Settings returns the settings with a number, sorted by key; texts are not among
// the metrics, nor where a value came from.
func (d *Door) Settings(ctx context.Context) ([]control.Setting, error) {
	d.looking.Lock()
	defer d.looking.Unlock()
	n, err := d.node()
	if err != nil {
		return nil, err
	}
	values, err := probes.SettingsAt(ctx, n, time.Time{})
	if err != nil {
		return nil, err
	}
	var out []control.Setting
	for _, s := range d.catalogue {
		v, there := values[s.Key]
		if !there || !s.Numeric {
			continue
		}
		s.Number, s.Text = v, settings.FormatNumber(s.Kind, v)
		if s.Kind == settings.KindBool {
			s.Text = fmt.Sprint(v == 1)
		}
		s.Started, s.Source = s.Text, ""
		out = append(out, control.DescribeSetting(s))
	}
	slices.SortFunc(out, func(a, b control.Setting) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// Actions returns none.
func (d *Door) Actions(context.Context) ([]control.Action, error) { return nil, nil }
