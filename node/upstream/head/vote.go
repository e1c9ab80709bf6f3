package head

import (
	"cmp"
	"slices"
	"time"
)

// need is how many of so many voters must agree.
func need(quorum, voters int) int { return min(max(quorum, 1), voters) }

// voters returns who votes, the highest first. The caller holds mu.
func (t *Tracker) voters(now time.Time) []int {
	list := make([]int, 0, len(t.seats))
	var newest time.Time // when any of them moved on last
	for i := range t.seats {
		s := &t.seats[i]
		if !s.heard.IsZero() && now.Sub(s.heard) <= t.StaleAfter() && t.Usable(i) {
			list = append(list, i)
			if s.advanced.After(newest) {
				newest = s.advanced
			}
		}
	}
	stall := max(stallLeast, stallRest*t.Interval())
	list = slices.DeleteFunc(list, func(i int) bool { return newest.Sub(t.seats[i].advanced) > stall })
	slices.SortFunc(list, func(a, b int) int { return cmp.Compare(t.seats[b].newest, t.seats[a].newest) })
	return list
}

// heardFrom returns when so many voters had last been heard from.
func (t *Tracker) heardFrom(voters []int, enough int) time.Time {
	times := make([]time.Time, len(voters))
	for i, v := range voters {
		times[i] = t.seats[v].heard
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	return times[enough-1]
}

// elected is what a vote came to.
type elected struct {
	Block
	votes int
	ok    bool
}

// elect returns the highest block that enough voters have reached and agree on. It wants
// to know of who has not told yet what stands at a height that could be it. Where fewer than
// enough have a block of a height that they claim, and the next claim is far below, that is
// the next height.
func (t *Tracker) elect(voters []int, enough int) (e elected) {
	if len(voters) == 0 {
		return e
	}
	height := t.seats[voters[enough-1]].newest
	tally := make(map[Hash]int, 2)
	for range steps {
		clear(tally)
		unknown, silent, reached, told, next := false, 0, 0, 0, uint64(0)
		for _, i := range voters {
			s := &t.seats[i]
			if s.newest < height {
				next = s.newest
				break // they are in the order of their heights
			}
			reached++
			switch hash, ok := s.view[height]; {
			case ok:
				tally[hash]++
				told++
			case s.hashless:
				silent++
			case !s.missing[height]:
				unknown = true
			}
		}
		best, votes, second := most(tally)
		if votes >= enough && votes > second {
			return elected{Block{height, best}, votes, true}
		}
		if unknown {
			for _, i := range voters {
				s := &t.seats[i]
				if _, ok := s.view[height]; !ok && s.newest >= height && !s.hashless && !s.missing[height] {
					t.want(i, question{height: height})
				}
			}
			return e
		}
		if silent == reached {
			return elected{Block{Number: height}, silent, true}
		}
		switch {
		case height == 0:
			return e
		case told+silent < enough && reached < len(voters) && next+steps < height:
			height = next
		default:
			height--
		}
	}
	return e
}

// most returns the hash with the most votes, and how many the next one has.
func most(tally map[Hash]int) (best Hash, votes, second int) {
	for hash, n := range tally {
		switch {
		case n > votes:
			best, votes, second = hash, n, votes
		case n > second:
			second = n
		}
	}
	return best, votes, second
}

// tagged returns the highest block that enough voters call so, of those at or below the
// head; false where too few know the tag.
func (t *Tracker) tagged(voters []int, enough int, of func(*seat) Block) (Block, bool) {
	var said []Block
	for _, i := range voters {
		if s := &t.seats[i]; s.tags == tagKnown {
			said = append(said, of(s))
		}
	}
	if len(said) < enough || enough == 0 {
		return Block{}, false
	}
	slices.SortFunc(said, func(a, b Block) int { return cmp.Compare(b.Number, a.Number) })
	number := said[enough-1].Number
	canonical, known := t.window.Load().hash(number)
	if !known {
		// Too far below what is kept: the hash is theirs, if enough agree on it.
		tally := map[Hash]int{}
		for _, b := range said {
			if b.Number == number {
				tally[b.Hash]++
			}
		}
		if best, votes, second := most(tally); votes >= enough && votes > second {
			canonical = best
		}
	}
	return Block{number, canonical}, true
}
