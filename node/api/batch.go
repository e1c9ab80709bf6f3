package api

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/valyala/fastjson"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/supervise"
)

const (
	// batchWorkers bounds the members of one batch that run at once.
	batchWorkers = 16
	// joinBelow is the largest answer to a batch that is put together before it is sent,
	// and so can be encoded. A larger one is sent member by member.
	joinBelow = 256 << 10
	// codeTooLarge and textTooLarge are geth's, for members that do not fit any more.
	codeTooLarge = -32003
	textTooLarge = "response too large"
)

// reply is the answer to one member of a batch: a result for an id, or a whole
// answer, or, to a notification, nothing.
type reply struct {
	id, whole []byte
	answer    cache.Answer // retained while id is set
}

func (r reply) size() int {
	if r.id == nil {
		return len(r.whole)
	}
	return len(rpcHead) + len(r.id) + len(rpcResult) + len(r.answer.Body) + len("}")
}

func (r reply) append(out []byte) []byte {
	if r.id == nil {
		return append(out, r.whole...)
	}
	return appendEnvelope(out, r.id, rpcResult, r.answer.Body)
}

// batch is the answer to one batch while it is made.
type batch struct {
	gateway *gateway
	visit   *visit
	replies []reply
	size    atomic.Int64 // of all results and errors
	held    atomic.Int64 // of api.max_bodies, for errors
	noRoom  atomic.Bool  // in api.max_bodies
}

// batch answers the members of a batch, those that must be asked for at the same
// time, in the order of the batch.
func (g *gateway) batch(ctx context.Context, w *visit, r *http.Request, x *exchange, members []*fastjson.Value) int {
	if len(members) == 0 {
		return write(w, http.StatusBadRequest, rpcError(nil, codeInvalid, "the batch is empty"))
	}
	if len(members) > g.settings.MaxBatch.Get() {
		return write(w, http.StatusRequestEntityTooLarge, rpcError(nil, codeLimit, "the batch has more members than api.max_batch"))
	}
	b := &batch{gateway: g, visit: w, replies: make([]reply, len(members))}
	defer b.release()
	b.gather(ctx, x, members)
	if b.noRoom.Load() {
		return g.tryAgain(w, nil, codeLimit, overBodies)
	}
	return b.send(w, r, x)
}

// gather fills in the replies.
func (b *batch) gather(ctx context.Context, x *exchange, members []*fastjson.Value) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, batchWorkers)
	for i, v := range members {
		if b.noRoom.Load() {
			return
		}
		req, problem := x.take(v)
		if problem != nil {
			b.refuse(i, req.id, problem.code, problem.text)
			continue
		}
		a, m, known := b.gateway.hit(x, req)
		id := bytes.Clone(req.id)
		if known {
			b.keep(i, m, id, a)
			continue
		}
		name, key := string(req.method), string(x.key)
		slots <- struct{}{}
		supervise.Go(&wg, "batch member", func() {
			defer func() { <-slots }()
			a, _, code, err := b.gateway.call(ctx, m, name, key)
			switch {
			case err == nil:
				b.keep(i, m, id, a)
			case id != nil:
				m.failure.Inc()
				b.keepError(i, id, b.gateway.failed(id, code, err))
			default:
				m.failure.Inc()
			}
		}, func(error) {
			m.failure.Inc()
			b.refuse(i, id, codeInternal, "internal error")
		})
	}
}

func (b *batch) refuse(i int, id []byte, code int, text string) {
	b.replies[i] = reply{whole: rpcError(id, code, text)}
}

// keep takes the result of a member into the answer, if there is room for it.
func (b *batch) keep(i int, m *method, id []byte, a cache.Answer) {
	m.success.Inc()
	if id == nil {
		return
	}
	if !b.fits(len(a.Body)) {
		b.refuse(i, id, codeTooLarge, textTooLarge)
		return
	}
	if !a.Retain(b.visit.take) {
		b.noRoom.Store(true)
		return
	}
	b.gateway.answers[a.Trust].Inc()
	b.replies[i] = reply{id: id, answer: a}
}

// keepError takes the error of a member into the answer. Providers put data into errors.
func (b *batch) keepError(i int, id, whole []byte) {
	if !b.fits(len(whole)) {
		b.refuse(i, id, codeTooLarge, textTooLarge)
		return
	}
	if n := int64(len(whole)); b.visit.take(n) {
		b.held.Add(n)
	} else {
		b.noRoom.Store(true)
		return
	}
	b.replies[i] = reply{whole: whole}
}

func (b *batch) fits(n int) bool {
	return b.size.Add(int64(n)) <= b.gateway.settings.MaxBatchBytes.Get()
}

func (b *batch) release() {
	for _, r := range b.replies {
		if r.id != nil {
			r.answer.Release(b.visit.drop)
		}
	}
	b.visit.drop(b.held.Load())
}

// send writes the replies as one JSON array.
func (b *batch) send(w http.ResponseWriter, r *http.Request, x *exchange) int {
	size, answered := 1, 0
	least := cache.Proof // of what is known of any member
	for _, p := range b.replies {
		if p.id != nil {
			least = max(least, p.answer.Trust)
		}
		if n := p.size(); n > 0 {
			size += n + 1 // the comma, or what ends the array
			answered++
		}
	}
	if answered == 0 {
		w.WriteHeader(http.StatusNoContent)
		return http.StatusNoContent
	}
	if size <= joinBelow {
		out := make([]byte, 0, size)
		for _, p := range b.replies {
			if p.size() > 0 {
				out = p.append(append(out, separator(len(out) == 0)))
			}
		}
		if !x.sendAnswer(w, r, b.gateway.settings, http.StatusOK, nil, cache.Answer{Body: append(out, ']'), Trust: least}, "") {
			return b.gateway.tryAgain(w, nil, codeLimit, overBodies)
		}
		return http.StatusOK
	}
	h := w.Header()
	h["Content-Type"], h["X-Content-Type-Options"], h["X-Verified"] = typeJSON, nosniff, verified[least]
	h["Content-Length"] = []string{strconv.Itoa(size)}
	w.WriteHeader(http.StatusOK)
	first := true
	for _, p := range b.replies {
		if p.size() == 0 {
			continue
		}
		x.out = append(x.out[:0], separator(first))
		first = false
		if err := x.sendMember(w, p); err != nil {
			return http.StatusOK // the client has left, or reads too slowly
		}
	}
	_, _ = w.Write([]byte("]"))
	return http.StatusOK
}

// sendMember writes one member behind what the exchange's output holds, a large one
// without a copy.
func (x *exchange) sendMember(w http.ResponseWriter, p reply) error {
	if p.size() <= copyBelow {
		x.out = p.append(x.out)
		_, err := w.Write(x.out)
		return err
	}
	if p.id == nil {
		x.out = append(x.out, p.whole...)
		_, err := w.Write(x.out)
		return err
	}
	x.out = append(appendHead(x.out, p.id), rpcResult...)
	if _, err := w.Write(x.out); err != nil {
		return err
	}
	if _, err := w.Write(p.answer.Body); err != nil {
		return err
	}
	_, err := w.Write([]byte("}"))
	return err
}

func separator(first bool) byte {
	if first {
		return '['
	}
	return ','
}
