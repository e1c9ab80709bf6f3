package tui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
)

// stuckFor is for how long the end of the screen waits for a terminal that takes
// nothing.
const stuckFor = 2 * time.Second

// Run shows the screen until the operator quits or ctx ends. It returns nil in
// both cases, and an error that says where the details are when the screen ended by
// a defect of its own.
func Run(ctx context.Context, door Door, o Options) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	m, err := newModel(ctx, door, o)
	if err != nil {
		return err
	}
	return m.run(ctx, end, o)
}

// run runs the program that shows m until ctx, that of m, ends.
func (m *model) run(ctx context.Context, end context.CancelCauseFunc, o Options, more ...tea.ProgramOption) error {
	out := cmp.Or[io.Writer](o.Output, os.Stdout)
	terminal, err := openTTY(o.Input, out)
	if err != nil {
		return err
	}
	m.crashes = &crashes{dir: o.CrashDir, end: end, at: func() string {
		return fmt.Sprintf("version: %s\nTERM: %q\nsize: %dx%d\nview: %s\nnode: %q %s", o.Version, os.Getenv("TERM"), m.w, m.h,
			m.nameOf(m.view), m.look.Node.Name, m.look.Node.Version)
	}}
	environ := os.Environ()
	if m.mono {
		environ = append(environ, "NO_COLOR=1")
	}
	m.link.Writer = out
	m.canvas.start(m.link, terminal, environ)
	// The canvas draws; what bubbletea's ticks are for is not needed.
	opts := []tea.ProgramOption{tea.WithoutRenderer(), tea.WithFPS(1), tea.WithOutput(io.Discard),
		tea.WithEnvironment(environ), tea.WithColorProfile(colorprofile.Detect(out, environ)), tea.WithWindowSize(terminal.size())}
	if o.Input != nil {
		opts = append(opts, tea.WithInput(o.Input))
	}
	p, ended := tea.NewProgram(guarded{m, m.crashes}, append(opts, more...)...), make(chan error, 1)
	unwatch := terminal.watch(func(w, h int) { p.Send(tea.WindowSizeMsg{Width: w, Height: h}) }, m.canvas.leave, func() {
		m.canvas.enter()
		m.canvas.anew()
		p.Send(tea.ResumeMsg{})
	})
	go func() {
		_, err := p.Run()
		ended <- err
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
		// It waits as long as the program does. To end that by its context instead would
		// close the keyboard while it is read. A terminal that is gone may hold the
		// program, and with it a node, for ever.
		go p.Quit()
		select {
		case <-ended:
		case <-time.After(stuckFor):
		}
	}
	unwatch()
	m.canvas.stop()
	var c *crash
	switch {
	case errors.As(context.Cause(ctx), &c):
		return c
	case ctx.Err() != nil:
		return nil
	}
	return err
}
