package control_test

import (
	"errors"
	"net/http"
	"os/user"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// silencer keeps nothing: it hands back what it was asked, and refuses "none".
type silencer struct{}

var errNone = &control.Problem{Status: http.StatusNotFound, Text: "there is none"}

func (silencer) Silences() []control.Silence { return []control.Silence{{ID: "s1", State: "active"}} }

func (silencer) AddSilence(r control.SilenceRequest, author string) (control.Silence, error) {
	if len(r.Matchers) == 0 {
		return control.Silence{}, errNone
	}
	return control.Silence{ID: "s2", Matchers: r.Matchers, Author: author, Comment: r.Comment, EndsAt: time.Unix(0, 0).UTC()}, nil
}

func (silencer) ExpireSilence(id string) (control.Silence, error) {
	if id == "none" {
		return control.Silence{}, errNone
	}
	return control.Silence{ID: id, State: "expired", Matchers: []string{"c"}}, nil
}

func (silencer) Acknowledge(r control.AcknowledgeRequest, author string) (control.Alert, error) {
	if r.Alert == "none" {
		return control.Alert{}, errNone
	}
	return control.Alert{Name: r.Alert, Acknowledged: &control.Acknowledged{Author: author, Comment: r.Comment}}, nil
}

func (silencer) Withdraw(fingerprint string) (control.Alert, error) {
	if fingerprint == "none" {
		return control.Alert{}, errNone
	}
	return control.Alert{Name: "A", Fingerprint: fingerprint}, nil
}

// Whoever silences or acknowledges is who the kernel says, and is named in the
// events; what is refused leaves none.
func TestSilencesThroughTheDoor(t *testing.T) {
	r := serve(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if list, err := r.Silences(t.Context()); err != nil || len(list) != 1 || list[0].ID != "s1" {
		t.Errorf("%+v, %v", list, err)
	}
	s, err := r.AddSilence(t.Context(), control.SilenceRequest{Matchers: []string{`a="b"`}, For: "2h", Comment: "deploy"})
	if err != nil || s.Author != "uid:"+me.Username {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err = r.ExpireSilence(t.Context(), "s/2"); err != nil || s.ID != "s/2" {
		t.Errorf("%+v, %v", s, err)
	}
	a, err := r.Acknowledge(t.Context(), control.AcknowledgeRequest{Alert: "A", Comment: "on it"})
	if err != nil || a.Acknowledged.Author != "uid:"+me.Username {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err = r.Withdraw(t.Context(), "00ff"); err != nil || a.Fingerprint != "00ff" {
		t.Errorf("%+v, %v", a, err)
	}
	var p *control.Problem
	for name, do := range map[string]func() error{
		"add":    func() error { _, err := r.AddSilence(t.Context(), control.SilenceRequest{}); return err },
		"expire": func() error { _, err := r.ExpireSilence(t.Context(), "none"); return err },
		"acknowledge": func() error {
			_, err := r.Acknowledge(t.Context(), control.AcknowledgeRequest{Alert: "none"})
			return err
		},
		"withdraw": func() error { _, err := r.Withdraw(t.Context(), "none"); return err },
	} {
		if err := do(); !errors.As(err, &p) || p.Status != http.StatusNotFound || p.Text != "there is none" {
			t.Errorf("%s: %v", name, err)
		}
	}
	events, err := r.Client.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, e := range events {
		if e.Actor != "uid:"+me.Username || e.Kind != "alert" {
			t.Errorf("%+v", e)
		}
		texts = append(texts, e.Subject+": "+e.Text)
	}
	if got := strings.Join(texts, "\n"); got != `silence s2: until 1970-01-01T00:00:00Z: a="b" (deploy)
silence s/2: ended: c
A: acknowledged (on it)
A: acknowledgement withdrawn` {
		t.Error(got)
	}
}
