package remote

import (
	"context"
	"errors"

	"github.com/bizra/bizra-top/node/control"
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
