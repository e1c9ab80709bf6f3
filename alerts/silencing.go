package alerts

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	matchers "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/rules"

	"github.com/bizra/bizra-top/alerts/delivery"
	"github.com/bizra/bizra-top/alerts/silence"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

// The evaluator is what the door asks to silence and acknowledge.
var _ control.Silencer = (*Evaluator)(nil)

// instance is an alert that is pending or firing.
type instance struct {
	rule   *rules.AlertingRule
	alert  *rules.Alert
	labels model.LabelSet
}

func (e *Evaluator) instances() []instance {
	var out []instance
	for _, r := range e.manager.AlertingRules() {
		for _, a := range r.ActiveAlerts() {
			if a.State != rules.StateInactive {
				out = append(out, instance{r, a, delivery.LabelSet(a.Labels)})
			}
		}
	}
	return out
}

// Silences implements [control.Silencer].
func (e *Evaluator) Silences() []control.Silence {
	active := e.instances()
	list := e.silences.List()
	out := make([]control.Silence, len(list))
	for i, s := range list {
		out[i] = describe(s, active)
	}
	return out
}

func describe(s silence.Silence, active []instance) control.Silence {
	out := control.Silence{ID: s.ID, State: s.State(time.Now()), StartsAt: s.StartsAt, EndsAt: s.EndsAt,
		CreatedAt: s.CreatedAt, Author: s.Author, Comment: s.Comment}
	for _, m := range s.Matchers {
		out.Matchers = append(out.Matchers, m.String())
	}
	for _, a := range active {
		if s.Matchers.Matches(a.labels) {
			out.Alerts++
		}
	}
	return out
}

// AddSilence implements [control.Silencer].
func (e *Evaluator) AddSilence(r control.SilenceRequest, author string) (control.Silence, error) {
	active := e.instances()
	span, err := settings.ParseNumber(settings.KindDuration, r.For)
	if err != nil || r.For == "" {
		return control.Silence{}, &control.Problem{Status: http.StatusUnprocessableEntity, Text: "for must say how long, such as 2h, 90m or 1d"}
	}
	n := silence.Silence{StartsAt: r.StartsAt, Author: author, Comment: r.Comment}
	if n.StartsAt.IsZero() {
		n.StartsAt = time.Now()
	}
	n.EndsAt = n.StartsAt.Add(time.Duration(span * float64(time.Second)))
	switch {
	case r.Fingerprint == "":
		n.Matchers, err = silence.Parse(r.Matchers)
	case len(r.Matchers) > 0:
		err = fmt.Errorf("%w: give matchers or a fingerprint, not both", silence.ErrInvalid)
	default:
		var one instance
		if one, err = find(active, r.Fingerprint, "", nil); err == nil {
			n.Matchers = exactly(one.labels)
		}
	}
	if err == nil {
		n, err = e.silences.Add(n)
	}
	if err != nil {
		return control.Silence{}, refuse(err)
	}
	return describe(n, active), nil
}

// exactly returns the matchers of one label set.
func exactly(labels model.LabelSet) matchers.Matchers {
	var out matchers.Matchers
	for name, value := range labels {
		out = append(out, &matchers.Matcher{Type: matchers.MatchEqual, Name: string(name), Value: string(value)})
	}
	slices.SortFunc(out, func(a, b *matchers.Matcher) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// ExpireSilence implements [control.Silencer].
func (e *Evaluator) ExpireSilence(id string) (control.Silence, error) {
	s, err := e.silences.Expire(id)
	if err != nil {
		return control.Silence{}, refuse(err)
	}
	return describe(s, e.instances()), nil
}

// Acknowledge implements [control.Silencer].
func (e *Evaluator) Acknowledge(r control.AcknowledgeRequest, author string) (control.Alert, error) {
	one, err := find(e.instances(), r.Fingerprint, r.Alert, r.Labels)
	if err == nil {
		_, err = e.silences.Acknowledge(one.labels, author, r.Comment)
	}
	if err != nil {
		return control.Alert{}, refuse(err)
	}
	return e.active(one.rule, one.alert), nil
}

// Withdraw implements [control.Silencer].
func (e *Evaluator) Withdraw(fingerprint string) (control.Alert, error) {
	f, err := model.ParseFingerprint(fingerprint)
	if err != nil {
		return control.Alert{}, &control.Problem{Status: http.StatusNotFound, Text: fmt.Sprintf("%q is no fingerprint of an alert; GET /v1/alerts shows them", fingerprint)}
	}
	a, ok, err := e.silences.Withdraw(f)
	if err != nil {
		return control.Alert{}, refuse(err)
	}
	if !ok {
		return control.Alert{}, &control.Problem{Status: http.StatusNotFound, Text: "that alert is not acknowledged"}
	}
	one, err := find(e.instances(), fingerprint, "", nil)
	if err != nil { // over by now
		return control.Alert{Name: string(a.Labels[model.AlertNameLabel]), State: "inactive"}, nil
	}
	return e.active(one.rule, one.alert), nil
}

// The ways not to find an alert.
var (
	errNoAlert   = errors.New("no such alert is pending or firing")
	errAmbiguous = errors.New("more than one alert is meant")
)

// find returns the one alert with that fingerprint, or else of that rule and with
// those labels.
func find(active []instance, fingerprint, name string, labels map[string]string) (instance, error) {
	var found []instance
	for _, a := range active {
		fits := a.labels.Fingerprint().String() == fingerprint
		if fingerprint == "" {
			fits = string(a.labels[model.AlertNameLabel]) == name
			for k, v := range labels {
				fits = fits && string(a.labels[model.LabelName(k)]) == v
			}
		}
		if fits {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 0:
		if fingerprint != "" {
			return instance{}, fmt.Errorf("%w: it is over", errNoAlert)
		}
		return instance{}, fmt.Errorf("%w: %s", errNoAlert, cmp.Or(name, "give a name"))
	case 1:
		return found[0], nil
	}
	var which []string
	for _, f := range found[:min(len(found), 5)] {
		which = append(which, f.labels.String())
	}
	return instance{}, fmt.Errorf("%w by %s: add a label, such as of %s", errAmbiguous, name, strings.Join(which, " "))
}

// refuse gives an error the status that its kind has.
func refuse(err error) error {
	for kind, status := range map[error]int{
		silence.ErrInvalid: http.StatusUnprocessableEntity, silence.ErrNotFound: http.StatusNotFound, errNoAlert: http.StatusNotFound,
		silence.ErrEnded: http.StatusConflict, errAmbiguous: http.StatusConflict, silence.ErrFull: http.StatusInsufficientStorage,
	} {
		if errors.Is(err, kind) {
			return &control.Problem{Status: status, Text: err.Error()}
		}
	}
	return err // the disk
}
