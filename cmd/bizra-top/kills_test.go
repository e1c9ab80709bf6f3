//go:build integration && faults

package main

import (
	"os"
	"slices"
	"testing"
	"time"
)

// The node, as it is released, is killed two hundred times while it writes verdicts, half
// of them on each ledger: none that was answered is lost or there twice, and each time it
// serves again within two seconds. Fifty times in CI, a thousand with BIZRA_TEST_LONG=1.
func TestFaultKilledTwoHundredTimes(t *testing.T) {
	each := 100
	switch {
	case os.Getenv("BIZRA_TEST_LONG") != "":
		each = 500
	case testing.Short():
		each = 25
	}
	k := killOnBothLedgers(t, asReleased(t), each)
	if t.Failed() {
		return
	}
	slices.Sort(k.starts)
	slowest := k.starts[len(k.starts)-1]
	t.Logf("%d kills, %d answered verdicts all there once; up within %s, half of them %s",
		k.rounds, len(k.answered), slowest.Round(time.Millisecond), k.starts[len(k.starts)/2].Round(time.Millisecond))
	if slowest > 2*time.Second {
		t.Errorf("one start took %s", slowest)
	}
}
