//go:build integration

package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// TestOperatorStories plays what an operator comes for, each from the moment that the
// program is typed: locked, on the overview. The keys of each are in the log, those of
// unlocking included.
func TestOperatorStories(t *testing.T) {
	t.Parallel()
	n := operatedNode(t)
	for _, story := range []struct {
		name string
		most int                         // keys
		made func(*testing.T, *operated) // what has happened before; nil is nothing
		play func(*testing.T, *terminal, *operated)
	}{
		{"see the alert of the failing provider, look after it and silence it", 7, breakerAlertFires, acknowledgeAndSilence},
		{"find the failing provider and take it out", 5, nil, takeOutTheFailingProvider},
		{"raise a threshold from the alert's details", 20, nil, raiseAThreshold},
		{"change the pool limit and let it go back", 6, trialsAreShort, letAChangeGoBack},
		{"look at what happened ten minutes ago", 7, nil, lookTenMinutesBack},
		{"look at the moment of a change and return to now", 5, twoChanges, lookBack},
		{"undo the last change and redo it", 5, anotherChange, undoAndRedo},
		{"keep a change and save it", 10, trialsAreLong, keepAndSave},
		{"flush a class of the cache", 20, blocksAreCached, flushAClass},
		{"find a setting and see which source wins", 12, nil, findASetting},
		{"zoom, freeze, change the theme and save the screen", 5, nil, saveTheScreen},
	} {
		if !t.Run(story.name, func(t *testing.T) {
			if story.made != nil {
				story.made(t, n)
			}
			x := onTerminal(t, 120, 40, binary(t), "--socket", n.socket, "--theme", "dark")
			x.see(`LIVE[\s\S]*bravo`)
			story.play(t, x, n)
			t.Logf("%d keys: %s", x.pressed, story.name)
			if x.pressed > story.most {
				t.Errorf("it took %d keys; want at most %d", x.pressed, story.most)
			}
		}) {
			return // the next begins where this one ends
		}
	}
}

func breakerAlertFires(t *testing.T, n *operated) {
	n.until(t, "that the alert fires", func(l control.Look) bool { return breakerAlert(l).State == "firing" })
}

func acknowledgeAndSilence(t *testing.T, x *terminal, n *operated) {
	x.see(`firing`)
	x.press("6")
	x.see(`(?m)firing.*BreakerOpen`)
	x.press("a")
	x.see(`Unlock for 10 minutes`)
	x.press("y")
	x.see(`Acknowledge[\s\S]*BreakerOpen name=upstream/bravo`)
	x.press("y")
	x.see(`(?m)◆ acked.*BreakerOpen`)
	if k := breakerAlert(n.until(t, "that it is acknowledged", func(l control.Look) bool { return breakerAlert(l).Acknowledged != nil })).Acknowledged; k.Author == "" {
		t.Errorf("nobody looks after it: %+v", k)
	}
	x.press("s")
	x.see(`Silence[\s\S]*BreakerOpen name=upstream/bravo[\s\S]*\[1h\]`)
	x.press("<left>y")
	x.see(`(?m)◇ silenced.*BreakerOpen`)
	s := breakerAlert(n.until(t, "that it is silenced", func(l control.Look) bool { return breakerAlert(l).Silenced != nil })).Silenced
	if left := time.Until(s.Until); left < 10*time.Minute || left > 15*time.Minute {
		t.Errorf("it is silenced for %s; want a quarter of an hour", left)
	}
}

func takeOutTheFailingProvider(t *testing.T, x *terminal, n *operated) {
	x.see(`(?m)bravo +○ open`)
	x.press("5j")
	x.see(`(?m)bravo +○ open[\s\S]*✗ not healthy`)
	x.press("d")
	x.see(`Unlock for 10 minutes`)
	x.press("y")
	x.see(`(?i)drain[^\n]*bravo[\s\S]*▸ Cancel`)
	x.hides(`the node is checking`)
	x.press("y")
	x.see(`(?m)bravo +⊝ drained`)
	if u := bravo(n.until(t, "that bravo is drained", func(l control.Look) bool { return bravo(l).State == "drained" })); u.Healthy {
		t.Errorf("%+v", u)
	}
}

func raiseAThreshold(t *testing.T, x *terminal, n *operated) {
	const key = "alerts.pool_saturation.threshold"
	before, err := n.client.Setting(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	x.press("6/poolsat<enter><enter>")
	x.see(`PoolSaturation[\s\S]*e edits the threshold`)
	x.press("e")
	x.see(`Unlock for 10 minutes`)
	x.press("y")
	x.see(`Edit ` + key)
	x.press("0.97<enter>")
	x.see(`Change ` + key + `[\s\S]*` + before.Value + `  →  0\.97`)
	x.hides(`the node is checking`)
	x.press("y")
	x.see(`(?m)on trial: ` + key)
	x.keep()
	n.until(t, "that it is kept", func(l control.Look) bool { return len(l.Trials) == 0 })
	n.setting(t, key, "0.97")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		c, err := n.client.Comparison(t.Context(), "PoolSaturation", time.Now(), 5*time.Second, time.Second)
		if err == nil && len(c.Thresholds) > 0 {
			if p := c.Thresholds[0].Points; len(p) > 0 && float64(p[len(p)-1].V) == 0.97 {
				break // the rule compares with it
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the rule never compared with the new threshold: %+v, %v", c, err)
		}
	}
}

func trialsAreShort(t *testing.T, n *operated) { n.change(t, control.RevertAfter, "5s") }

func trialsAreLong(t *testing.T, n *operated) { n.change(t, control.RevertAfter, "2m") }

func letAChangeGoBack(t *testing.T, x *terminal, n *operated) {
	x.press("2")
	x.see(`(?m)pool\.limit +4`)
	x.press("e")
	x.see(`Unlock for 10 minutes`)
	x.press("y")
	x.see(`Edit pool.limit`)
	x.press("7<enter>")
	x.see(`4 connections  →  7 connections[\s\S]*on trial +5s`)
	x.hides(`the node is checking`)
	x.press("y")
	x.see(`goes back in 0:0\d +pool\.limit 4 → 7`)
	n.setting(t, "pool.limit", "7")
	x.hides(`goes back`)
	x.see(`(?m)pool\.limit +4`)
	l := n.until(t, "that nothing is on trial", func(l control.Look) bool { return len(l.Trials) == 0 })
	n.setting(t, "pool.limit", "4")
	for _, e := range l.Events {
		if e.Subject == "pool.limit" && e.Actor == "node" && strings.Contains(e.Text, "7 -> 4") {
			return
		}
	}
	t.Errorf("no event says that it went back: %+v", l.Events)
}

func twoChanges(t *testing.T, n *operated) {
	// Just before a full second, the sample that shows it comes after that.
	now := time.Now()
	time.Sleep(now.Truncate(time.Second).Add(1950 * time.Millisecond).Sub(now))
	n.change(t, "pool.limit", "6")
	time.Sleep(2500 * time.Millisecond) // samples between the two
	n.change(t, "pool.limit", "9")
}

func lookBack(t *testing.T, x *terminal, n *operated) {
	x.press("8")
	x.see(`(?m)×\d+.* pool\.limit +changed: 6 -> 9`)
	x.press("E")
	if x.see(`pool\.limit: changed: (6 -> 9|4 -> 6)`)[1] == "6 -> 9" {
		x.press("E") // the change before
	}
	x.see(`pool\.limit: changed: 4 -> 6`)
	x.see(` PAST \d\d:\d\d:\d\d`)
	x.press("2")
	x.see(`(?m)pool\.limit +6 `)
	x.see(`PAST`)
	var at time.Time
	events, err := n.client.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Text == "changed: 4 -> 6" {
			at = e.Time
		}
	}
	then, err := n.client.SettingsAt(t.Context(), at.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range then {
		if s.Key == "pool.limit" && s.Value != "6" {
			t.Errorf("the node says that pool.limit was %s", s.Value)
		}
	}
	x.press("L")
	x.see(`LIVE`)
	x.see(`(?m)pool\.limit +9 `)
	n.setting(t, "pool.limit", "9")
}

func lookTenMinutesBack(t *testing.T, x *terminal, n *operated) {
	x.hides(`zulu`)
	x.press("T10m<enter>2")
	x.see(` PAST \d\d:\d\d:\d\d -10m`)
	x.see(`(?m)in use +3 of 3 `)
	x.see(`(?m)waiting +7 `)
	x.see(`(?m)pool\.limit +3 `)
	x.hides(`LIVE`)
	n.setting(t, "pool.limit", "4")
	x.press("4")
	x.see(`(?m)upstream/zulu +○ open.* 75\.0%`)
	x.hides(`upstream/bravo`) // which was not there then
}

func anotherChange(t *testing.T, n *operated) { n.change(t, "pool.limit", "11") }

func undoAndRedo(t *testing.T, x *terminal, n *operated) {
	x.press("u")
	x.see(`Unlock for 10 minutes`)
	x.press("y")
	x.see(`Undo the last change[\s\S]*pool\.limit.*11`)
	x.press("y")
	x.see(`pool\.limit +(×\d+ )?undone: 11 -> 9`) // with the event, so that it can be redone
	n.setting(t, "pool.limit", "9")
	x.press("U")
	x.see(`Redo what was taken back[\s\S]*pool\.limit.*11`)
	x.press("y")
	x.see(`pool\.limit +(×\d+ )?redone: 9 -> 11`)
	n.setting(t, "pool.limit", "11")
}

func keepAndSave(t *testing.T, x *terminal, n *operated) {
	x.press("2e")
	x.see(`Unlock for 10 minutes`)
	x.press("y")
	x.see(`Edit pool.limit`)
	x.press("12<enter>")
	x.see(`→  12 connections`)
	x.hides(`the node is checking`)
	x.press("y")
	x.keep()
	n.until(t, "that there is something to save", func(l control.Look) bool { return len(l.Trials) == 0 && l.Unsaved > 0 })
	x.see(`\d unsaved`)
	x.press("w")
	x.see(`Save what is kept[\s\S]*→ pool\.limit  4 → 12[\s\S]*overrides\.yaml`)
	x.press("y")
	x.see(`saved: \d+ differences`)
	n.until(t, "that all is saved", func(l control.Look) bool { return l.Unsaved == 0 })
	if data, err := os.ReadFile(overridesPath(n.state)); err != nil || !strings.Contains(string(data), "12") {
		t.Errorf("%v\n%s", err, data)
	}
}

// cachedBlocks is how many blocks L1 has.
func cachedBlocks(l control.Look) uint64 {
	for _, tier := range l.Tiers {
		if tier.Tier == "l1" && tier.Class == "block" {
			return tier.Entries
		}
	}
	return 0
}

func blocksAreCached(t *testing.T, n *operated) {
	for height := range 12 {
		fetch(t, fmt.Sprintf("%s/v1/blocks/%d", n.url, 1+height))
	}
	n.until(t, "that blocks are cached", func(l control.Look) bool { return cachedBlocks(l) >= 12 })
}

func flushAClass(t *testing.T, x *terminal, n *operated) {
	x.press(":flush block")
	x.see(`(?mi)flush class block`)
	x.press("<enter>")
	x.see(`Unlock for 10 minutes`)
	x.press("y")
	x.see(`(?i)flush class block[\s\S]*type flush`)
	x.press("flush<enter>")
	x.see(`done: block`)
	l := n.until(t, "that no block is cached", func(l control.Look) bool { return cachedBlocks(l) == 0 })
	for _, e := range l.Events {
		if e.Kind == "action" && e.Subject == "block" {
			return
		}
	}
	t.Errorf("no event says so: %+v", l.Events)
}

func findASetting(t *testing.T, x *terminal, n *operated) {
	x.press("7/hedge_fl<enter>")
	x.see(`(?m)upstream\.hedge_floor +30ms +flag`)
	x.press("<enter>")
	x.see(`▸ flag +30ms\s[\s\S]*file +40ms\s[\s\S]*default +\d`)
	layers, err := n.client.Explain(t.Context(), "upstream.hedge_floor")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		if l.Wins != (l.Source == "flag") || l.Wins && l.Text != "30ms" {
			t.Errorf("%+v", l)
		}
	}
	n.setting(t, "upstream.hedge_floor", "30ms")
}

func saveTheScreen(t *testing.T, x *terminal, n *operated) {
	before, err := n.client.Look(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	x.press("<tab>z")
	x.hides(`Events ──`) // the panel covers the others
	x.press("p")
	x.see(`PAUSED`)
	x.press("tS")
	saved := x.see(`saved (bizra-top-overview-[\d-]+\.txt) and (\S+\.svg)`)
	text, err := os.ReadFile(filepath.Join(x.cmd.Dir, saved[1]))
	if err != nil || !strings.Contains(string(text), "PAUSED") || strings.ContainsRune(string(text), '\x1b') {
		t.Errorf("%v\n%s", err, text)
	}
	picture, err := os.ReadFile(filepath.Join(x.cmd.Dir, saved[2]))
	if err != nil || !strings.Contains(string(picture), "PAUSED") {
		t.Errorf("%v\n%s", err, picture)
	}
	d := xml.NewDecoder(strings.NewReader(string(picture)))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the picture is no SVG: %v", err)
		}
	}
	after := n.until(t, "that time goes on", func(l control.Look) bool { return l.Time.After(before.Time) })
	if after.Revision != before.Revision {
		t.Error("looking has changed a setting")
	}
	for _, e := range after.Events {
		if e.Seq > before.LastEvent && (e.Kind == "change" || e.Kind == "action") {
			t.Errorf("looking has changed the node: %+v", e)
		}
	}
}
