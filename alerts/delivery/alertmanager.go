package delivery

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-openapi/strfmt"
	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/api/v2/models"
	"github.com/prometheus/common/model"
)

// maxBatch is how many alerts one request to an Alertmanager carries, as
// Prometheus's notifier has it.
const maxBatch = 256

// idle is how long a receiver sleeps when nothing is due and nobody wakes it.
const idle = time.Minute

// alertmanager sends alerts to one Alertmanager.
type alertmanager struct {
	*Dispatcher
	*receiver
	backoff *backoff.ExponentialBackOff
	retryAt time.Time
}

// work sends all that is pending. After a failure it waits, whatever comes.
func (m *alertmanager) work(ctx context.Context) time.Time {
	for ctx.Err() == nil && !time.Now().Before(m.retryAt) {
		sent, body := m.batch()
		if len(sent) == 0 {
			return time.Now().Add(idle)
		}
		wait, err := m.try(ctx, m.receiver, "", m.backoff, strings.TrimSuffix(m.address, "/")+"/api/v2/alerts", body)
		if err != nil && !refused(err) {
			m.retryAt = time.Now().Add(wait)
			break
		}
		if err != nil {
			m.metrics.dropped.WithLabelValues(m.integration).Add(float64(len(sent)))
		}
		m.settle(sent)
	}
	return m.retryAt
}

// batch takes up to maxBatch alerts that are pending. Silenced ones that fire are
// passed over: they come again with the next [ResendEvery].
func (m *alertmanager) batch() (map[model.Fingerprint]time.Time, []byte) {
	name, address := m.out()
	m.mu.Lock()
	defer m.mu.Unlock()
	sent := map[model.Fingerprint]time.Time{}
	var list models.PostableAlerts
	for f := range m.pending {
		a := m.queue.alerts[f]
		if a == nil {
			delete(m.pending, f)
			continue
		}
		if a.Timeout {
			if _, silenced := m.Silences.Silenced(a.Labels); silenced {
				delete(m.pending, f)
				continue
			}
		}
		if sent[f] = a.UpdatedAt; len(sent) > maxBatch {
			delete(sent, f)
			break
		}
		list = append(list, postable(a, name, address))
	}
	body, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings and times alone
	}
	return sent, body
}

// generator is the path that alerts link to: what fails in the node, and since when.
const generator = "/health"

func postable(a *alert.Alert, name, address string) *models.PostableAlert {
	return &models.PostableAlert{
		Annotations: set(a.Annotations), StartsAt: strfmt.DateTime(a.StartsAt), EndsAt: strfmt.DateTime(a.EndsAt),
		Alert: models.Alert{GeneratorURL: strfmt.URI(address + generator), Labels: set(named(a.Labels, name))},
	}
}

func set(from model.LabelSet) models.LabelSet {
	out := make(models.LabelSet, len(from))
	for k, v := range from {
		out[string(k)] = string(v)
	}
	return out
}

// settle takes alerts off the list that were sent as they are now.
func (m *alertmanager) settle(sent map[model.Fingerprint]time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for f, at := range sent {
		if a := m.queue.alerts[f]; a == nil || a.UpdatedAt.Equal(at) {
			delete(m.pending, f)
		}
	}
	m.count()
}

// out returns what alerts carry of this node: its name and its URL.
func (d *Dispatcher) out() (name, external string) {
	name, address := d.Node()
	if external = strings.TrimSuffix(d.Settings.ExternalURL.Get(), "/"); external == "" {
		external = "http://" + address
	}
	return name, external
}

// named adds the label instance, which tells the same alert of several nodes
// apart.
func named(labels model.LabelSet, name string) model.LabelSet {
	out := labels.Clone()
	if _, has := out[model.InstanceLabel]; !has {
		out[model.InstanceLabel] = model.LabelValue(name)
	}
	return out
}
