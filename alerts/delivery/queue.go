package delivery

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"

	"github.com/bizra/bizra-top/alerts/statefile"
)

// Bounds of the queue. An alert of the shipped rules is about a thousand bytes.
const (
	maxAlerts = 2000
	maxBytes  = 16 << 20
	maxText   = 4096 // of one label or annotation
)

// resolvedRetention is for how long an alert that is over is kept: as long as
// Prometheus's rule manager tells of it.
const resolvedRetention = 15 * time.Minute

// forgetAfter bounds how long the end of an alert waits for a webhook that does
// not answer.
const forgetAfter = 24 * time.Hour

// queue holds the newest state of every alert, and of every webhook what it was
// last told of each group. Its fields are guarded by the dispatcher's lock.
//
// It is a queue in which a newer state of an alert takes the place of the older
// one: a receiver that comes back is told what is, not all that was.
type queue struct {
	alerts map[model.Fingerprint]*alert.Alert
	told   map[string]told // by webhook and group
	dirty  bool            // not on disk as it is
}

// told is what a webhook was last told of a group.
type told struct {
	At       time.Time           `json:"at"`
	Firing   []model.Fingerprint `json:"firing"`
	Resolved []model.Fingerprint `json:"resolved"`
}

// document is the queue on disk.
type document struct {
	Alerts []*alert.Alert  `json:"alerts"`
	Told   map[string]told `json:"told"`
}

// loadQueue reads the queue. Alerts that fired get until [RestartGrace] from now
// to fire again; then they count as resolved. A damaged file is an error, and the
// queue is empty.
func loadQueue(path string) (*queue, error) {
	q := &queue{alerts: map[model.Fingerprint]*alert.Alert{}, told: map[string]told{}}
	var d document
	err := statefile.Load(path, &d)
	if err != nil {
		return q, err
	}
	now := time.Now()
	for _, a := range d.Alerts {
		if a == nil || a.Validate() != nil {
			continue
		}
		if a.Timeout {
			a.EndsAt = now.Add(RestartGrace)
		}
		q.alerts[a.Fingerprint()] = a
	}
	for key, t := range d.Told {
		q.told[key] = t
	}
	return q, nil
}

func (q *queue) document() document {
	d := document{Told: make(map[string]told, len(q.told))}
	for _, a := range q.alerts {
		kept := *a
		d.Alerts = append(d.Alerts, &kept)
	}
	for key, t := range q.told {
		d.Told[key] = t
	}
	return d
}

// put takes a newer state of an alert in.
func (q *queue) put(n *alert.Alert) {
	f := n.Fingerprint()
	old, known := q.alerts[f]
	switch {
	case !known:
		q.dirty = true
	case n.Timeout:
		// It goes on: the time it began at is the first one, also over a restart.
		if old.Timeout && old.StartsAt.Before(n.StartsAt) {
			n.StartsAt = old.StartsAt
		}
		q.dirty = q.dirty || !old.Timeout
	default:
		if old.StartsAt.Before(n.StartsAt) && old.EndsAt.After(n.StartsAt) {
			n.StartsAt = old.StartsAt
		}
		q.dirty = q.dirty || old.Timeout || !old.EndsAt.Equal(n.EndsAt)
	}
	q.alerts[f] = n
}

// tidy resolves what has not been heard of in time, and forgets what is over and
// told. It returns how many alerts were dropped because there are too many.
func (q *queue) tidy(now time.Time) (dropped int) {
	awaited := map[model.Fingerprint]bool{}
	for _, t := range q.told {
		for _, f := range t.Firing {
			awaited[f] = true
		}
	}
	for f, a := range q.alerts {
		if a.Timeout && a.ResolvedAt(now) {
			a.Timeout, q.dirty = false, true
		}
		if age := now.Sub(a.EndsAt); !a.Timeout && age > resolvedRetention && (!awaited[f] || age > forgetAfter) {
			delete(q.alerts, f)
			q.dirty = true
		}
	}
	bytes := 0
	for _, a := range q.alerts {
		bytes += size(a)
	}
	if len(q.alerts) <= maxAlerts && bytes <= maxBytes {
		return 0
	}
	// What is over goes first, then what was heard of longest ago.
	all := make([]*alert.Alert, 0, len(q.alerts))
	for _, a := range q.alerts {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *alert.Alert) int {
		if a.Timeout != b.Timeout {
			if b.Timeout {
				return -1
			}
			return 1
		}
		return cmp.Or(a.UpdatedAt.Compare(b.UpdatedAt), cmp.Compare(a.Fingerprint(), b.Fingerprint()))
	})
	for _, a := range all {
		if len(q.alerts) <= maxAlerts && bytes <= maxBytes {
			break
		}
		delete(q.alerts, a.Fingerprint())
		bytes -= size(a)
		dropped++
	}
	q.dirty = true
	return dropped
}

// size returns about how many bytes an alert takes on disk.
func size(a *alert.Alert) int {
	n := 200 // times and names of members
	for _, set := range []model.LabelSet{a.Labels, a.Annotations} {
		for k, v := range set {
			n += len(k) + len(v) + 6
		}
	}
	return n
}

// forget drops what was told of groups, and to webhooks, that are no more.
func (q *queue) forget(gone func(webhook, group string) bool) {
	for key := range q.told {
		if webhook, group, _ := strings.Cut(key, " "); gone(webhook, group) {
			delete(q.told, key)
			q.dirty = true
		}
	}
}

// damaged tells whether an error only means that the queue starts empty.
func damaged(err error) bool { return errors.Is(err, statefile.ErrSetAside) }
