package head_test

import (
	"testing"
	"testing/synctest"

	"github.com/bizra/bizra-top/node/upstream/head"
)

func TestTwoThatClaimBlocksFarAheadStopNoVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claim := func(by uint64) func(head.Header) head.Header {
			return func(h head.Header) head.Header {
				if h.Number == 100 {
					h.Number, h.Hash = 100+by, head.Hash{byte(by)}
				}
				return h
			}
		}
		r := follow(t, 2, 64, &provider{height: 100, lies: claim(900)}, &provider{height: 100}, &provider{height: 100, lies: claim(1 << 62)}, &provider{height: 100}, &provider{height: 100})
		if m := r.Now(); m == nil || m.Number != 100 || m.Hash != (fork{}).hash(100) {
			t.Errorf("%+v", m)
		}
	})
}

func TestTheHashOfAFinalBlockIsWhatMostNameWhoeverIsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, 2, 64, &provider{height: 200, final: 100, fork: fork{"other", 10}}, &provider{height: 200, final: 100}, &provider{height: 200, final: 100})
		if m := r.Now(); m == nil || m.Final.Hash != (fork{}).hash(100) {
			t.Errorf("%+v", m)
		}
	})
}

func TestStances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, 2, 64, &provider{height: 100}, &provider{height: 100}, &provider{height: 99}, &provider{height: 100, fork: fork{"other", 98}}, &provider{height: 99, fork: fork{"other", 98}}, &provider{away: true})
		for i, want := range []head.Stance{head.Stands, head.Stands, head.Unknown, head.Strays, head.Strays, head.Unknown} {
			if got := r.Stance(i); got != want {
				t.Errorf("provider %d: %d, want %d", i, got, want)
			}
		}
	})
}
