package remote

import (
	"context"
	"errors"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

// errReadOnly is the answer to all that would change a node.
var errReadOnly = errors.New("this is a look through a Prometheus server: nothing can be changed here; use bizra-top on the node's host")

// readOnly refuses all that would change a node. The screen does not ask it for
// that: there, everything is read-only.
type readOnly struct{}

// Change is refused.
func (readOnly) Change(context.Context, control.ChangeRequest) (control.ChangeResult, error) {
	return control.ChangeResult{}, errReadOnly
}

// Keep is refused.
func (readOnly) Keep(context.Context, string) (control.ChangeResult, error) {
	return control.ChangeResult{}, errReadOnly
}

// Revert is refused.
func (readOnly) Revert(context.Context, string) (control.ChangeResult, error) {
	return control.ChangeResult{}, errReadOnly
}

// Undo is refused.
func (readOnly) Undo(context.Context) (control.ChangeResult, error) {
	return control.ChangeResult{}, errReadOnly
}

// Redo is refused.
func (readOnly) Redo(context.Context) (control.ChangeResult, error) {
	return control.ChangeResult{}, errReadOnly
}

// Save is refused.
func (readOnly) Save(context.Context, control.SaveRequest) (control.SaveResult, error) {
	return control.SaveResult{}, errReadOnly
}

// Transitions is refused: a Prometheus knows the states, not why.
func (readOnly) Transitions(context.Context, string) ([]control.Transition, error) {
	return nil, errors.New("a Prometheus does not know why a breaker moved")
}

// EventsUntil is refused: events are no metrics.
func (readOnly) EventsUntil(context.Context, time.Time) (control.Happened, error) {
	return control.Happened{}, errors.New("a Prometheus keeps no events")
}

// Outcomes is refused: a Prometheus knows their ratios only.
func (readOnly) Outcomes(context.Context, string) (control.Outcomes, error) {
	return control.Outcomes{}, errors.New("a Prometheus knows the ratios, not the outcomes")
}

// HotKeys is refused: keys are no labels.
func (readOnly) HotKeys(context.Context, int) ([]control.HotKey, error) {
	return nil, errors.New("a Prometheus does not know the keys")
}

// Drill is refused.
func (readOnly) Drill(context.Context) (control.Drill, error) { return control.Drill{}, errReadOnly }

// StartLoad is refused.
func (readOnly) StartLoad(context.Context, control.LoadRequest) (control.Drill, error) {
	return control.Drill{}, errReadOnly
}

// StopLoad is refused.
func (readOnly) StopLoad(context.Context) (control.Drill, error) { return control.Drill{}, errReadOnly }

// SetFault is refused.
func (readOnly) SetFault(context.Context, string) (control.Drill, error) {
	return control.Drill{}, errReadOnly
}

// Lift is refused.
func (readOnly) Lift(context.Context, string) (control.Drill, error) {
	return control.Drill{}, errReadOnly
}

// Explain is refused: no metric tells where a value comes from.
func (readOnly) Explain(context.Context, string) ([]settings.Layer, error) {
	return nil, errors.New("a Prometheus knows the values, not where they come from")
}

// Act is refused.
func (readOnly) Act(context.Context, control.ActionRequest) (control.ActionResult, error) {
	return control.ActionResult{}, errReadOnly
}

// AddSilence is refused.
func (readOnly) AddSilence(context.Context, control.SilenceRequest) (control.Silence, error) {
	return control.Silence{}, errReadOnly
}

// ExpireSilence is refused.
func (readOnly) ExpireSilence(context.Context, string) (control.Silence, error) {
	return control.Silence{}, errReadOnly
}

// Acknowledge is refused.
func (readOnly) Acknowledge(context.Context, control.AcknowledgeRequest) (control.Alert, error) {
	return control.Alert{}, errReadOnly
}

// Withdraw is refused.
func (readOnly) Withdraw(context.Context, string) (control.Alert, error) {
	return control.Alert{}, errReadOnly
}
