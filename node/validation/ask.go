package validation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// errAbsent is the judgement on an answer of null.
var errAbsent = errors.New("no provider knows of it")

// errPending is the judgement on a transaction that is in no block yet. It is
// weak: another provider may know of one.
var errPending = errors.New("the transaction is in no block yet")

// flaw is the judgement on an answer that is false or not what was asked for.
// It names the check that found out.
type flaw struct{ check, text string }

func (f *flaw) Error() string { return f.check + ": " + f.text }

func flawed(check, format string, args ...any) error {
	return &flaw{check, fmt.Sprintf(format, args...)}
}

// foreign is the judgement on an answer that cannot be proved or disproved,
// because it follows other rules than Ethereum's. Where another answer to the same
// question is proved, it was false after all, as the check with that name tells;
// without a name it is not the provider's doing.
type foreign struct{ check, text string }

func (f *foreign) Error() string { return f.text }

// ErrNoAnswer is what an error of [Validator] wraps, beside its cause, when no
// provider answered what a verdict cannot do without.
var ErrNoAnswer = errors.New("no provider answered")

// silent is the judgement when no provider answered.
type silent struct{ err error }

func (s *silent) Error() string   { return ErrNoAnswer.Error() + ": " + s.err.Error() }
func (s *silent) Unwrap() []error { return []error{ErrNoAnswer, s.err} }

// reply is the best answer to a question. value means something when err is
// nil, errPending or foreign.
type reply[T any] struct {
	value    T
	provider string
	err      error
}

// question is one JSON-RPC call and how to judge an answer to it. Judge
// returns nil for an answer that is proved, and else one of the judgements
// above.
type question[T any] struct {
	method string
	params []any
	judge  func(json.RawMessage) (T, error)
}

// ask puts a question to the best provider, and unless its answer is proved, to
// others. The first proved answer wins, whatever the others say. Without one:
// a quorum of "not there", or no other answer, is absence; then something
// pending or foreign; then the first false answer; then silence. False answers
// are reported as lies.
func ask[T any](q *inquiry, ask question[T]) reply[T] {
	p := pollOf(q, ask)
	answer, err := q.src.Call(q.ctx, ask.method, ask.params...)
	if err != nil {
		answer.Err = err
	}
	if p.take(answer) {
		return p.best()
	}
	for _, n := range []int{q.set.Witnesses.Get(), maxWitnesses} {
		if q.ctx.Err() != nil {
			break
		}
		answers := q.src.CallEach(q.ctx, n, ask.method, ask.params...)
		for _, a := range answers {
			if p.take(a) {
				return p.best()
			}
		}
		if len(answers) < n || len(p.flaws) == 0 {
			break // there is nobody else, or nobody has lied
		}
	}
	return p.best()
}

// poll collects the answers to one question.
type poll[T any] struct {
	q      *inquiry
	ask    question[T]
	judged map[string]bool
	proved *reply[T]
	weak   *reply[T] // pending, or else foreign
	alien  map[string]*foreign
	flaws  []reply[T]
	absent []string
	errs   []error
}

func pollOf[T any](q *inquiry, ask question[T]) *poll[T] {
	return &poll[T]{q: q, ask: ask, judged: map[string]bool{}, alien: map[string]*foreign{}}
}

// take judges an answer and says whether it settles the question.
func (p *poll[T]) take(a Answer) bool {
	if a.Err != nil {
		p.errs = append(p.errs, a.Err)
		return false
	}
	if p.judged[a.Provider] || !p.q.use(a.Provider) {
		return false
	}
	p.judged[a.Provider] = true
	r := reply[T]{provider: a.Provider, err: errAbsent}
	if raw := bytes.TrimSpace(a.Result); len(raw) > 0 && !bytes.Equal(raw, []byte("null")) {
		r.value, r.err = p.ask.judge(raw)
	}
	var (
		f     *flaw
		other *foreign
	)
	switch {
	case r.err == nil:
		p.proved = &r
		return true
	case errors.As(r.err, &f):
		p.flaws = append(p.flaws, r)
		p.q.caught(a.Provider, f.check, f.text)
	case errors.Is(r.err, errPending):
		p.weak = &r
	case errors.As(r.err, &other):
		p.alien[a.Provider] = other
		if p.weak == nil {
			p.weak = &r
		}
	case errors.Is(r.err, errAbsent):
		p.absent = append(p.absent, a.Provider)
	default:
		p.errs = append(p.errs, r.err)
	}
	return false
}

func (p *poll[T]) best() reply[T] {
	switch {
	case p.proved != nil:
		for provider, other := range p.alien {
			if other.check != "" {
				p.q.caught(provider, other.check, other.text)
			}
		}
		return *p.proved
	case p.weak != nil:
		return *p.weak
	case len(p.absent) > 0 && (len(p.flaws) == 0 || len(p.absent) >= p.q.quorum()):
		return reply[T]{provider: p.absent[0], err: errAbsent}
	case len(p.flaws) > 0:
		return p.flaws[0]
	}
	p.q.silence()
	if len(p.errs) == 0 {
		p.errs = append(p.errs, errors.New("there is no provider to ask"))
	}
	// One reason is evidence enough; providers mostly fail alike.
	return reply[T]{err: &silent{p.errs[0]}}
}
