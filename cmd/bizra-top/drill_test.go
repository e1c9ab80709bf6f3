//go:build integration

package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// TestDrillStory practises on a demo from its screen: a load, a fault behind it, all
// lifted with one key; then the node stops with a load on it.
func TestDrillStory(t *testing.T) {
	t.Parallel()
	p := start(t, binary(t), "demo", "--headless", "--state-dir", t.TempDir(), "--listen", "127.0.0.1:0")
	c := control.NewClient(p.socket)
	defer c.Close()
	x := onTerminal(t, 120, 40, binary(t), "--socket", p.socket, "--theme", "dark")
	x.see(`LIVE`)
	x.press("D")
	x.see(`(?m)pattern +‹wave›`)
	x.press("s")
	x.see(`Unlock for 10 minutes`)
	x.press("y")
	x.see(`Start a load[\s\S]*wave, at most 100/s for 1m00s[\s\S]*▸ Cancel`)
	x.press("y")
	x.see(`Load: wave 100/s ─+ ● \d+s left`)
	x.see(`(?m)in all +\d`)
	x.press("G<enter>")
	x.see(`Have it fail: database held`)
	x.press("y")
	x.see(`(?m)database held +✗ on 1m\d\ds`)
	pool := func() control.Pool {
		l, err := c.Look(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return l.Pool
	}
	eventually(t, 20*time.Second, "the pool is held and callers wait", func() bool { p := pool(); return p.InUse == p.Limit && p.Waiting > 0 })
	x.press("x")
	x.see(`all faults are lifted`)
	x.hides(`✗ on`)
	eventually(t, 20*time.Second, "the pool is free", func() bool { p := pool(); return p.Waiting == 0 && p.InUse < p.Limit })
	t.Logf("%d keys: put a load on a demo, hold its database, and lift it", x.pressed)
	if x.pressed > 9 {
		t.Errorf("it took %d keys", x.pressed)
	}
	entries, err := c.Audit(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	var trail strings.Builder
	for _, e := range entries {
		if e.Verb == "drill" {
			trail.WriteString(e.Outcome + " " + e.Subject + ": " + e.New + "\n")
		}
	}
	for _, want := range []string{"done load: wave load of at most 100/s for 1m0s", "done fault: database.held", "done fault: lifted: database held"} {
		if !strings.Contains(trail.String(), want) {
			t.Errorf("the audit trail does not say %q:\n%s", want, trail.String())
		}
	}
	if d, err := c.Drill(t.Context()); err != nil || d.Load == nil || !d.Load.Running || d.Load.Requests == 0 {
		t.Fatalf("no load runs: %+v, %v", d.Load, err)
	}
	for _, id := range []string{"redis.gone", "redis.slow", "alpha.down", "alpha.lying"} {
		if _, err := c.SetFault(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	l, err := c.Look(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "Redis and alpha fail", func() bool {
		l, err = c.Look(t.Context(), 0)
		failing := 0
		for _, b := range l.Breakers {
			if (b.Name == "redis" || b.Name == "upstream/alpha") && b.State != "closed" {
				failing++
			}
		}
		return err == nil && failing == 2
	})
	began := time.Now()
	p.stop(t) // and fails when that is no clean exit
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("with a load on it the node took %s to stop", took)
	}
}

// On a node that is no demo there are no faults, and a load asks for its word.
func TestDrillOnANodeThatIsNoDemo(t *testing.T) {
	t.Parallel()
	n := operatedNode(t)
	d, err := n.client.Drill(t.Context())
	if err != nil || len(d.Faults) != 0 || d.Word != "load" {
		t.Fatalf("%+v, %v", d, err)
	}
	ask := control.LoadRequest{Pattern: "constant", Rate: 20, Length: "2s"}
	var refused *control.Problem
	if _, err := n.client.StartLoad(t.Context(), ask); !errors.As(err, &refused) || refused.Status != http.StatusUnprocessableEntity {
		t.Errorf("without the word: %v", err)
	}
	if _, err := n.client.SetFault(t.Context(), "alpha.down"); !errors.As(err, &refused) || refused.Status != http.StatusConflict {
		t.Errorf("a fault: %v", err)
	}
	x := onTerminal(t, 120, 40, binary(t), "--socket", n.socket, "--theme", "dark")
	x.see(`LIVE`)
	x.press("D")
	x.see(`not a demo[\s\S]*nothing of it is made to fail`)
	x.press("s")
	x.see(`Unlock for 10 minutes`)
	x.press("y")
	x.see(`type load`)
	x.press("load<enter>")
	x.see(`started: wave, at most 100/s for 1m00s`)
	x.press("s")
	x.see(`stopped: wave load`)
	eventually(t, 20*time.Second, "the load has ended", func() bool {
		d, err := n.client.Drill(t.Context())
		return err == nil && d.Load != nil && !d.Load.Running
	})
	t.Logf("%d keys: put a load on a node that is no demo, and stop it", x.pressed)
}
