// Package delivery tells Alertmanagers and webhooks of alerts.
//
// An Alertmanager gets every alert as Prometheus sends it: again every minute
// while it fires, and for a quarter of an hour after it was resolved. All
// Alertmanagers get all alerts.
//
// A webhook gets what Alertmanager sends to webhooks, version 4: alerts in groups
// that wait, that are told anew when they change, and repeated when they do not.
// What acknowledged alerts alone fire for is not repeated.
//
// An alert that is silenced in the node goes to neither. One that an Alertmanager
// knows of already ends there four minutes after the silence began, as one does
// that is no longer sent. A webhook is told of the end of an alert it was told of,
// silenced or not, so that nothing stays open there.
//
// Messages arrive at least once: the queue and what each webhook was last told
// are kept on disk, and a crash between a message and the note of it repeats the
// message.
package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"

	"github.com/bizra/bizra-top/alerts/silence"
	"github.com/bizra/bizra-top/alerts/statefile"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/supervise"
)

// ResendEvery is how often what fires is handed to [Dispatcher.Send] again:
// Prometheus's default for --rules.alert.resend-delay.
const ResendEvery = time.Minute

// RestartGrace is for how long after a start an alert that fired before may be
// unheard of: rules need some time to find it again.
const RestartGrace = 2 * time.Minute

// Options are what a dispatcher is made of. All but Transport are needed.
type Options struct {
	Path     string // of the queue on disk
	Settings Settings
	Silences *silence.Store
	Metrics  prometheus.Registerer
	Log      *slog.Logger
	// Node returns the name of this node, which alerts carry as the label
	// instance, and the address of its API.
	Node func() (name, address string)
	// Notify is told when a receiver begins to fail, and when it is back.
	Notify    func(control.Event)
	Transport http.RoundTripper // over the network when nil
}

// Dispatcher sends alerts out while Run runs. All methods may be called from any
// goroutine.
type Dispatcher struct {
	Options
	metrics *metrics
	client  *http.Client
	wake    chan struct{}

	mu        sync.Mutex
	queue     *queue
	receivers map[string]*receiver  // by id
	unsaved   atomic.Pointer[error] // of the newest writing of the queue
}

// receiver is an Alertmanager or a webhook with the goroutine that serves it.
type receiver struct {
	integration, address, id string
	wake                     chan struct{}
	stop                     context.CancelFunc
	pending                  map[model.Fingerprint]bool // alerts an Alertmanager has yet to be sent; of the dispatcher's lock
	waiting                  int                        // of the dispatcher's lock
	failing                  map[string]bool            // the groups it does not take; of its goroutine alone
	newest                   atomic.Pointer[attempt]    // nil before the first
	// work does what is due and returns when the next thing is.
	work func(ctx context.Context) time.Time
}

// Open reads the queue. A damaged one is set aside and logged.
func Open(o Options) (*Dispatcher, error) {
	q, err := loadQueue(o.Path)
	if err != nil {
		if !damaged(err) {
			return nil, fmt.Errorf("open the queue of alerts: %w", err)
		}
		o.Log.Error("alerts that were not sent before the start may be lost", "error", err)
		o.Notify(control.Event{Kind: "alert", Severity: "bad", Subject: "queue of alerts", Text: "alerts that were not sent before the start may be lost: " + err.Error()})
	}
	d := &Dispatcher{Options: o, metrics: newMetrics(o.Metrics), wake: make(chan struct{}, 1), queue: q, receivers: map[string]*receiver{}}
	if o.Transport == nil {
		d.Transport = newTransport()
	}
	d.client = newClient(d.Transport)
	return d, nil
}

// LabelSet returns a rule's labels as silences and receivers know them.
func LabelSet(l labels.Labels) model.LabelSet {
	out := make(model.LabelSet, l.Len())
	l.Range(func(l labels.Label) { out[model.LabelName(l.Name)] = model.LabelValue(cut(l.Value)) })
	return out
}

// cut bounds a text that a rule has made.
func cut(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// Send takes what the rule manager says of one rule's alerts. It is a
// [rules.NotifyFunc] and returns at once.
func (d *Dispatcher) Send(_ context.Context, _ string, list ...*rules.Alert) {
	if len(list) == 0 {
		return
	}
	now := time.Now()
	d.mu.Lock()
	for _, a := range list {
		n := &alert.Alert{UpdatedAt: now, Timeout: a.ResolvedAt.IsZero(), Alert: model.Alert{
			Labels: LabelSet(a.Labels), Annotations: LabelSet(a.Annotations),
			StartsAt: a.FiredAt, EndsAt: a.ResolvedAt}}
		if n.Timeout {
			n.EndsAt = a.ValidUntil
		}
		d.queue.put(n)
		for _, r := range d.receivers {
			r.want(n.Fingerprint())
		}
	}
	d.mu.Unlock()
	nudge(d.wake)
}

// want notes that an Alertmanager has to be sent an alert.
func (r *receiver) want(f model.Fingerprint) {
	if r.pending != nil {
		r.pending[f] = true
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// lookEvery is how often the settings are looked at and the queue is tidied.
const lookEvery = 2 * time.Second

// Run sends until ctx ends, and leaves the queue on disk and no connection open.
func (d *Dispatcher) Run(ctx context.Context) {
	var wg sync.WaitGroup
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	failing := false
	for ctx.Err() == nil {
		d.reconcile(ctx, &wg)
		d.save(&failing)
		select {
		case <-ctx.Done():
		case <-d.wake:
			d.wakeAll()
		case <-look.C:
			d.tidy()
		}
	}
	wg.Wait()
	d.client.CloseIdleConnections()
	d.save(&failing)
}

// wakeAll has every receiver look at the queue.
func (d *Dispatcher) wakeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.receivers {
		nudge(r.wake)
	}
}

// reconcile starts receivers that are new in the settings and stops those that
// are gone.
func (d *Dispatcher) reconcile(ctx context.Context, wg *sync.WaitGroup) {
	d.mu.Lock()
	defer d.mu.Unlock()
	wanted := map[string]bool{}
	for integration, addresses := range map[string][]string{toAlertmanager: d.Settings.Alertmanagers.Get(), toWebhook: d.Settings.Webhooks.Get()} {
		for _, address := range addresses {
			id := identify(integration, address)
			wanted[id] = true
			if d.receivers[id] != nil {
				continue
			}
			r := d.newReceiver(integration, address, id)
			var own context.Context
			own, r.stop = context.WithCancel(ctx)
			d.receivers[id] = r
			supervise.Loop(own, wg, "receiver of alerts", r.run)
		}
	}
	for id, r := range d.receivers {
		if !wanted[id] {
			r.stop()
			delete(d.receivers, id)
		}
	}
	d.count()
}

// identify names a receiver without its address, which may hold a token.
func identify(integration, address string) string {
	sum := sha256.Sum256([]byte(integration + " " + address))
	return hex.EncodeToString(sum[:8])
}

func (d *Dispatcher) newReceiver(integration, address, id string) *receiver {
	r := &receiver{integration: integration, address: address, id: id, wake: make(chan struct{}, 1), failing: map[string]bool{}}
	if integration == toWebhook {
		r.work = (&webhook{Dispatcher: d, receiver: r, pace: map[string]*pace{}, backoff: newBackoff()}).work
		return r
	}
	r.pending = map[model.Fingerprint]bool{}
	for f := range d.queue.alerts {
		r.pending[f] = true
	}
	r.work = (&alertmanager{Dispatcher: d, receiver: r, backoff: newBackoff()}).work
	return r
}

// host is as much of the address as may be shown.
func (r *receiver) host() string {
	u, err := url.Parse(r.address)
	if err != nil {
		return "?"
	}
	return u.Host
}

// run does what is due until ctx ends.
func (r *receiver) run(ctx context.Context) {
	for ctx.Err() == nil {
		due := time.NewTimer(time.Until(r.work(ctx)))
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-due.C:
		}
		due.Stop()
	}
}

// try makes one attempt to send a group and returns how long to wait before the
// next one after an error that is not [refused].
func (d *Dispatcher) try(ctx context.Context, r *receiver, group string, pace *backoff.ExponentialBackOff, address string, body []byte) (time.Duration, error) {
	one, cancel := context.WithTimeout(ctx, d.Settings.Timeout.Get())
	defer cancel()
	began := time.Now()
	err := post(one, d.client, address, body)
	if ctx.Err() != nil {
		return 0, ctx.Err() // the node stops: no failure of the receiver
	}
	d.metrics.took.With(r.integration).Observe(time.Since(began))
	d.metrics.attempts.WithLabelValues(r.integration).Inc()
	if err != nil {
		d.metrics.failed.WithLabelValues(r.integration).Inc()
	}
	d.tell(r, group, err)
	r.saw(err)
	var later *backoff.RetryAfterError
	switch {
	case err == nil, refused(err):
		pace.Reset()
		return 0, err
	case errors.As(err, &later) && later.Duration > 0:
		return later.Duration, err
	}
	return pace.NextBackOff(), err
}

// refused says that trying again is of no use.
func refused(err error) bool {
	var p *backoff.PermanentError
	return errors.As(err, &p)
}

// tell says once that a receiver has begun to fail, and once that it takes all
// groups again.
func (d *Dispatcher) tell(r *receiver, group string, err error) {
	failed := len(r.failing) > 0
	delete(r.failing, group)
	if err != nil {
		r.failing[group] = true
	}
	if failed == (len(r.failing) > 0) {
		return
	}
	e := control.Event{Kind: "alert", Severity: "good", Subject: r.integration + " " + r.host(), Text: "takes alerts again"}
	if err != nil {
		e.Severity, e.Text = "warn", "does not take alerts, they wait: "+err.Error()
		if refused(err) {
			e.Text = "refuses alerts: " + err.Error()
		}
	}
	d.Notify(e)
}

// tidy keeps the queue within its bounds.
func (d *Dispatcher) tidy() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue.forget(func(webhook, _ string) bool { return d.receivers[webhook] == nil })
	if dropped := d.queue.tidy(time.Now()); dropped > 0 {
		for _, r := range d.receivers {
			d.metrics.dropped.WithLabelValues(r.integration).Add(float64(dropped))
		}
	}
	for _, r := range d.receivers {
		for f := range r.pending {
			if d.queue.alerts[f] == nil {
				delete(r.pending, f)
			}
		}
	}
}

// count sets the metric of what waits. The lock is held.
func (d *Dispatcher) count() {
	waiting := map[string]int{toAlertmanager: 0, toWebhook: 0}
	for _, r := range d.receivers {
		waiting[r.integration] += len(r.pending) + r.waiting
	}
	for integration, n := range waiting {
		d.metrics.waiting.WithLabelValues(integration).Set(float64(n))
	}
}

// save writes the queue if it has changed. Of failures the first is told.
func (d *Dispatcher) save(failing *bool) {
	d.mu.Lock()
	dirty := d.queue.dirty
	d.queue.dirty = false
	var doc document
	if dirty {
		doc = d.queue.document()
	}
	d.mu.Unlock()
	if !dirty {
		return
	}
	err := statefile.Save(d.Path, doc)
	d.unsaved.Store(&err)
	if err == nil {
		*failing = false
		return
	}
	d.metrics.writeErrors.Inc()
	if !*failing {
		d.Notify(control.Event{Kind: "alert", Severity: "bad", Subject: "queue of alerts", Text: "cannot be written, a restart would lose what waits: " + err.Error()})
	}
	*failing = true
	d.mu.Lock()
	d.queue.dirty = true
	d.mu.Unlock()
}
