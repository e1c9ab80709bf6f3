package tui

import (
	"context"
	"io"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

// Door is what the screen needs of the node: *control.Client has it.
type Door interface {
	Look(ctx context.Context, since uint64) (control.Look, error)
	Panels(ctx context.Context) ([]control.Panel, error)
	History(ctx context.Context, span, step time.Duration) (map[string][]control.Series, error)
	Settings(ctx context.Context) ([]control.Setting, error)
	LookAt(ctx context.Context, at time.Time) (control.Look, error)
	HistoryUntil(ctx context.Context, end time.Time, span, step time.Duration) (map[string][]control.Series, error)
	Comparison(ctx context.Context, alert string, end time.Time, span, step time.Duration) (control.Comparison, error)
	EventsUntil(ctx context.Context, at time.Time) (control.Happened, error)
	Transitions(ctx context.Context, breaker string) ([]control.Transition, error)
	Outcomes(ctx context.Context, breaker string) (control.Outcomes, error)
	Drill(ctx context.Context) (control.Drill, error)
	StartLoad(ctx context.Context, r control.LoadRequest) (control.Drill, error)
	StopLoad(ctx context.Context) (control.Drill, error)
	SetFault(ctx context.Context, id string) (control.Drill, error)
	Lift(ctx context.Context, id string) (control.Drill, error)
	HotKeys(ctx context.Context, limit int) ([]control.HotKey, error)
	Evaluate(ctx context.Context, expr string, start, end time.Time, step time.Duration) ([]control.Labelled, error)
	SettingsAt(ctx context.Context, at time.Time) ([]control.Setting, error)
	Change(ctx context.Context, r control.ChangeRequest) (control.ChangeResult, error)
	Keep(ctx context.Context, id string) (control.ChangeResult, error)
	Revert(ctx context.Context, id string) (control.ChangeResult, error)
	Undo(ctx context.Context) (control.ChangeResult, error)
	Redo(ctx context.Context) (control.ChangeResult, error)
	Explain(ctx context.Context, key string) ([]settings.Layer, error)
	Save(ctx context.Context, r control.SaveRequest) (control.SaveResult, error)
	Actions(ctx context.Context) ([]control.Action, error)
	Act(ctx context.Context, r control.ActionRequest) (control.ActionResult, error)
	AddSilence(ctx context.Context, r control.SilenceRequest) (control.Silence, error)
	ExpireSilence(ctx context.Context, id string) (control.Silence, error)
	Acknowledge(ctx context.Context, r control.AcknowledgeRequest) (control.Alert, error)
	Withdraw(ctx context.Context, fingerprint string) (control.Alert, error)
}

// Options say how the screen behaves. The zero value is fine.
type Options struct {
	Theme    string        // name of a theme; empty chooses by the terminal's background
	Themes   string        // folder of the operator's own themes (*.yaml), read again when one changes; empty for none
	Panels   string        // file of the operator's own views and panels, read again when it changes; empty for none
	Refresh  time.Duration // between two looks; 1 s when zero
	NoColor  bool          // no colours; NO_COLOR in the environment does the same
	Owner    bool          // quitting stops the node, so it asks
	Choose   bool          // the door is a Fleet of which no node is chosen: ask
	Unlocked bool          // start unlocked, without an end
	NoSync   bool          // do not ask for synchronised output (mode 2026)
	Bell     bool          // ring the terminal's bell when a critical alert begins to fire
	Desktop  bool          // send a notification to the desktop (OSC 9) then
	Slow     bool          // the link to the terminal is slow: half as many looks
	CrashDir string        // where a defect of the screen is written down; temporary files when empty
	Version  string        // of the program, for that

	Input  io.Reader // the terminal when nil
	Output io.Writer // the terminal when nil
}
