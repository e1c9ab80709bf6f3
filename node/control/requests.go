package control

import (
	"github.com/bizra/bizra-top/node/control/trial"
	"github.com/bizra/bizra-top/node/settings"
)

// What is asked of a node, and what it answers.

// Setting is one tunable.
type Setting struct {
	Key     string   `json:"key"`
	Part    string   `json:"part"` // the first part of the key
	Kind    string   `json:"kind"`
	Unit    string   `json:"unit,omitempty"`
	Value   string   `json:"value"`
	Default string   `json:"default"`
	Started string   `json:"started"` // value when the node started
	Number  float64  `json:"number"`
	Numeric bool     `json:"numeric"`
	Min     float64  `json:"min"`
	Max     float64  `json:"max"`
	Step    float64  `json:"step"`
	Choices []string `json:"choices,omitempty"`
	Doc     string   `json:"doc"`
	Risk    string   `json:"risk"` // low, medium, high
	Restart bool     `json:"restart"`
	Secret  bool     `json:"secret"`
	Source  string   `json:"source"` // default, file, overrides, environment, flag, live
}

// ChangeRequest asks to set tunables, all or none.
type ChangeRequest struct {
	Changes []Change `json:"changes"`
	Reason  string   `json:"reason,omitempty"`
	DryRun  bool     `json:"dry_run,omitempty"` // propose: check and show, apply nothing
	// Revision of the settings that the asker saw. A key that was changed since is a
	// conflict. Nil asks for no such check.
	Revision *uint64 `json:"revision,omitempty"`
	// RevertAfter is a duration such as "120s": the change is on trial, and goes back
	// unless it is kept by then. Empty keeps it at once.
	RevertAfter string `json:"revert_after,omitempty"`
	// Guard is the name of an alert, or PromQL: when the alert fires, or the
	// expression has a result, during the trial, the change goes back at once.
	Guard string `json:"guard,omitempty"`
}

// Trial is a change that was made. While it is on trial it has a deadline.
type Trial = trial.Trial

// Changed is one tunable's old and new value.
type Changed = trial.Changed

// SaveRequest asks to write what is kept to the overrides file.
type SaveRequest struct {
	DryRun bool `json:"dry_run,omitempty"` // only show the difference
}

// SaveResult tells how the overrides file differs from what it was.
type SaveResult struct {
	Saved       bool                  `json:"saved"`
	Path        string                `json:"path"`
	Backup      string                `json:"backup,omitempty"` // what the file was before
	Differences []settings.Difference `json:"differences"`
	OnTrial     []string              `json:"on_trial,omitempty"` // keys that are left out
}

// Change is a new value for one tunable, as text.
type Change struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// ChangeResult tells what was, or would be, applied.
type ChangeResult struct {
	ID       uint64    `json:"id,omitempty"` // of the change, to keep or revert it
	Applied  bool      `json:"applied"`
	Revision uint64    `json:"revision"`
	Changes  []Changed `json:"changes"`
	Warnings []string  `json:"warnings,omitempty"`
	Trial    *Trial    `json:"trial,omitempty"` // when it is on trial
}

// Action is something an operator can do by hand.
type Action struct {
	ID      string   `json:"id"` // breaker.force_open, breaker.force_close, breaker.reset, cache.flush_l1, …
	Title   string   `json:"title"`
	Doc     string   `json:"doc"`
	Risk    string   `json:"risk"`
	Targets []string `json:"targets,omitempty"` // empty: takes none
	Word    string   `json:"word,omitempty"`    // to be typed, for what cannot be taken back
}

// ActionRequest asks for one action on one target.
type ActionRequest struct {
	ID     string `json:"id"`
	Target string `json:"target,omitempty"`
	Reason string `json:"reason,omitempty"`
	Word   string `json:"word,omitempty"` // as the action asks for
	DryRun bool   `json:"dry_run,omitempty"`
}

// ActionResult tells what an action did, or would do.
type ActionResult struct {
	Applied bool   `json:"applied"`
	Old     string `json:"old"`
	New     string `json:"new"`
}

// Problem is the body of every refusal.
type Problem struct {
	Status int    `json:"status"`
	Text   string `json:"error"` // what happened and what to do, one line
}

func (p *Problem) Error() string { return p.Text }
