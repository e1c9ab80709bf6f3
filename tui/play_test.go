package tui

import (
	"context"
	"os"
	"testing"
	"time"
)

// TestPlay shows the screen on the terminal with a fake node, to look at it:
//
//	go test -c -o /tmp/tui.test ./tui && BIZRA_TUI_PLAY=1 /tmp/tui.test -test.run TestPlay
func TestPlay(t *testing.T) {
	if os.Getenv("BIZRA_TUI_PLAY") == "" {
		t.Skip("set BIZRA_TUI_PLAY=1 to look at the screen")
	}
	d := newFakeDoor()
	begun := time.Now()
	d.now = func() time.Time { return fakeStart.Add(time.Since(begun)) }
	o := Options{Theme: os.Getenv("BIZRA_TUI_THEME"), Owner: os.Getenv("BIZRA_TUI_OWNER") != ""}
	if err := Run(context.Background(), d, o); err != nil {
		t.Fatal(err)
	}
}
