package head

import "slices"

// window is the canonical blocks of consecutive heights, with holes where the hash is not
// known. It is not changed once it is published.
type window struct {
	first  uint64
	hashes []Hash
}

func (w *window) hash(number uint64) (Hash, bool) {
	if w == nil || number < w.first || number-w.first >= uint64(len(w.hashes)) {
		return Hash{}, false
	}
	h := w.hashes[number-w.first]
	return h, h != Hash{}
}

func (w *window) top() uint64 { return w.first + uint64(len(w.hashes)) - 1 }

// clone returns a copy that ends at a height and holds at most keep blocks.
func (w *window) clone(top uint64, keep int) *window {
	keep = max(keep, 1)
	next := &window{first: top}
	if w != nil && w.first <= top {
		next.first = w.first
		if top-next.first >= uint64(keep) {
			next.first = top - uint64(keep) + 1
		}
	}
	next.hashes = make([]Hash, top-next.first+1)
	for i := range next.hashes {
		next.hashes[i], _ = w.hash(next.first + uint64(i))
	}
	return next
}

// extend makes room for one block below.
func (w *window) extend(parent Hash) {
	w.first--
	w.hashes = append([]Hash{parent}, w.hashes...)
}

// walk is how far the way down from the head to what it ties to has come.
type walk struct {
	open   bool
	at     uint64   // the block whose parent is to be found
	before uint64   // the head before
	lower  []uint64 // where earlier ways stopped that did not come to an end
}

// begin starts a way at a new head.
func (w *walk) begin(top uint64) {
	if w.open && w.at < top {
		w.lower = append(w.lower, w.at)
	}
	w.lower = slices.DeleteFunc(w.lower, func(n uint64) bool { return n >= top })
	w.open, w.at = true, top
}

// linked notes that a block is tied to the one below it. The way goes on where an earlier
// one had stopped, or, in a window that begins at first, below it; true is at its end.
func (w *walk) linked(n, first uint64) bool {
	if last := len(w.lower) - 1; last >= 0 {
		w.at, w.lower = max(min(w.lower[last], n-1), first), w.lower[:last]
		return false
	}
	w.open = false
	return true
}

// link is what is known of a block's parent.
type link struct {
	number uint64
	parent Hash // known by a header that hashes to the block
	votes  map[Hash]int
	said   map[int]bool // providers that have voted
	asked  map[int]bool // providers that need not be asked now
}

func newLink(number uint64) *link {
	return &link{number: number, votes: map[Hash]int{}, said: map[int]bool{}, asked: map[int]bool{}}
}

// known returns the parent that need providers name, or that is proven.
func (l *link) known(need int) (Hash, bool) {
	if l == nil {
		return Hash{}, false
	}
	if (l.parent != Hash{}) {
		return l.parent, true
	}
	for parent, n := range l.votes {
		if n >= need {
			return parent, true
		}
	}
	return Hash{}, false
}
