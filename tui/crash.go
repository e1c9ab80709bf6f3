package tui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/printable"
)

// reportAt is where a defect of the screen is reported.
const reportAt = "https://github.com/bizra/bizra-top/issues"

// crash is a defect of the screen that has ended it.
type crash struct{ text string }

func (c *crash) Error() string { return c.text }

// crashes ends the screen when something of it panics, and writes what is needed to
// mend it to a file. The terminal is then restored as at any other end.
type crashes struct {
	dir string // of the files; they go where temporary files go when it is empty or cannot be written to
	end context.CancelCauseFunc
	at  func() string // what the screen showed
}

// caught is deferred where a panic may come from.
func (c *crashes) caught() {
	if r := recover(); r != nil {
		c.end(c.report(r, debug.Stack()))
	}
}

func (c *crashes) report(r any, stack []byte) error {
	text := fmt.Sprintf("bizra-top's screen ended by a defect. Please report it with this file: %s\n\ntime: %s\n%s\npanic: %v\n\n%s",
		reportAt, time.Now().Format(time.RFC3339), c.at(), r, stack)
	path, err := c.write(c.dir, text)
	if err != nil || c.dir == "" {
		path, err = c.write(os.TempDir(), text)
	}
	what := printable.Clean(fmt.Sprint(r), textLength)
	if err != nil {
		return &crash{fmt.Sprintf("the screen ended by a defect, %s, that could not be written down: %v; please report it: %s", what, err, reportAt)}
	}
	return &crash{fmt.Sprintf("the screen ended by a defect: %s; please report it with %s: %s", what, path, reportAt)}
}

func (c *crashes) write(dir, text string) (path string, err error) {
	if dir == "" {
		return "", nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "bizra-top-crash-*.txt")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	return f.Name(), errors.Join(err, f.Close())
}

// guarded is the model with panics caught.
type guarded struct {
	*model
	crashes *crashes
}

// Init implements tea.Model.
func (g guarded) Init() tea.Cmd {
	defer g.crashes.caught()
	return g.model.Init()
}

// Update implements tea.Model.
func (g guarded) Update(msg tea.Msg) (next tea.Model, cmd tea.Cmd) {
	next = g
	defer g.crashes.caught()
	_, cmd = g.model.Update(msg)
	return next, cmd
}

// View implements tea.Model. What has not changed, or is about to, is not drawn.
func (g guarded) View() (v tea.View) {
	defer g.crashes.caught()
	if g.unchanged || g.expecting {
		return v
	}
	return g.model.View()
}
