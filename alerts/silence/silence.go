// Package silence keeps silences and acknowledgements on disk.
//
// A silence holds back every alert whose labels match, for a while. It is written
// as Alertmanager's: matchers with =, !=, =~ and !~, of which all must match, and
// which must not match an alert without labels.
//
// An acknowledgement says that someone looks after one alert. It ends with the
// alert.
package silence

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/prometheus/alertmanager/matcher/parse"
	matchers "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"

	"github.com/bizra/bizra-top/alerts/statefile"
	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/printable"
)

// Bounds of what is kept. retention is Alertmanager's default for silences that
// have ended.
const (
	maxSilences        = 1000
	maxAcknowledgments = 1000
	maxMatchers        = 32
	maxMatcher         = 1024
	maxComment         = 500
	maxSpan            = 366 * 24 * time.Hour
	retention          = 120 * time.Hour
)

// Refusals. What wraps them says more.
var (
	ErrInvalid  = errors.New("not a silence")
	ErrNotFound = errors.New("no such silence")
	ErrFull     = errors.New("too many silences")
	ErrEnded    = errors.New("the silence has ended already")
)

// Silence holds back the alerts that match, between two moments.
type Silence struct {
	ID        string            `json:"id"`
	Matchers  matchers.Matchers `json:"matchers"`
	StartsAt  time.Time         `json:"startsAt"`
	EndsAt    time.Time         `json:"endsAt"`
	CreatedAt time.Time         `json:"createdAt"`
	Author    string            `json:"createdBy"`
	Comment   string            `json:"comment"`
}

// State returns "pending", "active" or "expired".
func (s Silence) State(now time.Time) string {
	switch {
	case !now.Before(s.EndsAt):
		return "expired"
	case now.Before(s.StartsAt):
		return "pending"
	default:
		return "active"
	}
}

// Acknowledgement says who looks after an alert.
type Acknowledgement struct {
	Labels  model.LabelSet `json:"labels"` // of the alert, all of them
	Author  string         `json:"by"`
	Since   time.Time      `json:"since"`
	Comment string         `json:"comment"`
}

// Store keeps them. All methods may be called from any goroutine; those that
// change something return once it is on the disk.
type Store struct {
	path string
	log  *slog.Logger

	damage error // why what was kept before is lost; nil if it is not

	writing sync.Mutex // orders changes; held while writing
	mu      sync.RWMutex
	kept    document
}

// document is what is on disk. Its maps and slices are replaced, never written.
type document struct {
	Silences         []Silence                             `json:"silences"`
	Acknowledgements map[model.Fingerprint]Acknowledgement `json:"acknowledgements"`
}

// Open reads the store at path. A damaged file is set aside and logged.
func Open(path string, log *slog.Logger) (*Store, error) {
	s := &Store{path: path, log: log}
	if err := statefile.Load(path, &s.kept); errors.Is(err, statefile.ErrSetAside) {
		s.damage = fmt.Errorf("silences and acknowledgements are lost: %w", err)
		log.Error(s.damage.Error())
		s.kept = document{}
	} else if err != nil {
		return nil, fmt.Errorf("open the silences: %w", err)
	}
	return s, nil
}

// Damage says what was found damaged when the store was opened, or is nil.
func (s *Store) Damage() error { return s.damage }

// Parse reads matchers, one or more in each text, in Alertmanager's syntax.
func Parse(texts []string) (matchers.Matchers, error) {
	var out matchers.Matchers
	some := false
	for _, text := range texts {
		if len(text) > maxMatcher || !utf8.ValidString(text) {
			return nil, fmt.Errorf("%w: a matcher is longer than %d bytes, or no UTF-8", ErrInvalid, maxMatcher)
		}
		list, err := parse.Matchers(text)
		if err != nil {
			return nil, fmt.Errorf(`%w: %w; write matchers such as alertname="PoolSaturated" or part=~"db.*"`, ErrInvalid, err)
		}
		for _, m := range list {
			if m.Name == "" {
				return nil, fmt.Errorf("%w: a matcher has no label", ErrInvalid)
			}
			some = some || !m.Matches("")
		}
		out = append(out, list...)
	}
	switch {
	case len(out) == 0:
		return nil, fmt.Errorf(`%w: it has no matcher; write one such as alertname="PoolSaturated"`, ErrInvalid)
	case len(out) > maxMatchers:
		return nil, fmt.Errorf("%w: it has more than %d matchers", ErrInvalid, maxMatchers)
	case !some:
		return nil, fmt.Errorf("%w: every matcher matches the empty text too, so it would match all alerts; add one such as severity=~\".+\"", ErrInvalid)
	}
	return out, nil
}

// Add keeps a new silence; its id and time of creation are given to it here. A
// zero start is now.
func (s *Store) Add(n Silence) (Silence, error) {
	now := time.Now()
	n.ID, n.CreatedAt = uuid.NewString(), now
	n.Comment, n.Author = printable.Clean(n.Comment, maxComment), printable.Clean(n.Author, 60)
	if n.StartsAt.Before(now) {
		n.StartsAt = now
	}
	if !n.EndsAt.After(n.StartsAt) || n.EndsAt.Sub(now) > maxSpan {
		return Silence{}, fmt.Errorf("%w: it must last for a while and end within a year", ErrInvalid)
	}
	return n, s.change(func(d *document) error {
		d.Silences = slices.DeleteFunc(d.Silences, func(o Silence) bool { return now.Sub(o.EndsAt) > retention })
		if len(d.Silences) >= maxSilences {
			oldest := slices.IndexFunc(d.Silences, func(o Silence) bool { return o.State(now) == "expired" })
			if oldest < 0 {
				return fmt.Errorf("%w: %d are active or to come; end some first", ErrFull, maxSilences)
			}
			d.Silences = slices.Delete(d.Silences, oldest, oldest+1)
		}
		d.Silences = append(d.Silences, n)
		return nil
	})
}

// minID is how much of an id has to be given.
const minID = 4

// Expire ends a silence now. id may be cut short as long as it names one.
func (s *Store) Expire(id string) (Silence, error) {
	var out Silence
	return out, s.change(func(d *document) error {
		found := -1
		for i, o := range d.Silences {
			if len(id) < minID || !strings.HasPrefix(o.ID, id) {
				continue
			}
			if found >= 0 {
				return fmt.Errorf("%w: %q names more than one; write more of it", ErrNotFound, id)
			}
			found = i
		}
		if found < 0 {
			return fmt.Errorf("%w: %q", ErrNotFound, id)
		}
		now := time.Now()
		if d.Silences[found].State(now) == "expired" {
			return fmt.Errorf("%w: %s", ErrEnded, d.Silences[found].ID)
		}
		d.Silences[found].EndsAt = now
		if d.Silences[found].StartsAt.After(now) {
			d.Silences[found].StartsAt = now
		}
		out = d.Silences[found]
		return nil
	})
}

// List returns the silences, those that end last first.
func (s *Store) List() []Silence {
	s.mu.RLock()
	out := slices.Clone(s.kept.Silences)
	s.mu.RUnlock()
	now := time.Now()
	out = slices.DeleteFunc(out, func(o Silence) bool { return now.Sub(o.EndsAt) > retention })
	slices.SortStableFunc(out, func(a, b Silence) int { return b.EndsAt.Compare(a.EndsAt) })
	return out
}

// Silenced returns the silence that holds an alert with these labels back; of
// several the one that ends last.
func (s *Store) Silenced(labels model.LabelSet) (Silence, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now, found := time.Now(), Silence{}
	for _, o := range s.kept.Silences {
		if o.State(now) == "active" && o.EndsAt.After(found.EndsAt) && o.Matchers.Matches(labels) {
			found = o
		}
	}
	return found, found.ID != ""
}

// Acknowledge notes that author looks after the alert with these labels.
func (s *Store) Acknowledge(labels model.LabelSet, author, comment string) (Acknowledgement, error) {
	a := Acknowledgement{Labels: labels, Author: printable.Clean(author, 60), Since: time.Now(), Comment: printable.Clean(comment, maxComment)}
	return a, s.change(func(d *document) error {
		if _, known := d.Acknowledgements[labels.Fingerprint()]; !known && len(d.Acknowledgements) >= maxAcknowledgments {
			return fmt.Errorf("%w: %d alerts are acknowledged", ErrFull, maxAcknowledgments)
		}
		d.Acknowledgements[labels.Fingerprint()] = a
		return nil
	})
}

// Acknowledged returns the acknowledgement of the alert with these labels.
func (s *Store) Acknowledged(labels model.LabelSet) (Acknowledgement, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, ok := s.kept.Acknowledgements[labels.Fingerprint()]
	return a, ok
}

// Withdraw ends an acknowledgement; ok says whether there was one.
func (s *Store) Withdraw(f model.Fingerprint) (a Acknowledgement, ok bool, err error) {
	s.mu.RLock()
	a, ok = s.kept.Acknowledgements[f]
	s.mu.RUnlock()
	if !ok {
		return a, false, nil
	}
	return a, true, s.change(func(d *document) error {
		delete(d.Acknowledgements, f)
		return nil
	})
}

// Retain ends the acknowledgements of all alerts but those that are active.
func (s *Store) Retain(active func(model.Fingerprint) bool) error {
	s.mu.RLock()
	var ended []model.Fingerprint
	for f := range s.kept.Acknowledgements {
		if !active(f) {
			ended = append(ended, f)
		}
	}
	s.mu.RUnlock()
	if len(ended) == 0 {
		return nil
	}
	return s.change(func(d *document) error {
		for _, f := range ended {
			delete(d.Acknowledgements, f)
		}
		return nil
	})
}

// acknowledged returns how many alerts are.
func (s *Store) acknowledged() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.kept.Acknowledgements)
}

// Keep writes the store to disk again if its file is gone.
func (s *Store) Keep() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if is, err := files.Identify(s.path); err != nil || is != (files.Identity{}) {
		return err
	}
	if len(s.kept.Silences)+len(s.kept.Acknowledgements) == 0 {
		return nil
	}
	return statefile.Save(s.path, s.kept)
}

// change does edit to a copy of what is kept, and keeps that once it is on disk.
func (s *Store) change(edit func(*document) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	next := document{Silences: slices.Clone(s.kept.Silences), Acknowledgements: map[model.Fingerprint]Acknowledgement{}}
	for f, a := range s.kept.Acknowledgements {
		next.Acknowledgements[f] = a
	}
	if err := edit(&next); err != nil {
		return err
	}
	if err := statefile.Save(s.path, next); err != nil {
		return fmt.Errorf("write the silences to disk: %w", err)
	}
	s.mu.Lock()
	s.kept = next
	s.mu.Unlock()
	return nil
}
