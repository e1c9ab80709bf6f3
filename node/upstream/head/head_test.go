package head_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/upstream/head"
)

// fork is a chain that leaves the main one at a height; the main one is called "".
type fork struct {
	name string
	at   uint64 // the first block of its own
}

func (f fork) hash(number uint64) head.Hash {
	name := f.name
	if number < f.at {
		name = ""
	}
	return sha256.Sum256(fmt.Appendf(nil, "%s/%d", name, number))
}

func (f fork) header(number uint64) head.Header {
	h := head.Header{Block: head.Block{Number: number, Hash: f.hash(number)}}
	if number > 0 {
		h.Parent = f.hash(number - 1)
	}
	return h
}

// provider is one in a test.
type provider struct {
	fork
	height uint64
	away   bool
	lies   func(head.Header) head.Header // about any header
	final  uint64                        // 0: it does not know the tag
}

func (p *provider) say(h head.Header) head.Header {
	if p.lies != nil {
		return p.lies(h)
	}
	return h
}

type rig struct {
	*head.Tracker
	t    *testing.T
	reg  *prometheus.Registry
	mu   sync.Mutex
	list []*provider
	told []string
	lost int
}

// follow runs a tracker over providers, in a bubble of synctest.
func follow(t *testing.T, quorum, depth int, list ...*provider) *rig {
	t.Helper()
	r := &rig{t: t, reg: prometheus.NewRegistry(), list: list}
	r.Tracker = head.New(head.Config{
		Providers: len(list), Quorum: func() int { return quorum }, Depth: func() int { return depth },
		StaleAfter: func() time.Duration {
			// As the set does, which asks less often while nobody wants anything.
			return max(15*time.Second, r.Interval(), time.Duration(min(r.Number(), 1)))
		},
		Usable: func(i int) bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return !r.list[i].away
		},
		Ask:      r.ask,
		Moved:    func(head.Moment) {},
		Replaced: func() { r.lost++ },
		Report: func(provider int, severity, text string) {
			r.told = append(r.told, fmt.Sprintf("%d %s %s", provider, severity, text))
		},
	}, r.reg)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	r.poll()
	return r
}

func (r *rig) ask(_ context.Context, i int, block string) (head.Header, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.list[i]
	digits := strings.TrimPrefix(block, "0x")
	if len(digits) == 64 {
		var want head.Hash
		if _, err := hex.Decode(want[:], []byte(digits)); err != nil {
			return head.Header{}, err
		}
		for n := range min(p.height, 2000) + 1 {
			if h := p.header(p.height - n); h.Hash == want {
				return p.say(h), nil
			}
		}
		return head.Header{}, errors.New("null")
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	if err != nil || n > p.height {
		return head.Header{}, errors.New("null")
	}
	return p.say(p.header(n)), nil
}

// poll has every provider tell its newest block, and waits until the tracker is at rest.
func (r *rig) poll() {
	for i, p := range r.list {
		if p.away {
			continue
		}
		if p.final > 0 {
			r.HeardTags(i, p.header(p.final).Block, p.header(p.final).Block, true)
		} else {
			r.HeardTags(i, head.Block{}, head.Block{}, false)
		}
		r.Heard(i, p.say(p.header(p.height)))
	}
	synctest.Wait()
	time.Sleep(1100 * time.Millisecond) // its tick
	synctest.Wait()
}

// change changes the providers, and polls.
func (r *rig) change(do func()) {
	r.mu.Lock()
	do()
	r.mu.Unlock()
	r.poll()
}

func (r *rig) at(number uint64, of fork, trust head.Trust) {
	r.t.Helper()
	m := r.Now()
	if m == nil || m.Number != number || m.Hash != of.hash(number) || m.Trust != trust {
		r.t.Fatalf("the head is %+v, not %d of %q by %s; %v", m, number, of.name, trust, r.told)
	}
}

func (r *rig) heard(severity, text string) {
	r.t.Helper()
	for _, line := range r.told {
		if strings.Contains(line, severity+" ") && strings.Contains(line, text) {
			return
		}
	}
	r.t.Errorf("%q was not told: %q", text, r.told)
}

var trunk fork

func at(height uint64) *provider { return &provider{height: height} }

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestALiarMovesNothing(t *testing.T) {
	for name, liar := range map[string]*provider{
		"900 ahead":      at(1900),
		"2^63-1":         at(1<<63 - 1),
		"the same chain": at(1004),
		"another hash":   {height: 1000, fork: fork{"lie", 900}},
		"another parent": {height: 1000, lies: func(h head.Header) head.Header { h.Parent[0]++; return h }},
		"nothing":        at(0),
	} {
		for place := range 3 {
			t.Run(fmt.Sprintf("%s at %d", name, place), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					lied := *liar
					list := []*provider{at(1000), at(1000)}
					list = append(list[:place:place], append([]*provider{&lied}, list[place:]...)...)
					r := follow(t, 2, 64, list...)
					r.at(1000, trunk, head.Quorum)
					for n := uint64(1001); n < 1010; n++ {
						r.change(func() {
							for i, p := range list {
								if i != place {
									p.height = n
								}
							}
						})
						r.at(n, trunk, head.Quorum)
						if h, ok := r.Canonical(n - 1); !ok || h != trunk.hash(n-1) {
							t.Fatalf("%x %v", h, ok)
						}
					}
					if !r.Final(1009-64) || r.Final(1009-63) {
						t.Errorf("%+v", r.Now().Final)
					}
					if n := r.lost; n != 0 {
						t.Errorf("replaced %d times: %v", n, r.told)
					}
				})
			})
		}
	}
}

func TestAProviderThatClaimsTooMuchIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := follow(t, 2, 64, at(1000), at(1900), at(1000))
		r.heard("1 warn", "claims block 1900, where a quorum has 1000")
	})
}

func TestAQuorumMayJumpAsFarAsItLikes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		list := []*provider{at(1000), at(1000), at(1000)}
		r := follow(t, 2, 64, list...)
		r.change(func() { list[0].height, list[1].height = 6000, 6000 })
		r.at(6000, trunk, head.Quorum)
	})
}

func TestAReorganisationOfAnyDepthIsSeen(t *testing.T) {
	for _, depth := range []uint64{1, 2, 12, 63, 64, 157, 240} {
		for _, longer := range []int{-1, 0, 1, 5} {
			if longer < 0 && depth == 1 {
				continue // none
			}
			t.Run(fmt.Sprintf("%d blocks, %+d", depth, longer), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					list := []*provider{at(600), at(600), at(600)}
					r := follow(t, 2, 64, list...)
					for n := uint64(601); n <= 1000; n++ {
						for i, p := range list {
							p.height = n
							r.Heard(i, p.header(n))
						}
						synctest.Wait()
					}
					r.at(1000, trunk, head.Quorum)
					other := fork{"other", 1001 - depth}
					r.change(func() {
						for _, p := range list {
							p.fork, p.height = other, uint64(1000+longer)
						}
					})
					for range depth/8 + 2 { // it walks down by asking
						r.poll()
					}
					r.at(uint64(1000+longer), other, head.Quorum)
					for n := uint64(1000 + longer); n > 1000-depth-2; n-- {
						if h, ok := r.Canonical(n); !ok || h != other.hash(n) {
							t.Fatalf("block %d is %x %v", n, h, ok)
						}
					}
					r.heard("", fmt.Sprintf("%d blocks up to 1000 were replaced", depth))
					if deep := depth > 64; deep {
						r.heard("bad", "taken to be final")
					}
					if r.lost != 0 {
						t.Error("not all of it was replaced")
					}
				})
			})
		}
	}
}

func TestTheHeadStaysWhenWhoWasAheadLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		list := []*provider{at(1000), at(1000), at(997)}
		r := follow(t, 2, 64, list...)
		r.change(func() { list[1].away = true })
		r.at(1000, trunk, head.Quorum)
		r.change(func() { list[2].height = 1001 })
		r.at(1000, trunk, head.Quorum)
		r.change(func() { list[0].height = 1001 })
		r.at(1001, trunk, head.Quorum)
	})
}

func TestOneProviderIsTakenAtItsWordAndMarked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := follow(t, 2, 64, at(1000))
		r.at(1000, trunk, head.Single)
		if !r.Final(1000 - 64) {
			t.Errorf("%+v", r.Now())
		}
		r.change(func() { r.list[0].height = 9000 })
		r.at(9000, trunk, head.Single)
	})
}

func TestOneOfSeveralProvidersDecidesNoFinalityAndMakesNoLeap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		list := []*provider{at(1000), at(1000), at(1000)}
		r := follow(t, 2, 64, list...)
		r.change(func() { list[0].away, list[1].away = true, true })
		r.change(func() { list[2].height = 1010 })
		r.at(1010, trunk, head.Single)
		if r.Final(1010 - 64) {
			t.Errorf("%+v", r.Now())
		}
		r.change(func() { list[2].height = 1 << 40 })
		r.at(1010, trunk, head.Single)
		r.change(func() {
			list[0].away, list[1].away = false, false
			list[0].height, list[1].height = 1005, 1005
		})
		r.at(1005, trunk, head.Quorum) // the word of one is taken back
	})
}

func TestALiarThatIsHeardFirstIsNotTheHead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		list := []*provider{at(1<<63 - 1), {height: 1000, away: true}, {height: 1000, away: true}}
		r := follow(t, 2, 64, list...)
		if m := r.Now(); m != nil {
			t.Fatalf("%+v", m)
		}
		r.change(func() { list[1].away, list[2].away = false, false })
		r.at(1000, trunk, head.Quorum)
	})
}

func TestProvidersThatDoNotAgreeMoveNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		list := []*provider{at(1000), at(1000)}
		r := follow(t, 2, 64, list...)
		r.change(func() { list[1].fork, list[1].height = fork{"other", 500}, 1003; list[0].height = 1003 })
		for range 30 {
			r.poll()
		}
		r.at(1000, trunk, head.Quorum)
		r.heard("bad", "no 2 agree")
		r.change(func() { list[1].fork = trunk })
		r.at(1003, trunk, head.Quorum)
		r.heard("good", "agrees")
	})
}

func TestFinalityIsWhatAQuorumCallsFinal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		list := []*provider{at(1000), at(1000), at(1000)}
		list[0].final, list[1].final, list[2].final = 950, 940, 1000 // the last one lies
		r := follow(t, 2, 64, list...)
		if m := r.Now(); m.Final.Number != 950 || !m.Tagged || m.Final.Hash != trunk.hash(950) {
			t.Errorf("%+v", m)
		}
		r.change(func() { list[0].final, list[1].final = 0, 0 }) // they do not know the tag any more
		if m := r.Now(); m.Final.Number != 950 || m.Tagged {
			t.Errorf("%+v", m)
		}
		r.change(func() { list[0].height, list[1].height = 1100, 1100 })
		if m := r.Now(); m.Final.Number != 1100-64 {
			t.Errorf("%+v", m)
		}
	})
}

func TestDepthsOfKnownChains(t *testing.T) {
	for _, test := range []struct {
		chain      uint64
		configured int
		want       int
	}{{1, 64, 64}, {137, 64, 512}, {137, 1000, 1000}, {61, 64, 15_000}, {31337, 2, 2}} {
		if got := head.FinalDepth(test.chain, test.configured); got != test.want {
			t.Errorf("chain %d: %d, not %d", test.chain, got, test.want)
		}
	}
}

func TestAChainThatBeganAnewIsFollowed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		list := []*provider{at(5000), at(5000)}
		r := follow(t, 2, 64, list...)
		r.change(func() {
			for _, p := range list {
				p.fork, p.height = fork{"anew", 0}, 5
			}
		})
		for range 12 {
			r.poll()
		}
		r.at(5, fork{"anew", 0}, head.Quorum)
		if r.Final(4900) {
			t.Errorf("%+v", r.Now().Final)
		}
	})
}

func TestAProviderThatStandsStillHasNoVote(t *testing.T) {
	bubble(t, func(t *testing.T) {
		list := []*provider{at(1000), at(1000)}
		r := follow(t, 2, 64, list...)
		for n := uint64(1); n < 40; n++ {
			r.change(func() { list[0].height = 1000 + n })
			time.Sleep(2 * time.Second)
		}
		if m := r.Now(); m.Number < 1030 || m.Trust != head.Single {
			t.Errorf("%+v", m)
		}
		r.change(func() { list[1].height = list[0].height })
		r.at(list[0].height, trunk, head.Quorum)
	})
}

func TestAwait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		list := []*provider{at(1000), at(1000)}
		r := follow(t, 2, 64, list...)
		reached := make(chan bool, 1)
		go func() { reached <- r.Await(t.Context(), 1003) }()
		r.change(func() { list[0].height, list[1].height = 1004, 1003 })
		if !<-reached {
			t.Error("not reached")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r.Await(ctx, 2000) {
			t.Error("reached")
		}
	})
}

// A new block of each of 64 providers, with the decision.
func BenchmarkHeadOf64Providers(b *testing.B) {
	const n = 64
	t := head.New(head.Config{
		Providers: n, Quorum: func() int { return 33 }, Depth: func() int { return 64 },
		StaleAfter: func() time.Duration { return time.Hour }, Usable: func(int) bool { return true },
		Moved: func(head.Moment) {}, Replaced: func() {}, Report: func(int, string, string) {},
	}, prometheus.NewRegistry())
	for i := range n {
		t.Heard(i, trunk.header(uint64(1000+i)))
		t.Heard(i, trunk.header(uint64(1001+i)))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		t.Decide(time.Now())
	}
}
