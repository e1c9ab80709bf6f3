package delivery

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"
)

// maxMessage is how many alerts one message to a webhook carries; it says how
// many more there are.
const maxMessage = 256

// webhook tells one URL of groups of alerts. When it does is Alertmanager's
// (dispatch.aggrGroup and notify.DedupStage).
type webhook struct {
	*Dispatcher
	*receiver
	pace    map[string]*pace // by group
	backoff *backoff.ExponentialBackOff
	retryAt time.Time
}

// pace says when a group is looked at next.
type pace struct {
	next time.Time
	over bool // nothing fires and all is told: what fires next waits as in a new group
}

// group is the alerts that share a message.
type group struct {
	labels model.LabelSet
	alerts []member
}

// member is a copy of an alert with the labels that receivers see, and those that
// silences and acknowledgements see.
type member struct {
	*alert.Alert
	own model.LabelSet
}

// message is the body, as Alertmanager's package notify/webhook writes it.
type message struct {
	*template.Data
	Version         string `json:"version"`
	GroupKey        string `json:"groupKey"`
	TruncatedAlerts uint64 `json:"truncatedAlerts"`
}

// work tells of the groups that are due, those that wait longest first. A failure
// holds all of them up, so that a receiver that hangs is asked once at a time, and
// is told everything as soon as it answers.
func (w *webhook) work(ctx context.Context) time.Time {
	now := time.Now()
	name, external := w.out()
	groups := w.groups(name)
	w.plan(groups, now)
	keys := slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
		return cmp.Or(w.pace[a].next.Compare(w.pace[b].next), cmp.Compare(a, b))
	})
	for _, key := range keys {
		if ctx.Err() != nil || now.Before(w.retryAt) {
			break
		}
		if !time.Now().Before(w.pace[key].next) {
			w.flush(ctx, key, groups[key], w.pace[key], external)
			now = time.Now()
		}
	}
	wake, waiting := now.Add(idle), 0
	for key, p := range w.pace {
		if p.next.Before(wake) {
			wake = p.next
		}
		if now.Before(w.retryAt) && !w.retryAt.Before(p.next) {
			list, _ := w.news(key, groups[key], now)
			waiting += len(list)
		}
	}
	w.mu.Lock()
	w.queue.forget(func(webhook, group string) bool { return webhook == w.id && groups[group] == nil })
	w.waiting = waiting
	w.count()
	w.mu.Unlock()
	if wake.Before(w.retryAt) {
		return w.retryAt
	}
	return wake
}

// plan says when new groups, and those in which something fires anew, are due, and
// forgets those that are gone.
func (w *webhook) plan(groups map[string]*group, now time.Time) {
	for key, g := range groups {
		p := w.pace[key]
		if p == nil {
			p = &pace{over: true}
			w.pace[key] = p
		}
		if first, fires := g.fires(now); p.over && fires {
			p.over, p.next = false, first.Add(w.Settings.GroupWait.Get())
		}
	}
	for key := range w.pace {
		if groups[key] == nil {
			delete(w.pace, key)
			w.tell(w.receiver, key, nil)
		}
	}
}

// groups returns copies of all alerts by the key of their group.
func (d *Dispatcher) groups(name string) map[string]*group {
	by := d.Settings.GroupBy.Get()
	each := slices.Contains(by, "...")
	out := map[string]*group{}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.queue.alerts {
		shown := *a
		shown.Labels = named(a.Labels, name)
		labels := model.LabelSet{}
		for k, v := range shown.Labels {
			if each || slices.Contains(by, string(k)) {
				labels[k] = v
			}
		}
		key := "{}:" + labels.String()
		if out[key] == nil {
			out[key] = &group{labels: labels}
		}
		out[key].alerts = append(out[key].alerts, member{&shown, a.Labels})
	}
	return out
}

// fires tells whether an alert of the group fires, and when the first one began.
func (g *group) fires(now time.Time) (first time.Time, ok bool) {
	for _, a := range g.alerts {
		if !a.ResolvedAt(now) && (!ok || a.StartsAt.Before(first)) {
			first, ok = a.StartsAt, true
		}
	}
	return first, ok
}

// flush tells the webhook of a group if there is something to tell, and sets when
// the group is looked at next.
func (w *webhook) flush(ctx context.Context, key string, g *group, p *pace, external string) {
	now := time.Now()
	_, fires := g.fires(now)
	p.next, p.over = now.Add(w.Settings.GroupInterval.Get()), !fires
	list, next := w.news(key, g, now)
	if len(list) == 0 {
		return
	}
	body, err := compose(key, g.labels, list, external)
	if err != nil {
		panic(err) // strings and times alone
	}
	wait, err := w.try(ctx, w.receiver, key, w.backoff, w.address, body)
	switch {
	case err == nil:
		w.mu.Lock()
		w.queue.told[w.id+" "+key], w.queue.dirty = next, true
		w.mu.Unlock()
		nudge(w.Dispatcher.wake) // to write it
	case refused(err):
		w.metrics.dropped.WithLabelValues(w.integration).Add(float64(len(list)))
	default:
		w.retryAt = time.Now().Add(wait)
		p.next, p.over = w.retryAt, false
	}
}

// news returns what the webhook is to be told of a group now, and what it will
// have been told then.
func (w *webhook) news(key string, g *group, now time.Time) ([]*alert.Alert, told) {
	w.mu.Lock()
	before, known := w.queue.told[w.id+" "+key]
	w.mu.Unlock()
	list, next, quiet := w.audible(g, before, now)
	if len(list) > 0 && due(before, known, next, quiet, w.Settings.RepeatInterval.Get()) {
		return list, next
	}
	return nil, next
}

// audible returns the alerts of a group that the webhook is to hear of, firing
// ones first, and what it will have been told then. quiet says that each one that
// fires is acknowledged.
func (w *webhook) audible(g *group, before told, now time.Time) (list []*alert.Alert, next told, quiet bool) {
	next.At, quiet = now, true
	for _, a := range g.alerts {
		f, over := a.Fingerprint(), a.ResolvedAt(now)
		_, silenced := w.Silences.Silenced(a.own)
		open := slices.Contains(before.Firing, f)
		switch {
		case over && (!silenced || open):
			next.Resolved = append(next.Resolved, f)
			list = append(list, a.Alert)
		case !over && !silenced:
			next.Firing = append(next.Firing, f)
			list = append(list, a.Alert)
			_, acknowledged := w.Silences.Acknowledged(a.own)
			quiet = quiet && acknowledged
		case !over && open:
			next.Firing = append(next.Firing, f) // its end will be told
		}
	}
	slices.SortFunc(list, func(a, b *alert.Alert) int {
		if over := a.ResolvedAt(now); over != b.ResolvedAt(now) {
			if over {
				return 1
			}
			return -1
		}
		if a.Labels.Before(b.Labels) {
			return -1
		}
		return 1
	})
	return list, next, quiet
}

// due tells whether a webhook is to be told next when it was told before, as
// Alertmanager decides it (notify.DedupStage.needsUpdate).
func due(before told, known bool, next told, quiet bool, repeat time.Duration) bool {
	within := func(some, all []model.Fingerprint) bool {
		return !slices.ContainsFunc(some, func(f model.Fingerprint) bool { return !slices.Contains(all, f) })
	}
	switch {
	case !known:
		return len(next.Firing) > 0
	case !within(next.Firing, before.Firing):
		return true
	case len(next.Firing) == 0:
		return len(before.Firing) > 0
	case !within(next.Resolved, before.Resolved):
		return true
	}
	return !quiet && next.At.Sub(before.At) >= repeat
}

// compose writes the message of a group.
func compose(key string, labels model.LabelSet, list []*alert.Alert, external string) ([]byte, error) {
	base, err := url.Parse(external)
	if err != nil {
		base = &url.URL{}
	}
	more := max(0, len(list)-maxMessage)
	list = slices.Clone(list[:len(list)-more])
	for i, a := range list {
		shown := *a
		shown.GeneratorURL = external + generator
		list[i] = &shown
	}
	t := template.Template{ExternalURL: base}
	return json.Marshal(message{Data: t.Data("bizra-top", labels, nil, "", list...), Version: "4", GroupKey: key, TruncatedAlerts: uint64(more)})
}
