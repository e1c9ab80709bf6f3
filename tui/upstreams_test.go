package tui

import (
	"testing"

	"github.com/bizra/bizra-top/node/control"
)

// On whose word the head is known is said wherever it is shown, in words.
func TestTheHeadSaysOnWhoseWordItIs(t *testing.T) {
	for name, c := range map[string]struct {
		head   control.Head
		shows  []string
		hides  []string
		header string
	}{
		"quorum":      {control.Head{Number: 1234, Trust: control.TrustQuorum, Votes: 2, Voters: 3}, []string{"head 1234 by a quorum of 2 of 3"}, []string{"word"}, ""},
		"single":      {control.Head{Number: 1234, Trust: control.TrustSingle, Votes: 1, Voters: 1}, []string{"head 1234 ! one provider's word"}, nil, "chain 1337 ! one provider's word"},
		"not current": {control.Head{Number: 1234, Trust: control.TrustNone}, []string{"head 1234 ✗ no quorum behind it"}, nil, "chain 1337 ✗ no quorum"},
		"not known":   {control.Head{Trust: control.TrustNone}, []string{"✗ no head yet"}, nil, "chain 1337 ✗ no quorum"},
		"not told":    {control.Head{}, nil, []string{"quorum", "word", "head yet"}, ""},
		"newer":       {control.Head{Number: 1234, Trust: "proof"}, []string{"head 1234 ? proof"}, nil, ""},
	} {
		for size, wh := range map[string][2]int{"80x24": {80, 24}, "120x40": {120, 40}} {
			t.Run(name+"-"+size, func(t *testing.T) {
				s := newScreen(t, wh[0], wh[1], func(d *fakeDoor, _ *Options) {
					d.spoil = func(l *control.Look) { l.Node.Head = c.head }
				})
				s.keys("5", "j").shows(c.shows...)
				s.hides(c.hides...)
				if c.header != "" && wh[0] >= 110 {
					s.shows(c.header)
				}
			})
		}
	}
}

func TestWhatAProviderLacksIsInItsDetail(t *testing.T) {
	newScreen(t, 120, 40).keys("5", "j").shows("abilities    no debug_*, pruned below 128")
}

// How much was proved stands beside the hit ratios, and zooming shows it over time.
func TestTheCacheShowsWhatAnswersRestOn(t *testing.T) {
	s := newScreen(t, 120, 40).keys("3")
	s.shows("proved      59.8%  quorum 30.0%  single 10.2%")
	s.keys("tab", "z").shows("What answers rest on")
}
