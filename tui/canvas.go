package tui

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/charmbracelet/colorprofile"
	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
)

// frameGap is the least time between two frames, so that a held key is not drawn more
// often than a terminal shows it. The first of them never waits.
const frameGap = 8 * time.Millisecond

// canvas draws a frame the moment there is one. bubbletea's own renderer looks for one
// sixty times a second, at rest too: that costs as much as all else that a screen on a
// quiet node does, and a key waits for the next look.
//
// Only draw writes, so a terminal that takes nothing holds nobody else up. All other
// methods may be called from any goroutine.
type canvas struct {
	out     io.Writer
	environ []string
	tty     *tty
	wake    chan struct{}

	mu   sync.Mutex
	next picture
	raw  []byte          // to be written as it is, before the next frame
	away []chan struct{} // who waits for the terminal to be given back

	ended, given chan struct{} // draw is to end, and has

	// Of draw alone.
	drawn  picture
	screen *uv.TerminalRenderer
	cells  uv.ScreenBuffer
	buf    bytes.Buffer // of screen
}

// picture is what a terminal is to show, and how.
type picture struct {
	content, title string
	w, h           int
	size           int // counts what was said of the size, so that it is drawn anew
	profile        colorprofile.Profile
	width          ansi.Method
	sync, given    bool // output is synchronised; the terminal is given back for a while
	anew           int  // counts what may have spoiled the terminal, so that it is taken over anew
}

func newCanvas() *canvas { return &canvas{tty: &tty{}, wake: make(chan struct{}, 1)} }

func (c *canvas) change(do func(p *picture)) {
	c.mu.Lock()
	do(&c.next)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// show has a frame drawn.
func (c *canvas) show(content, title string) {
	c.change(func(p *picture) { p.content, p.title = content, title })
}

// resize tells how large the terminal is, which has moved what was on it.
func (c *canvas) resize(w, h int) {
	c.change(func(p *picture) { p.w, p.h, p.size = w, h, p.size+1 })
}

func (c *canvas) colours(of colorprofile.Profile) { c.change(func(p *picture) { p.profile = of }) }

// answered takes what the terminal says of a mode it was asked for.
func (c *canvas) answered(mode ansi.Mode, is ansi.ModeSetting) {
	switch {
	case mode == ansi.ModeSynchronizedOutput && is == ansi.ModeReset:
		c.change(func(p *picture) { p.sync = true })
	case mode == ansi.ModeUnicodeCore && is != ansi.ModeNotRecognized && is != ansi.ModePermanentlyReset:
		c.write(ansi.SetModeUnicodeCore)
		c.change(func(p *picture) { p.width = ansi.GraphemeWidth })
	}
}

// maxRaw bounds what waits for a terminal that takes nothing.
const maxRaw = 64 << 10

// write has text that is no part of a frame written, such as a question to the terminal.
func (c *canvas) write(text string) {
	c.change(func(*picture) {
		if len(c.raw)+len(text) <= maxRaw {
			c.raw = append(c.raw, text...)
		}
	})
}

// leave gives the terminal back until enter, and returns when that is done or the
// terminal has not taken it for a while.
func (c *canvas) leave() {
	done := make(chan struct{})
	c.change(func(p *picture) {
		p.given = true
		c.away = append(c.away, done)
	})
	select {
	case <-done:
	case <-time.After(stuckFor):
	}
}

// anew takes the terminal over anew and draws everything: something else has written to
// it, or has set its driver.
func (c *canvas) anew() { c.change(func(p *picture) { p.anew++ }) }

func (c *canvas) enter() { c.change(func(p *picture) { p.given = false }) }

// start takes over a terminal, out, and draws on it until stop.
func (c *canvas) start(out io.Writer, on *tty, environ []string) {
	c.out, c.tty, c.environ = out, on, environ
	c.ended, c.given = make(chan struct{}), make(chan struct{})
	go c.draw()
}

// stop gives the terminal back. One that takes nothing is waited for no longer than
// stuckFor: what is left to be written to it is then given up.
func (c *canvas) stop() {
	close(c.ended)
	select {
	case <-c.given:
	case <-time.After(stuckFor):
	}
	c.tty.restore()
}

func (c *canvas) draw() {
	defer close(c.given)
	c.begin()
	for {
		select {
		case <-c.ended:
			if !c.drawn.given {
				c.end()
			}
			return
		case <-c.wake:
		}
		began := time.Now()
		c.once()
		gap := time.NewTimer(time.Until(began.Add(frameGap)))
		select {
		case <-c.ended:
			gap.Stop()
		case <-gap.C:
		}
	}
}

// begin takes the terminal over.
func (c *canvas) begin() {
	c.drawn, c.cells = picture{}, uv.NewScreenBuffer(0, 0)
	c.buf.Reset()
	c.screen = uv.NewTerminalRenderer(&c.buf, c.environ)
	c.screen.SetScrollOptim(true)
	c.screen.EnterAltScreen()
	// Terminals keep the state of the keyboard apart for each of their screens.
	_, _ = c.screen.WriteString(ansi.ResetModeTextCursorEnable + ansi.SetModeBracketedPaste + ansi.SetModeFocusEvent +
		ansi.SetModifyOtherKeys2 + ansi.PushKittyKeyboard(ansi.KittyDisambiguateEscapeCodes))
	c.emit("")
	// The first glyph beyond ASCII has the library make its table of widths, which takes
	// longer than a frame: it is made while there is no frame yet.
	ansi.WcWidth.StringWidth("─")
}

// end gives the terminal back.
func (c *canvas) end() {
	leave := ansi.ResetModifyOtherKeys + ansi.PopKittyKeyboard(1) + ansi.ResetModeFocusEvent + ansi.ResetModeBracketedPaste
	if c.drawn.width == ansi.GraphemeWidth {
		leave += ansi.ResetModeUnicodeCore
	}
	if c.drawn.title != "" {
		leave += ansi.SetWindowTitle("")
	}
	c.screen.ExitAltScreen()
	c.emit(leave + ansi.SetModeTextCursorEnable)
}

// once draws what there is to draw now.
func (c *canvas) once() {
	c.mu.Lock()
	p, raw, away := c.next, c.raw, c.away
	c.raw, c.away = nil, nil
	c.mu.Unlock()
	switch {
	case p.given && !c.drawn.given:
		c.end()
		c.drawn.given = true
		c.tty.restore()
	case !p.given && c.drawn.given:
		_ = c.tty.raw() // it could be set when the screen began
		c.begin()
	case !p.given && p.anew != c.drawn.anew:
		_ = c.tty.raw()
		c.put([]byte(ansi.PopKittyKeyboard(1))) // what begin pushes
		c.begin()
	}
	c.drawn.anew = p.anew
	for _, done := range away {
		close(done)
	}
	if len(raw) > 0 {
		c.put(raw)
	}
	if p.given || p.w <= 0 || p.h <= 0 || p.content == "" || p == c.drawn {
		return
	}
	c.frame(p)
}

// frame draws what of p is not on the terminal yet.
func (c *canvas) frame(p picture) {
	c.screen.SetColorProfile(p.profile)
	c.cells.Method = p.width
	c.screen.SetWidthMethod(p.width)
	if p.size != c.drawn.size {
		c.screen.Erase()
		c.tty.optimise(c.screen, p.w)
		c.screen.Resize(p.w, p.h)
		if p.w != c.cells.Width() || p.h != c.cells.Height() {
			c.cells.Touched = nil
			c.cells.Resize(p.w, p.h)
		}
	}
	before := ""
	if p.title != c.drawn.title {
		before = ansi.SetWindowTitle(p.title)
	}
	c.cells.Clear()
	uv.NewStyledString(p.content).Draw(c.cells, c.cells.Bounds())
	c.screen.Render(c.cells.RenderBuffer)
	c.drawn = p
	c.emit(before)
}

// emit writes before, and then what screen has to be drawn.
func (c *canvas) emit(before string) {
	_ = c.screen.Flush() // to buf, which takes all
	out := append([]byte(nil), before...)
	if c.buf.Len() > 0 && c.drawn.sync {
		out = append(out, ansi.SetModeSynchronizedOutput...)
		out = append(out, c.buf.Bytes()...)
		out = append(out, ansi.ResetModeSynchronizedOutput...)
	} else {
		out = append(out, c.buf.Bytes()...)
	}
	c.buf.Reset()
	c.put(out)
}

// put writes to the terminal now. One that is gone is noticed by reading from it.
func (c *canvas) put(p []byte) {
	if len(p) > 0 {
		_, _ = c.out.Write(p)
	}
}
