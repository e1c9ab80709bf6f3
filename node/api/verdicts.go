package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/memory"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/store"
	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/node/validation"
)

// verdicts answers /v1: verdicts are cached, and in the ledger before they go
// out.
type verdicts struct {
	server    *Server
	settings  Settings
	bodies    *memory.Budget
	validator *validation.Validator
	cache     *cache.Cache
	ledger    *store.Ledger
}

var classOf = map[validation.Kind]cache.Class{
	validation.KindTransaction: cache.Transaction,
	validation.KindBlock:       cache.Block,
	validation.KindAddress:     cache.Address,
}

// of returns the verdict on one subject as JSON.
func (v *verdicts) of(ctx context.Context, kind validation.Kind, text string) (cache.Answer, error) {
	subject, err := canonicalSubject(kind, text)
	if err != nil {
		return cache.Answer{}, err
	}
	return v.cache.Get(ctx, classOf[kind], verdictKey(kind, subject), v.loader(kind, subject))
}

// verdictKey is where a verdict is cached. No JSON-RPC method has a space in its
// name.
func verdictKey(kind validation.Kind, subject string) string { return string(kind) + " " + subject }

// loader returns what reaches a verdict and writes it to the ledger.
func (v *verdicts) loader(kind validation.Kind, subject string) cache.Loader {
	return counted(v.bodies, verdictFactor, func(ctx context.Context) (cache.Loaded, error) {
		verdict, err := v.reach(ctx, kind, subject)
		if err != nil {
			return cache.Loaded{}, err
		}
		body, err := json.Marshal(verdict)
		if err != nil {
			return cache.Loaded{}, fmt.Errorf("encode verdict: %w", err)
		}
		err = v.ledger.Write(ctx, store.Record{ID: verdict.ID, Kind: string(verdict.Kind), Subject: verdict.Subject,
			Outcome: string(verdict.Outcome), ChainID: verdict.ChainID, At: verdict.At, Body: body})
		if err != nil {
			return cache.Loaded{}, &ledgerError{"written", err}
		}
		loaded := cache.Loaded{Body: body, NoStore: verdict.Outcome == validation.Undecided} // the next one who asks may find more providers
		switch {
		case verdict.Outcome == validation.NotFound:
			loaded.Class, loaded.WithHead = cache.NotFound, true
		case movesWithHead(kind, subject), verdict.Block == nil:
			loaded.Class, loaded.WithHead = cache.RPC, true
		case verdict.Finalised:
			loaded.Immutable = true
		default:
			loaded.Block = cache.BlockRef{Number: verdict.Block.Number, Hash: common.HexToHash(verdict.Block.Hash)}
		}
		return loaded, nil
	})
}

func (v *verdicts) reach(ctx context.Context, kind validation.Kind, key string) (validation.Verdict, error) {
	switch kind {
	case validation.KindTransaction:
		return v.validator.Transaction(ctx, key)
	case validation.KindBlock:
		return v.validator.Block(ctx, key)
	default:
		return v.validator.Address(ctx, key)
	}
}

// movesWithHead says whether a subject names another block with each new head.
func movesWithHead(kind validation.Kind, key string) bool {
	return kind == validation.KindBlock && key != "" && (key[0] < '0' || key[0] > '9')
}

func (v *verdicts) handle(kind validation.Kind, param string) func(*visit, *http.Request) {
	return func(w *visit, r *http.Request) {
		a, err := v.of(r.Context(), kind, r.PathValue(param))
		if err != nil {
			v.server.refuse(w, err)
			return
		}
		w.Header().Set("X-Cache", a.Tier.String())
		status := http.StatusOK
		if a.Class == cache.NotFound { // "invalid" is an answer, not an error
			status = http.StatusNotFound
		}
		x := exchanges.Get().(*exchange)
		defer x.release()
		x.visit = visit{ResponseWriter: w, server: w.server, address: w.address}
		if !x.sendAnswer(w, r, v.settings, status, nil, a, "") {
			tryAgain(w, overBodies)
		}
	}
}

// canonicalSubject returns what tells one question from another. The checksum of an
// address is part of the question, so addresses stay as they were written.
func canonicalSubject(kind validation.Kind, text string) (string, error) {
	switch kind {
	case validation.KindTransaction:
		return validation.ParseHash(text)
	case validation.KindBlock:
		id, err := validation.ParseBlockID(text)
		return id.String(), err
	default:
		if _, err := validation.ParseAddress(text); err != nil {
			return "", err
		}
		return "0x" + text[2:], nil
	}
}

// inLedger returns a subject as the ledger writes it: hashes in lower case,
// numbers in decimal, addresses in EIP-55 form. An address whose checksum is wrong
// is another subject than the right one, and stays as it is.
func inLedger(text string) string {
	if address, err := validation.ParseAddress(text); err == nil {
		return address.String()
	}
	if id, err := validation.ParseBlockID(text); err == nil {
		return id.String()
	}
	return text
}

// subject is one member of a batch.
type subject struct {
	Kind validation.Kind `json:"kind"`
	ID   string          `json:"id"`
}

// batch answers POST /v1/validations: {"subjects": [{"kind": …, "id": …}]}.
// Each member has its own result or error, in the order asked.
func (v *verdicts) batch(w *visit, r *http.Request) {
	x := exchanges.Get().(*exchange)
	defer x.release()
	x.visit = visit{ResponseWriter: w, server: w.server, address: w.address}
	if problem := x.read(r, v.settings); problem != nil {
		if problem.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", retrySecond)
		}
		problemJSON(w, problem.status, problem.text)
		return
	}
	if refusal := w.enter(); refusal != "" {
		tryAgain(w, refusal)
		return
	}
	var req struct {
		Subjects []subject `json:"subjects"`
	}
	if err := json.Unmarshal(x.in, &req); err != nil || len(req.Subjects) == 0 {
		problemJSON(w, http.StatusBadRequest, `the body must be {"subjects": [{"kind": "transaction", "id": "0x…"}]}; kinds are transaction, block and address`)
		return
	}
	if len(req.Subjects) > v.settings.MaxBatch.Get() {
		problemJSON(w, http.StatusRequestEntityTooLarge, "the batch has more members than api.max_batch")
		return
	}
	type result struct {
		subject
		Verdict json.RawMessage `json:"verdict,omitempty"`
		Error   string          `json:"error,omitempty"`
	}
	results := make([]result, len(req.Subjects))
	var (
		wg   sync.WaitGroup
		size atomic.Int64
	)
	slots := make(chan struct{}, batchWorkers)
	for i, s := range req.Subjects {
		s.ID = printable.Clean(s.ID, 100)
		results[i].subject = s
		if _, ok := classOf[s.Kind]; !ok {
			results[i].Kind, results[i].Error = "", "kind must be transaction, block or address"
			continue
		}
		slots <- struct{}{}
		supervise.Go(&wg, "verdict of a batch", func() {
			defer func() { <-slots }()
			verdict, err := v.of(r.Context(), s.Kind, s.ID)
			switch {
			case err != nil:
				_, results[i].Error = v.server.explain(err)
			case size.Add(int64(len(verdict.Body))) > v.settings.MaxBatchBytes.Get():
				results[i].Error = textTooLarge
			default:
				results[i].Verdict = verdict.Body
			}
		}, func(error) { results[i].Error = "internal error" })
	}
	wg.Wait()
	// The verdicts, and once more as they are sent.
	if !x.hold(2 * min(size.Load(), v.settings.MaxBatchBytes.Get())) {
		tryAgain(w, overBodies)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"results": results})
}

// list answers GET /v1/validations from the ledger, newest first.
func (v *verdicts) list(w *visit, r *http.Request) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		problemJSON(w, http.StatusBadRequest, "the query cannot be read: "+printable.Clean(err.Error(), 100))
		return
	}
	if _, ok := classOf[validation.Kind(q.Get("kind"))]; !ok && q.Get("kind") != "" {
		problemJSON(w, http.StatusBadRequest, "kind must be transaction, block or address")
		return
	}
	switch validation.Outcome(q.Get("outcome")) {
	case "", validation.Valid, validation.Invalid, validation.NotFound, validation.Undecided:
	default:
		problemJSON(w, http.StatusBadRequest, "outcome must be valid, invalid, not_found or undecided")
		return
	}
	query := store.Query{Kind: q.Get("kind"), Subject: q.Get("subject"), Outcome: q.Get("outcome"), Limit: 100}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > store.MaxFind {
			problemJSON(w, http.StatusBadRequest, fmt.Sprintf("limit must be a number from 1 to %d", store.MaxFind))
			return
		}
		query.Limit = n
	}
	for name, at := range map[string]*time.Time{"since": &query.Since, "until": &query.Until} {
		if text := q.Get(name); text != "" {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				problemJSON(w, http.StatusBadRequest, name+" must be a time such as 2026-01-31T12:00:00Z")
				return
			}
			*at = t
		}
	}
	query.Subject = inLedger(query.Subject)
	records, err := v.ledger.Find(r.Context(), query)
	if err != nil {
		v.server.refuse(w, &ledgerError{"read", err})
		return
	}
	x := exchanges.Get().(*exchange)
	defer x.release()
	x.visit = visit{ResponseWriter: w, server: w.server, address: w.address}
	out, size := make([]json.RawMessage, len(records)), int64(0)
	for i, rec := range records {
		out[i] = rec.Body
		size += int64(len(rec.Body))
	}
	if !x.hold(2 * size) { // once more as they are sent
		tryAgain(w, overBodies)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"validations": out})
}
