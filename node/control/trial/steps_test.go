package trial_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/bizra/bizra-top/node/control/trial"
	"github.com/bizra/bizra-top/node/settings"
)

var anyone = func([]trial.Changed) error { return nil }

// expect compares a refusal with what the model says.
func expect(err error, want trial.Why, what string) {
	var refusal *trial.Refusal
	switch {
	case want == 0 && err != nil:
		differ("%s: %v", what, err)
	case want != 0 && (!errors.As(err, &refusal) || refusal.Why != want):
		differ("%s: %v, want a refusal of kind %d", what, err, want)
	}
}

func (w *walk) step() {
	owner := trial.Owner{Name: rapid.SampledFrom([]string{"alice", "bob"}).Draw(w.T, "who")}
	switch step := rapid.IntRange(0, 19).Draw(w.T, "step"); {
	case step < 7:
		w.apply(owner)
	case step < 9:
		w.keep(owner)
	case step < 10:
		id, c := w.pick()
		want := trial.Unknown
		if c != nil {
			if want = 0; !w.takeBack(c, "revert") {
				want = trial.Invalid
			}
		}
		_, err := w.book.Revert(owner, id, anyone)
		expect(err, want, "revert")
	case step < 12:
		want := trial.Conflict
		if n := len(w.done); n > 0 {
			if want = 0; !w.takeBack(w.done[n-1], "undo") {
				want = trial.Invalid
			}
		}
		_, err := w.book.Undo(owner, anyone)
		expect(err, want, "undo")
	case step < 13:
		w.redo(owner)
	case step < 15:
		w.reply()
	case step < 17:
		d := time.Duration(rapid.IntRange(1, 9000).Draw(w.T, "sleep")) * time.Millisecond
		time.Sleep(d)
		synctest.Wait()
		w.sleep(time.Now())
	case step < 18:
		w.jump += time.Duration(rapid.IntRange(-7200, 7200).Draw(w.T, "jump")) * time.Second
	case step < 19:
		w.save()
	default:
		w.reload()
	}
}

func (w *walk) apply(owner trial.Owner) {
	terms := trial.Terms{Length: time.Duration(rapid.IntRange(0, 20).Draw(w.T, "length")) * time.Second}
	live, batch := map[string]int{}, []settings.Change{}
	for _, key := range keys {
		if rapid.IntRange(0, 2).Draw(w.T, key) == 0 {
			live[key] = rapid.IntRange(1, 20).Draw(w.T, "value")
			batch = append(batch, settings.Change{Key: key, Value: strconv.Itoa(live[key])})
		}
	}
	if len(batch) == 0 {
		return
	}
	var joins []*made
	foreign := false
	for _, c := range w.trials() {
		if slices.ContainsFunc(batch, func(b settings.Change) bool { _, there := c.before[b.Key]; return there }) {
			joins = append(joins, c)
			foreign = foreign || c.by != owner.Name
		}
	}
	if terms.Length > 0 && rapid.Bool().Draw(w.T, "guarded") {
		terms.Guard = fmt.Sprint("g", w.last, "/", len(w.reports))
		if len(joins) > 0 && len(joins[0].guards) > 0 && rapid.Bool().Draw(w.T, "the same guard") {
			terms.Guard = joins[0].guards[0]
		}
		w.ear.answer = rapid.IntRange(0, 9).Draw(w.T, "true already") == 0
	}
	c := &made{by: owner.Name}
	for _, t := range append(slices.Clone(joins), &made{guards: []string{terms.Guard}}) {
		for _, g := range t.guards {
			if g != "" && !slices.Contains(c.guards, g) {
				c.guards = append(c.guards, g)
			}
		}
	}
	var want trial.Why
	switch {
	case terms.Guard != "" && w.ear.answer, foreign, len(joins) > 0 && terms.Length == 0:
		want = trial.Conflict
	case len(c.guards) > 4:
		want = trial.TooMany
	case !w.holds(live):
		want = trial.Invalid
	default:
		w.last++
		c.id, c.before = w.last, w.set(live)
		for _, t := range slices.Backward(joins) {
			for key, v := range t.before {
				c.before[key] = v
			}
			w.done = slices.DeleteFunc(w.done, func(d *made) bool { return d == t })
		}
		if terms.Length > 0 {
			c.deadline = time.Now().Add(terms.Length)
		}
		w.done, w.undone = append(w.done, c), nil
		w.report("change", c.id)
	}
	w.ear.making = terms.Guard
	_, err := w.book.Apply(context.Background(), owner, batch, terms)
	w.ear.making = ""
	expect(err, want, "apply")
}

// pick draws a trial, or one that is not there.
func (w *walk) pick() (id string, c *made) {
	trials := w.trials()
	n := rapid.IntRange(-1, len(trials)).Draw(w.T, "which")
	switch {
	case n == len(trials):
		return "4711", nil
	case n >= 0:
		return strconv.FormatUint(trials[n].id, 10), trials[n]
	}
	for _, t := range trials {
		if c == nil || t.id > c.id {
			c = t
		}
	}
	return "last", c
}

func (w *walk) keep(owner trial.Owner) {
	id, c := w.pick()
	result, err := w.book.Keep(owner, id, anyone)
	if c == nil {
		expect(err, trial.Unknown, "keep")
		return
	}
	expect(err, 0, "keep")
	c.deadline, c.guards = time.Time{}, nil
	w.report("keep", c.id)
	for _, changed := range result.Changes {
		if changed.New != strconv.Itoa(w.values[changed.Key].Get()) {
			differ("kept is %+v, in force is %d", changed, w.values[changed.Key].Get())
		}
	}
}

func (w *walk) redo(owner trial.Owner) {
	want, n := trial.Conflict, len(w.undone)
	if n > 0 {
		c := w.undone[n-1]
		if want = trial.Invalid; w.holds(c.before) {
			want = 0
			w.last++
			w.undone = w.undone[:n-1]
			w.done = append(w.done, &made{id: w.last, by: owner.Name, before: w.set(c.before)})
			w.report("redo", w.last)
		}
	}
	_, err := w.book.Redo(owner, anyone)
	expect(err, want, "redo")
}

// reply answers one of the guards that are being asked.
func (w *walk) reply() {
	w.ear.mu.Lock()
	n := len(w.ear.asked)
	if n == 0 {
		w.ear.mu.Unlock()
		return
	}
	q := w.ear.asked[rapid.IntRange(0, n-1).Draw(w.T, "asked")]
	w.ear.mu.Unlock()
	holds := rapid.Bool().Draw(w.T, "holds")
	q.reply <- holds
	if !holds {
		return
	}
	for _, c := range w.trials() {
		if slices.Contains(c.guards, q.guard) {
			w.revert(c)
			return
		}
	}
}

// save writes the overrides, at once or in two steps between which others come.
func (w *walk) save() {
	if w.half == nil {
		o, _, err := w.book.Overrides()
		if err != nil {
			differ("%v", err)
		}
		w.half = &o
		if rapid.Bool().Draw(w.T, "in two steps") {
			return
		}
	}
	o := *w.half
	w.half = nil
	w.book.Saved(o)
	texts := map[string]int{}
	for _, key := range keys {
		layers, err := w.reg.Explain(key)
		if err != nil {
			differ("%v", err)
		}
		for _, l := range layers {
			if l.Source == settings.SourceOverrides {
				texts[key], _ = strconv.Atoi(l.Text)
			}
		}
		s := w.now[key]
		weak := sources{file: s.file, overrides: s.overrides}.value()
		moved := sources{file: s.file, overrides: texts[key]}.value()
		for _, c := range append(slices.Clone(w.done), w.undone...) {
			if v, there := c.before[key]; there && v == 0 && moved != weak {
				c.before[key] = weak
			}
		}
		s.overrides = texts[key]
		s.live = 0
		for _, l := range layers {
			if l.Source == settings.SourceLive {
				s.live, _ = strconv.Atoi(l.Text)
			}
		}
		w.now[key] = s
	}
}

// reload has the configuration file say something else.
func (w *walk) reload() {
	var batch []settings.Change
	next := map[string]sources{}
	changed := false
	for _, key := range keys {
		s := w.now[key]
		before := s.value()
		if s.file = rapid.IntRange(0, 20).Draw(w.T, "file"); s.file != 0 {
			batch = append(batch, settings.Change{Key: key, Value: strconv.Itoa(s.file)})
		}
		changed = changed || s.value() != before
		next[key] = s
	}
	refused := next["a"].value() > next["b"].value()
	_, err := w.book.Reload("test", func() ([]settings.Applied, error) {
		applied, _, err := w.reg.Replace(settings.SourceFile, batch)
		return applied, err
	})
	if refused != (err != nil) {
		differ("reload: %v", err)
	}
	if refused {
		return
	}
	w.now = next
	if changed {
		w.report("reload", 0)
	}
}
