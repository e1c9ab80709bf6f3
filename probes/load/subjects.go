package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bizra/bizra-top/node/validation"
)

// Bounds of the subjects that are kept, of each kind.
const (
	maxSubjects = 100_000
	// searchAtOnce is how many blocks are asked for at once while subjects are found.
	searchAtOnce    = 4
	searchWait      = 10 * time.Second // for one block
	maxSubjectsFile = 64 << 20
)

// Subjects are what can be asked for, the newest first.
type Subjects struct {
	Blocks       []uint64
	Transactions []string // hashes
	Addresses    []string
}

func (s Subjects) String() string {
	return fmt.Sprintf("%d blocks, %d transactions, %d addresses", len(s.Blocks), len(s.Transactions), len(s.Addresses))
}

// ReadSubjects reads one subject a line: a block's number, a transaction's hash or an
// address; empty lines and those that begin with # are skipped. The first line is
// asked for most.
func ReadSubjects(r io.Reader) (Subjects, error) {
	var s Subjects
	lines := bufio.NewScanner(io.LimitReader(r, maxSubjectsFile))
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		if len(s.Blocks)+len(s.Transactions)+len(s.Addresses) >= maxSubjects {
			return s, fmt.Errorf("line %d: more than %d subjects", n, maxSubjects)
		}
		if hash, err := validation.ParseHash(text); err == nil {
			s.Transactions = append(s.Transactions, hash)
		} else if _, err := validation.ParseAddress(text); err == nil {
			s.Addresses = append(s.Addresses, text)
		} else if number, err := strconv.ParseUint(text, 0, 64); err == nil {
			s.Blocks = append(s.Blocks, number)
		} else {
			return s, fmt.Errorf("line %d: neither a block's number, nor a transaction's hash, nor an address", n)
		}
	}
	if err := lines.Err(); err != nil {
		return s, fmt.Errorf("read subjects: %w", err)
	}
	if len(s.Blocks)+len(s.Transactions)+len(s.Addresses) == 0 {
		return s, errors.New("there are no subjects")
	}
	return s, nil
}

// Find asks the target for its newest blocks and takes them, their transactions and
// the addresses in these as subjects.
func Find(ctx context.Context, t *Target, blocks int) (Subjects, error) {
	f := finder{target: t, blocks: max(blocks, 1)}
	return f.find(ctx)
}

// finder knows the blocks it has found.
type finder struct {
	target *Target
	blocks int
	found  []foundBlock // newest first
}

type foundBlock struct {
	number       uint64
	transactions []string
	addresses    []string
}

// find takes the blocks up to the head that it does not know yet, drops the oldest,
// and returns all their subjects.
func (f *finder) find(ctx context.Context) (Subjects, error) {
	head, err := f.head(ctx)
	if err != nil {
		return Subjects{}, fmt.Errorf("find out what to ask for: %w", err)
	}
	from := uint64(0)
	if n := uint64(f.blocks); head+1 > n {
		from = head + 1 - n
	}
	if len(f.found) > 0 && f.found[0].number >= from {
		from = f.found[0].number + 1
	}
	fresh := make([]foundBlock, 0, f.blocks)
	for n := head; n >= from && n <= head; n-- { // the second ends it below 0
		fresh = append(fresh, foundBlock{number: n})
	}
	group, limited := errgroup.WithContext(ctx)
	group.SetLimit(searchAtOnce)
	for i := range fresh {
		group.Go(func() error { return f.fill(limited, &fresh[i]) })
	}
	if err := group.Wait(); err != nil {
		return Subjects{}, fmt.Errorf("find out what to ask for: %w", err)
	}
	f.found = append(fresh, f.found...)
	f.found = f.found[:min(len(f.found), f.blocks)]
	return f.subjects(), nil
}

func (f *finder) head(ctx context.Context) (uint64, error) {
	result, err := f.target.call(ctx, `"eth_blockNumber","params":[]`)
	if err != nil {
		return 0, err
	}
	text, err := result.StringBytes()
	if err != nil {
		return 0, errors.New("eth_blockNumber: no number was answered")
	}
	n, err := strconv.ParseUint(string(text), 0, 64)
	if err != nil {
		return 0, errors.New("eth_blockNumber: no number was answered")
	}
	return n, nil
}

// fill reads a block's transactions. What does not look like one is left out: the
// answer is not trusted.
func (f *finder) fill(ctx context.Context, b *foundBlock) error {
	result, err := f.target.call(ctx, fmt.Sprintf(`"eth_getBlockByNumber","params":["0x%x",true]`, b.number))
	if err != nil {
		return fmt.Errorf("block %d: %w", b.number, err)
	}
	for _, tx := range result.GetArray("transactions") {
		if hash, err := validation.ParseHash(string(tx.GetStringBytes("hash"))); err == nil {
			b.transactions = append(b.transactions, hash)
		}
		for _, end := range []string{"from", "to"} {
			if address, err := validation.ParseAddress(string(tx.GetStringBytes(end))); err == nil {
				b.addresses = append(b.addresses, address.String())
			}
		}
	}
	return nil
}

func (f *finder) subjects() Subjects {
	var s Subjects
	known := map[string]bool{}
	for _, b := range f.found {
		s.Blocks = append(s.Blocks, b.number)
		s.Transactions = append(s.Transactions, b.transactions...)
		for _, a := range b.addresses {
			if !known[a] {
				known[a] = true
				s.Addresses = append(s.Addresses, a)
			}
		}
	}
	s.Transactions = s.Transactions[:min(len(s.Transactions), maxSubjects)]
	s.Addresses = s.Addresses[:min(len(s.Addresses), maxSubjects)]
	return s
}

// followEvery is how often a load that follows the head looks for new blocks.
const followEvery = time.Second

// follow keeps subjects up to date until ctx ends. A target that does not answer for
// a while is what a load is for: the subjects stay.
func (f *finder) follow(ctx context.Context, into *atomic.Pointer[Subjects]) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s, err := f.find(ctx); err == nil {
			into.Store(&s)
		}
	}
}

// skewed draws places in a list of which the first are drawn more often: the k-th in
// proportion to k^-s, Zipf's law; 0 draws all alike. math/rand/v2's needs s above 1.
type skewed struct {
	sums []float64 // nil for s = 0
}

func newSkewed(s float64) skewed {
	if s == 0 {
		return skewed{}
	}
	sums, sum := make([]float64, maxSubjects), 0.0
	for k := range sums {
		sum += math.Pow(float64(k+1), -s)
		sums[k] = sum
	}
	return skewed{sums}
}

// draw returns a place below n, which is above 0.
func (z skewed) draw(n int, random *rand.Rand) int {
	if z.sums == nil {
		return random.IntN(n)
	}
	n = min(n, len(z.sums))
	return min(sort.SearchFloat64s(z.sums[:n], random.Float64()*z.sums[n-1]), n-1)
}
