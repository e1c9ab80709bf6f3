package validation

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// headHeight is how high the chain is: the greatest height that a quorum of
// providers has reached, so that one provider alone can neither raise nor, while
// there are others, lower it.
type headHeight struct {
	number uint64
	err    error        // when nobody says: a flaw or silent
	guess  headerAnswer // what stands there according to one of them, when headers were asked for
}

func (q *inquiry) findHead() headHeight {
	return reached(q, "eth_blockNumber", nil, func(raw json.RawMessage) (headHeight, error) {
		n, err := decodeNumber(raw)
		if err != nil {
			err = flawed("confirmations", "%v", err)
		}
		return headHeight{number: n}, err
	})
}

// tagged is the height that a quorum has reached for a tag.
func (q *inquiry) tagged(tag string) headHeight {
	return reached(q, "eth_getBlockByNumber", []any{tag, false}, func(raw json.RawMessage) (headHeight, error) {
		h, err := q.judge.header(raw, common.Hash{})
		var other *foreign
		if err != nil && !errors.As(err, &other) {
			return headHeight{}, err
		}
		return headHeight{number: h.number(), guess: h}, nil
	})
}

func reached(q *inquiry, method string, params []any, judge func(json.RawMessage) (headHeight, error)) headHeight {
	var (
		heights []headHeight
		first   error
		refused error
	)
	for _, a := range q.src.CallEach(q.ctx, q.set.Witnesses.Get(), method, params...) {
		if a.Err != nil {
			first = cmp.Or(first, a.Err)
			continue
		}
		if !q.use(a.Provider) {
			continue
		}
		if isNull(a.Result) {
			first = cmp.Or(first, errAbsent)
			continue
		}
		h, err := judge(a.Result)
		var f *flaw
		if errors.As(err, &f) {
			q.caught(a.Provider, f.check, f.text)
			refused = cmp.Or(refused, err)
			continue
		}
		heights = append(heights, h)
	}
	switch {
	case len(heights) > 0:
		slices.SortFunc(heights, func(a, b headHeight) int { return cmp.Compare(a.number, b.number) })
		return heights[max(len(heights)-q.quorum(), 0)]
	case refused != nil:
		return headHeight{err: refused}
	}
	q.silence()
	return headHeight{err: &silent{cmp.Or(first, errors.New("there is no provider to ask"))}}
}

func isNull(raw json.RawMessage) bool {
	s := strings.TrimSpace(string(raw[:min(len(raw), 16)]))
	return s == "" || s == "null"
}

// agreement is which block providers name at a height.
type agreement struct {
	header  headerAnswer // of the block that most name
	decided bool         // a quorum names it, and more than name any other
	absent  bool         // they know of no block there
	err     error        // no block can be named: a flaw, foreign or silent
	foreign string       // why the header's hash could not be recomputed
	text    string       // the evidence
	others  []dissent
	ballots []ballot // for header
}

// ballot is what a provider sent with the header it named.
type ballot struct {
	provider string
	sent     listing
}

type dissent struct {
	provider string
	hash     common.Hash
}

type votes struct {
	header    headerAnswer
	providers []string
	ballots   []ballot
	foreign   string
}

// agree asks, once, which block stands at a height.
func (q *inquiry) agree(number uint64) agreement {
	return q.heights.about(number, func() agreement { return q.vote(number) })()
}

// vote compares what providers name at a height. A header counts only when it
// hashes to what its provider claims.
func (q *inquiry) vote(number uint64) agreement {
	var (
		ballots = map[common.Hash]*votes{}
		seen    = map[string]bool{}
		absent  int
		flaws   []error
		errs    []error
	)
	quorum, witnesses := q.quorum(), q.set.Witnesses.Get()
	for _, n := range []int{max(witnesses, quorum), maxWitnesses} {
		answers := q.src.CallEach(q.ctx, n, "eth_getBlockByNumber", hexNumber(number), false)
		for _, a := range answers {
			if a.Err != nil {
				errs = append(errs, a.Err)
				continue
			}
			if seen[a.Provider] || !q.use(a.Provider) {
				continue
			}
			seen[a.Provider] = true
			if isNull(a.Result) {
				absent++
				continue
			}
			h, err := q.judge.header(a.Result, common.Hash{})
			if err == nil && h.number() != number {
				err = flawed("canonical", "asked for block %d, answers with block %d", number, h.number())
			}
			var (
				f     *flaw
				other *foreign
			)
			if errors.As(err, &f) {
				flaws = append(flaws, err)
				q.caught(a.Provider, f.check, f.text)
				continue
			}
			v := ballots[h.hash]
			if v == nil {
				v = &votes{header: h}
				ballots[h.hash] = v
			}
			switch foreign := errors.As(err, &other); {
			case foreign && len(v.providers) == 0:
				v.foreign = other.text
			case !foreign: // one header that hashes to it proves the hash
				v.header, v.foreign = h, ""
			}
			v.providers = append(v.providers, a.Provider)
			v.ballots = append(v.ballots, ballot{a.Provider, h.sent})
		}
		if len(answers) < n || q.ctx.Err() != nil || settled(ballots, quorum) || len(ballots) == 0 && absent >= quorum {
			break
		}
	}

	switch {
	case len(ballots) > 0:
		return q.count(number, ballots, absent, quorum)
	case absent > 0 && (len(flaws) == 0 || absent >= quorum):
		return agreement{absent: true, err: errAbsent, text: "no provider knows a block there"}
	case len(flaws) > 0:
		return agreement{err: flaws[0], text: "no provider names a block that holds"}
	}
	q.silence()
	if len(errs) == 0 {
		errs = append(errs, errors.New("there is no provider to ask"))
	}
	return agreement{err: &silent{errs[0]}, text: "no provider answered"}
}

func settled(ballots map[common.Hash]*votes, quorum int) bool {
	for _, v := range ballots {
		if len(v.providers) >= quorum && len(ballots) == 1 {
			return true
		}
	}
	return false
}

// count decides between the blocks named, and reports the minority.
func (q *inquiry) count(number uint64, ballots map[common.Hash]*votes, absent, quorum int) agreement {
	ranked := make([]*votes, 0, len(ballots))
	for _, v := range ballots {
		slices.Sort(v.providers)
		ranked = append(ranked, v)
	}
	slices.SortFunc(ranked, func(a, b *votes) int {
		return cmp.Or(cmp.Compare(len(b.providers), len(a.providers)), a.header.hash.Cmp(b.header.hash))
	})
	best := ranked[0]
	tie := len(ranked) > 1 && len(ranked[1].providers) == len(best.providers)
	a := agreement{
		header:  best.header,
		foreign: best.foreign,
		ballots: best.ballots,
		decided: len(best.providers) >= quorum && !tie,
	}
	a.text = fmt.Sprintf("%s at height %d is named by %d of %d providers: %s",
		best.header.hash, number, len(best.providers), q.src.Providers(), strings.Join(best.providers, ", "))
	if absent > 0 {
		a.text += fmt.Sprintf("; %d know none yet", absent)
	}
	for _, v := range ranked[1:] {
		a.text += fmt.Sprintf("; %s by %s", v.header.hash, strings.Join(v.providers, ", "))
		for _, p := range v.providers {
			a.others = append(a.others, dissent{p, v.header.hash})
		}
	}
	if !a.decided {
		a.text += fmt.Sprintf("; %d must agree (validation.quorum)", quorum)
		return a
	}
	if q.buried(number) {
		for _, d := range a.others {
			q.caught(d.provider, "canonical", fmt.Sprintf("names %s at height %d, against the quorum", d.hash, number))
		}
	}
	return a
}

// checkBallots compares what was sent with the headers that named a proved block
// with that block. It returns the last that differed when all of them did.
func (q *inquiry) checkBallots(a agreement, b blockAnswer) (provider string, err error) {
	held := len(a.ballots) == 0
	for _, v := range a.ballots {
		if text := v.sent.against(b); text != "" {
			provider, err = v.provider, flawed("block_fields", "%s", text)
			q.caught(provider, "block_fields", text)
			continue
		}
		held = true
	}
	if held {
		return "", nil
	}
	return provider, err
}

// recordFields records the checks of what no hash covers: of a block and of the
// transactions in it.
func (q *inquiry) recordFields(r reply[blockAnswer], a agreement) {
	var f *flaw
	switch b := r.value; {
	case errors.As(r.err, &f) && (f.check == "block_fields" || f.check == "transaction_fields"):
		q.fail(f.check, r.provider, "%s", f.text)
		return
	case r.err != nil:
		q.trouble("block_fields", r.provider, r.err)
	default:
		what := "size and list"
		if b.uncles > 0 { // the size counts their headers, which were not sent
			what = "the list, not the size,"
		}
		q.pass("block_fields", r.provider, "%s of %d transactions follow from the block", what, b.count)
		if !a.decided || a.header.hash != b.hash {
			break
		}
		if provider, err := q.checkBallots(a, b); err != nil {
			q.trouble("block_fields", provider, err)
		}
	}
}

// buried says whether a height is so far below the head that honest providers
// no longer differ about it.
func (q *inquiry) buried(number uint64) bool {
	head := q.head()
	return head.err == nil && head.number >= number && head.number-number >= uint64(q.set.ReorgDepth.Get())
}

// chainAnswers is what the providers last said about which chain they are on.
type chainAnswers struct {
	at    time.Time
	right []string
	wrong map[string]uint64 // 0 for an answer that is no number
}

// astray says that every provider asked is on another chain, which leaves nobody
// to ask anything else.
func (c chainAnswers) astray() bool { return len(c.right) == 0 && len(c.wrong) > 0 }

// checkChain finds the providers that are on another chain, and leaves them out
// of this inquiry. What they answer is remembered for a while.
func (q *inquiry) checkChain() chainAnswers {
	q.chainMu.Lock()
	known := q.knownChain
	q.chainMu.Unlock()
	report := q.note // what was reported when it was found out is not reported again
	if len(known.right) == 0 || time.Since(known.at) >= q.set.ChainIDEvery.Get() {
		fresh := chainAnswers{at: time.Now(), wrong: map[string]uint64{}}
		for _, a := range q.src.CallEach(q.ctx, q.set.Witnesses.Get(), "eth_chainId") {
			if a.Err != nil {
				continue
			}
			switch id, err := decodeNumber(a.Result); {
			case err != nil:
				fresh.wrong[a.Provider] = 0
			case id == q.chainID:
				fresh.right = append(fresh.right, a.Provider)
			default:
				fresh.wrong[a.Provider] = id
			}
		}
		if len(fresh.right)+len(fresh.wrong) > 0 {
			known = fresh
			report = func(provider, check, text string) (string, bool) {
				q.caught(provider, check, text)
				return text, true
			}
			q.chainMu.Lock()
			q.knownChain = known
			q.chainMu.Unlock()
		}
	}
	for provider, id := range known.wrong {
		q.mu.Lock()
		q.strayed[provider] = true
		q.mu.Unlock()
		report(provider, "chain_id", onChain(id))
	}
	return known
}

func onChain(id uint64) string {
	if id == 0 {
		return "names no chain"
	}
	return fmt.Sprintf("is on chain %d", id)
}

// recordChain records the check that the providers are on the right chain.
func (q *inquiry) recordChain(c chainAnswers) {
	switch {
	case len(c.right) > 0:
		q.pass("chain_id", "", "%d of %d providers asked are on chain %d", len(c.right), len(c.right)+len(c.wrong), q.chainID)
	case c.astray():
		provider := slices.Min(slices.Collect(maps.Keys(c.wrong)))
		q.fail("chain_id", provider, "no provider asked is on chain %d: %s %s", q.chainID, provider, onChain(c.wrong[provider]))
	default:
		q.skip("chain_id", "no provider said which chain it is on")
	}
}
